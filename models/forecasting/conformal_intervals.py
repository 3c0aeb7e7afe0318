import math

import numpy as np

from ..._arguments import in_words, number, wrong


class ConformalIntervals:
    """Intervals around the forecasts of any model, from its errors on forecasts made before.

    `y_pred[h] ± scale * q[h]`, where `q[h]` is the `ceil((n + 1) * level)`-th smallest of the `n`
    values `|y_true[h] - y_pred[h]| / scale`

    Whatever the model, such an interval holds a new value with a probability of at least `level`
    as long as the new error could as well have been one of the `n`: in a time series this is
    nearly so where the errors are recent, and were made on values that the model was not trained
    on. Each step of the horizon has intervals of its own; `level` is the share of the values, not
    of the whole paths, that lie within.

    A step needs `level / (1 - level)` errors, 4 at the default level and 19 at 0.95. A step with
    fewer borrows those of its neighbours, as many steps to each side as it takes, and then no
    interval is narrower than the one of the step before. The errors of neighbours are alike, so
    the probability is only approximate.

    Args:
        level: Float in (0, 1), the share of values that shall lie within.
        lowest: Number that no interval reaches below, such as 0 for counts; None: there is none.

    Attributes:
        radius: Array `(horizon,)` or `(horizon, features)`, `q`; None before `fit`.

    Raises:
        ValueError: `level` or `lowest` is not as described.

    Example:

    >>> errors = np.random.default_rng(0).normal(size=(2, 5000, 3))
    >>> intervals = kerazoo.models.forecasting.ConformalIntervals(level=0.8)
    >>> intervals = intervals.fit(y_true=errors[0], y_pred=np.zeros((5000, 3)))
    >>> lower, upper = intervals.interval(y_pred=[10.0, 20.0, 30.0])
    >>> upper.shape
    (3,)
    >>> round(intervals.coverage(y_true=errors[1], y_pred=np.zeros((5000, 3))), 2)
    0.8

    References:
        Vovk, Gammerman and Shafer, 2005, Algorithmic Learning in a Random World
        Stankevičiūtė, Alaa and van der Schaar, 2021, Conformal Time-Series Forecasting
    """

    def __init__(self, level=0.8, lowest=None):
        self.level = number("level", level, above=0, below=1)
        self.lowest = number("lowest", lowest, also=(None,))
        self.radius = None
        self._scaled = None

    def fit(self, y_true, y_pred, scale=None):
        """Learns the radius of each step from forecasts whose truth is known.

        Args:
            y_true: Array `(n, horizon)` or `(n, horizon, features)`. Missing values (NaN) do not
                count.
            y_pred: Array of the same shape; a forecast that could not be made (NaN) does not count.
            scale: None, or the unit of each row's errors, at least 0, `(n,)` or `(n, features)`:
                for series of different size, something that is known before the forecast, such
                as the mean error of the naive forecast. Rows of scale 0 or NaN do not count.

        Returns:
            This object.

        Raises:
            ValueError: the shapes differ, or all steps together hold too few errors.
        """
        y_true, y_pred = _numbers("y_true", y_true), _numbers("y_pred", y_pred)
        if y_true.ndim not in (2, 3) or y_pred.shape != y_true.shape:
            raise ValueError(
                "`y_true` and `y_pred` must have one shape, (n, horizon) or (n, horizon, "
                f"features). Received: y_true of shape {y_true.shape}, y_pred of shape "
                f"{y_pred.shape}"
            )
        errors = np.abs(y_true - y_pred)
        if scale is not None:
            unit = _unit(scale, errors.shape, errors.ndim - 1)
            errors = np.divide(errors, unit, out=np.full(errors.shape, np.nan), where=unit > 0)
        radius = [_radius(one, self.level) for one in _by_feature(errors)]
        self.radius = np.stack(radius, axis=-1).reshape(errors.shape[1:])
        self._scaled = scale is not None
        return self

    def interval(self, y_pred, scale=None):
        """The lower and the upper end around each forecast.

        Args:
            y_pred: Array `(horizon,)` or `(n, horizon)`, with a last axis `(features,)` if `fit`
                had one; the horizon may be shorter than in `fit`.
            scale: The unit of the errors, needed if `fit` had one: a number or `(n,)`, or with the
                last axis `(features,)`. Where it is NaN, so is the interval.

        Returns:
            Two arrays of the shape of `y_pred`.

        Raises:
            ValueError: `fit` was not called, a shape is not as described, or only one of `fit` and
                `interval` had a `scale`.
        """
        y_pred = _numbers("y_pred", y_pred)
        radius = self._radius_for(y_pred.shape, scale)
        lower = y_pred - radius
        if self.lowest is not None:
            lower = np.maximum(lower, self.lowest)
        return lower, y_pred + radius

    def coverage(self, y_true, y_pred, scale=None):
        """The share of the observed values of `y_true` that lie within the intervals.

        Args:
            y_true: Array of the shape of `y_pred`. Missing values (NaN) do not count.
            y_pred: As for `interval`.
            scale: As for `interval`.

        Returns:
            Float from 0 to 1.

        Raises:
            ValueError: as `interval`, or there is nothing to count.
        """
        lower, upper = self.interval(y_pred, scale)
        y_true = _numbers("y_true", y_true)
        if y_true.shape != lower.shape:
            raise ValueError(
                "`y_true` must have the shape of `y_pred`. Received: y_true of shape "
                f"{y_true.shape}, y_pred of shape {lower.shape}"
            )
        known = np.isfinite(y_true) & np.isfinite(lower)
        if not known.any():
            raise ValueError(
                "`y_true` must hold an observed value whose interval is known. "
                f"Received: y_true={in_words(y_true)}"
            )
        return float(np.mean(((lower <= y_true) & (y_true <= upper))[known]))

    def _radius_for(self, shape, scale):
        if self.radius is None:
            raise ValueError("`interval` needs errors to learn from: call `fit` first.")
        if self._scaled != (scale is not None):
            had = "one" if self._scaled else "none"
            raise ValueError(
                f"`scale` must be given to both `fit` and `interval`, or to neither: `fit` had "
                f"{had}. Received: scale={in_words(scale)}"
            )
        steps = len(shape) - self.radius.ndim  # the axis of the horizon
        if (
            steps not in (0, 1)
            or shape[steps] > len(self.radius)
            or shape[steps + 1 :] != self.radius.shape[1:]
        ):
            most = str((len(self.radius), *self.radius.shape[1:]))
            raise ValueError(
                f"`y_pred` must be one forecast or several, of shape {most} or a shorter horizon. "
                f"Received: y_pred of shape {shape}"
            )
        radius = self.radius[: shape[steps]]
        return radius if scale is None else radius * _unit(scale, shape, self.radius.ndim)


