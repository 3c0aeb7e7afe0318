import numpy as np

from ..._arguments import choice, integer_or_none, integers, positive_integer
from ._read_series import read_series
from .pack_series import forward_fill
from .scaling import TRANSFORM_NAMES, Scaling


class LinearAutoregression:
    """Forecasts each value as a linear function of the ones before it.

    `f(y[t]) = c + sum over i of a[i] * f(y[t - lags[i]])`, fitted by least squares

    The second baseline to beat: it is exact for sines, fits in milliseconds, and on short series
    an LSTM rarely does better. Each feature has its own coefficients.

    Args:
        lags: Positive integer for the lags `1, ..., lags`, or a sequence of lags.
        transform: `f`: None, "log", "log1p" or "sqrt".

    Raises:
        ValueError: `lags` or `transform` is not as described.

    Example:

    >>> sine = np.sin(0.3 * np.arange(50))
    >>> model = kerazoo.models.forecasting.LinearAutoregression(lags=2).fit(sine)
    >>> bool(np.allclose(model.forecast(20, sine)[:, 0], np.sin(0.3 * np.arange(50, 70))))
    True
    """

    def __init__(self, lags, transform=None):
        if integer_or_none(lags) is not None:
            lags = range(1, positive_integer("lags", lags) + 1)
        self.lags = integers("lags", lags, minimum=1)
        self.transform = choice("transform", transform, TRANSFORM_NAMES, also=(None,))
        self.coefficients = None
        self._scaler = Scaling(transform, 0)

    def fit(self, series):
        """Fits the coefficients, `(1 + lags, features)`, the constant first.

        Args:
            series: One series or a list of them; equations with a missing value are left out.

        Returns:
            This object.

        Raises:
            ValueError: there are fewer complete equations than coefficients.
        """
        arrays, _ = read_series(series)
        transformed = [self._scaler.check_and_transform(a, name) for name, a in arrays.items()]
        designs = [self._design(y) for y in transformed]
        targets = [y[max(self.lags) :] for y in transformed]
        coefficients = []
        for feature in range(transformed[0].shape[1]):
            A = np.concatenate([design[..., feature] for design in designs])
            b = np.concatenate([target[:, feature] for target in targets])
            complete = np.isfinite(A).all(axis=1) & np.isfinite(b)
            if complete.sum() < A.shape[1]:
                raise ValueError(
                    f"`series` must hold at least {A.shape[1]} values whose lags are all observed. "
                    f"Received: {complete.sum()} with lags={self.lags}"
                )
            coefficients.append(np.linalg.lstsq(A[complete], b[complete], rcond=None)[0])
        self.coefficients = np.stack(coefficients, axis=-1)
        return self

    def forecast(self, horizon, context):
        """Forecasts the steps that follow on each context, each from the ones before.

        Args:
            horizon: Positive integer.
            context: Array `(time,)` or `(time, features)` at least as long as the largest lag, or
                a list of such; a missing value is replaced by the last observed one.

        Returns:
            Array `(horizon, features)`, or a list of them.
        """
        horizon = positive_integer("horizon", horizon)
        if self.coefficients is None:
            raise ValueError("`forecast` needs coefficients: call `fit` first.")
        arrays, single = read_series(context, self.coefficients.shape[1], "context")
        found = [self._forecast_one(horizon, array) for array in arrays.values()]
        return found[0] if single else found

    def _design(self, y):
        """`(equations, 1 + lags, features)`"""
        first = max(self.lags)
        lagged = [y[first - lag : len(y) - lag] for lag in self.lags]
        return np.stack([np.ones_like(y[first:]), *lagged], axis=1)

    def _forecast_one(self, horizon, values):
        if len(values) < max(self.lags):
            raise ValueError(
                f"`context` must hold at least {max(self.lags)} values, the largest lag. "
                f"Received: {len(values)}"
            )
        known = list(forward_fill(self._scaler.check_and_transform(values, "context")))
        for _ in range(horizon):
            lagged = np.stack([known[-lag] for lag in self.lags])
            known.append(self.coefficients[0] + (self.coefficients[1:] * lagged).sum(axis=0))
        return self._scaler.inverse_transform(np.stack(known[-horizon:]))
