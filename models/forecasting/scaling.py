"""From a series' own units to the network's, and back: transform, seasonal difference, scale."""

from typing import NamedTuple

import numpy as np

TRANSFORMS = {
    None: (lambda y: y, lambda z: z, -np.inf),
    "log": (np.log, np.exp, 0.0),
    "log1p": (np.log1p, np.expm1, -1.0),
    # A prediction below zero means zero: its square would come back positive.
    "sqrt": (np.sqrt, lambda z: np.maximum(z, 0.0) ** 2, 0.0),
}
TRANSFORM_NAMES = tuple(name for name in TRANSFORMS if name)
CLOSED_BELOW = {"sqrt"}


class Units(NamedTuple):
    """Where a series' zero and one lie, each of shape `(features,)`."""

    location: np.ndarray
    scale: np.ndarray


class Scaling:
    """`z[t] = (f(y[t]) - f(y[t - m]) - location) / scale`, and the same undone.

    Everything here is NumPy in float64: it happens once a call, outside the compiled graph, and
    undoing it costs no digits.

    Args:
        transform: The name of `f`: None, "log", "log1p" or "sqrt".
        seasonal_difference: `m`, a whole number of steps; 0 takes no difference.
    """

    def __init__(self, transform, seasonal_difference):
        self.name = transform
        self.transform, self.inverse_transform, self.lower = TRANSFORMS[transform]
        self.period = seasonal_difference

    def check_and_transform(self, series, name="series"):
        """`f(y)`, once the values are known to lie where `f` is defined."""
        outside = series < self.lower if self.name in CLOSED_BELOW else series <= self.lower
        if outside.any():
            bound = "at least" if self.name in CLOSED_BELOW else "above"
            raise ValueError(
                f"`{name}` must be {bound} {self.lower:g} everywhere for "
                f"transform={self.name!r}. Received: a value of {series[outside][0]:g}"
            )
        return self.transform(series)

    def difference(self, series, name="series"):
        """`f(y)` and its seasonal difference, `(time, features)` and `(time - m, features)`."""
        y = self.check_and_transform(series, name)
        if not self.period:
            return y, y
        z = y[self.period :] - y[: -self.period]
        if len(z) == 0 or np.isfinite(z).sum(axis=0).min() < 2:
            raise ValueError(
                f"`{name}` must hold at least 2 observed pairs of values that lie "
                f"seasonal_difference={self.period} steps apart. "
                f"Received: {name} of {len(series)} steps"
            )
        return y, z

    def carry_seasons(self, y):
        """`f(y)` where a missing value is the last one observed of its season, else NaN.

        Predictions of differences are added to it, so it must not look ahead.
        """
        m = self.period
        carried = y.copy()
        for t in range(m, len(y)):
            carried[t] = np.where(np.isnan(y[t]), carried[t - m], y[t])
        return carried

    def history(self, y):
        """The last season of `f(y)` without gaps: a season never observed has the mean."""
        if not self.period:
            return y[:0]
        last = self.carry_seasons(y)[len(y) - self.period :]
        return np.where(np.isnan(last), np.nanmean(y, axis=0), last)

    def undo_forecast(self, z, history, units):
        """Forecasts `z`, `(..., horizon, features)`, in the series' units.

        `history` is the last season of `f(y)` before them, `(m, features)`, without gaps.
        """
        steps = z * units.scale + units.location
        if self.period:
            # Season by season a forecast is the last known value plus all differences since.
            horizon = steps.shape[-2]
            seasons = -(-horizon // self.period)
            padding = [(0, 0)] * (steps.ndim - 2) + [(0, seasons * self.period - horizon), (0, 0)]
            blocks = np.pad(steps, padding).reshape(
                *steps.shape[:-2], seasons, self.period, steps.shape[-1]
            )
            steps = (history + np.cumsum(blocks, axis=-3)).reshape(
                *steps.shape[:-2], seasons * self.period, steps.shape[-1]
            )[..., :horizon, :]
        return self.inverse_transform(steps)

    def undo_one_step(self, z, y, units):
        """One-step predictions `z` of the steps `m + 1, m + 2, ...`, in the series' units.

        `y` is the whole `f(y)`. NaN where nothing of the same season came before.
        """
        steps = z * units.scale + units.location
        if self.period:
            steps = steps + self.carry_seasons(y)[1 : 1 + len(steps)]
        return self.inverse_transform(steps)


def units_of(differences):
    """Mean and standard deviation of the observed values of one or several series.

    A constant series keeps the scale 1: it has no other.
    """
    values = np.concatenate(differences)
    # Relative to the largest, whose square may be beyond float64.
    largest = np.nanmax(np.abs(values), axis=0)
    values = values / np.where(largest > 0, largest, 1.0)
    spread = np.nanstd(values, axis=0)
    scale = np.where(spread > 1e-12, spread * largest, 1.0)
    return Units(np.nanmean(values, axis=0) * largest, scale)