def _by_feature(errors):
    return np.moveaxis(errors, -1, 0) if errors.ndim == 3 else [errors]


def _radius(errors, level):
    """The quantile of each step's errors, `(n, horizon)`; of few, with its neighbours'."""
    horizon = errors.shape[1]
    needed = math.ceil(round(level / (1 - level), 9))  # the least n whose rank is at most n
    total = int(np.isfinite(errors).sum())
    if total < needed:
        raise ValueError(
            f"Intervals of level {level:g} need at least {needed} errors in each feature: "
            "forecast from more origins or series, or choose a lower `level`. "
            f"Received: {total} known errors"
        )
    radius, pooled = np.empty(horizon), False
    for step in range(horizon):
        for reach in range(horizon):
            known = errors[:, max(0, step - reach) : step + reach + 1]
            known = known[np.isfinite(known)]
            if len(known) >= needed:
                break
        pooled = pooled or reach > 0
        rank = _rank(len(known), level)
        radius[step] = np.partition(known, rank - 1)[rank - 1]
    return np.maximum.accumulate(radius) if pooled else radius


def _rank(n, level):
    # Rounded, so that 0.8 * 5 is 4 and no error of float64 asks for one more.
    return math.ceil(round((n + 1) * level, 9))


def _numbers(name, values):
    try:
        return np.asarray(values, "float64")
    except (TypeError, ValueError) as error:
        raise wrong(name, "an array of numbers", values) from error


def _unit(scale, shape, ndim):
    """`scale` as it multiplies forecasts of `shape`, whose last `ndim` axes are one forecast's."""
    unit = _numbers("scale", scale)
    rows, features = shape[: len(shape) - ndim], shape[len(shape) - ndim + 1 :]
    if unit.shape not in (rows, rows + features) or (unit < 0).any():
        wanted = f"numbers of at least 0, of shape {rows}"
        raise wrong("scale", wanted + (f" or {rows + features}" if features else ""), scale)
    if unit.shape == rows + features and features:
        return unit[..., None, :]
    return unit.reshape(*rows, *[1] * ndim)
