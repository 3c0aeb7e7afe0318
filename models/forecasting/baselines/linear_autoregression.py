import numpy as np

from ...._arguments import boolean, integer_or_none, integers, positive_integer
from .._series_set import read_series
from ..transforms import Transform
from ._carry_forward import carry_forward


class LinearAutoregression:
    """Forecasts each value as a linear function of the ones before it.

    `f(y[t]) = c + sum over i of a[i] * f(y[t - lags[i]])`, fitted by least squares

    The second baseline to beat: it is exact for sines, fits in milliseconds, and on short series
    an LSTM rarely does better. Each feature has its own coefficients.

    Args:
        lags: Positive integer for the lags `1, ..., lags`, or a sequence of lags.
        transform: `f`: None, "log", "log1p" or "sqrt".
        bias_adjustment: Boolean. Undoing `transform` on a forecast of `f(y)` gives a median of
            `y`; True gives its mean, from the variance of the forecast's error
            `s**2 * (1 + psi[1]**2 + ... + psi[h - 1]**2)`, where `s**2` is the residuals' variance
            and `psi` the response of the equation to a unit shock. No effect without `transform`.

    Attributes:
        coefficients: Array `(1 + lags, features)`, the constant first; None before `fit`.
        residual_variance: Array `(features,)` of the residuals of `f(y)`, by as many degrees of
            freedom as there are equations more than coefficients; None before `fit`.

    Raises:
        ValueError: `lags`, `transform` or `bias_adjustment` is not as described.

    Example:

    >>> sine = np.sin(0.3 * np.arange(50))
    >>> model = kerazoo.models.forecasting.LinearAutoregression(lags=2).fit(sine)
    >>> bool(np.allclose(model.forecast(20, sine)[:, 0], np.sin(0.3 * np.arange(50, 70))))
    True

    References:
        Hyndman and Athanasopoulos, 2021, Forecasting: Principles and Practice, chapters 5.6
        (bias adjustment) and 9 (autoregression)
    """

    def __init__(self, lags, transform=None, bias_adjustment=True):
        if integer_or_none(lags) is not None:
            lags = range(1, positive_integer("lags", lags) + 1)
        self.lags = integers("lags", lags, minimum=1)
        self._transform = Transform(transform)
        self.transform = self._transform.name
        self.bias_adjustment = boolean("bias_adjustment", bias_adjustment)
        self.coefficients = None
        self.residual_variance = None

    def fit(self, series):
        """Fits the coefficients to one series, or to several together.

        Args:
            series: A series, or several, as `StatefulLSTMForecaster.fit` takes them; equations
                with a missing value are left out.

        Returns:
            This object.

        Raises:
            ValueError: there are fewer complete equations than coefficients.
        """
        series = read_series(series, min_observed=1)
        z = [
            self._transform.apply(np.asarray(values, "float64"), name)
            for values, name in zip(series.values, series.names, strict=True)
        ]
        location = np.nanmean(np.concatenate(z), axis=0)
        equations = np.concatenate([self._equations(one - location) for one in z])
        fitted = []
        for feature in range(len(location)):
            complete = _complete(equations[..., feature])
            if len(complete) < self._num_coefficients:
                raise ValueError(
                    f"`series` must hold at least {self._num_coefficients} values whose lags are "
                    f"all observed. Received: {len(complete)} with lags={self.lags}"
                )
            fitted.append(_least_squares(complete, len(complete), location[feature]))
        coefficients, variances = zip(*fitted, strict=True)
        self.coefficients = np.stack(coefficients, axis=-1)
        self.residual_variance = np.stack(variances)
        return self

    def forecast(self, horizon, context):
        """Forecasts the steps that follow on each context, each from the ones before.

        Args:
            horizon: Positive integer.
            context: A series, or several, as `StatefulLSTMForecaster.forecast` takes them, of one
                observed value at least. A missing value is replaced by the last observed one; what
                lies before the first observed one is taken to equal it.

        Returns:
            Array `(horizon, features)`, or the kind of object that came.

        Raises:
            ValueError: `fit` was not called, or a forecast grows beyond float64.
        """
        horizon = positive_integer("horizon", horizon)
        if self.coefficients is None:
            raise ValueError("`forecast` needs coefficients: call `fit` first.")
        context = read_series(context, self.coefficients.shape[1], "context", min_observed=1)
        known = np.concatenate(
            [
                self._known(
                    self._transform.apply(np.asarray(values, "float64"), name), [len(values)]
                )
                for values, name in zip(context.values, context.names, strict=True)
            ]
        )
        found = self._roll(self.coefficients[None], self.residual_variance[None], known, horizon)
        if not np.isfinite(found).all():
            raise ValueError(
                "The forecast grows beyond float64: the fitted equation is unstable. Received: "
                f"horizon={horizon}, lags={self.lags}"
            )
        return context.future(list(found))

    @property
    def _num_coefficients(self):
        return 1 + len(self.lags)

    def _forecast_origins(self, values, origins, horizon):
        """`(origins, horizon, features)` of each series, fitted anew to what precedes each origin.

        NaN where that is too little. `coefficients` stay as they are.
        """
        return [self._forecast_one(*one, horizon) for one in zip(values, origins, strict=True)]

    def _forecast_one(self, values, origins, horizon):
        z = self._transform.apply(np.asarray(values[: max(origins)], "float64"))
        features = range(z.shape[1])
        coefficients = np.full((len(origins), self._num_coefficients, len(features)), np.nan)
        variances = np.full((len(origins), len(features)), np.nan)
        location = z[np.isfinite(z).argmax(axis=0), features]
        # A triangular factor stands for all equations before an origin: the next origin adds its
        # own to it, in place of solving all of them again.
        factors = [np.zeros((0, self._num_coefficients + 1)) for _ in features]
        counts = [0 for _ in features]
        previous = 0
        for i, origin in enumerate(origins):
            added = self._equations(z[max(0, previous - max(self.lags)) : origin] - location)
            previous = origin
            for f in features:
                complete = _complete(added[..., f])
                counts[f] += len(complete)
                factors[f] = np.linalg.qr(np.concatenate([factors[f], complete]), mode="r")
                if counts[f] >= self._num_coefficients:
                    found = _least_squares(factors[f], counts[f], location[f])
                    coefficients[i, :, f], variances[i, f] = found
        return self._roll(coefficients, variances, self._known(z, origins), horizon)

    def _equations(self, z):
        """`(equations, 1 + lags + 1, features)`: the constant, what is lagged, and the target."""
        first, end = max(self.lags), len(z)
        lagged = [z[first - lag : max(end - lag, first - lag)] for lag in self.lags]
        return np.stack([np.ones_like(z[first:]), *lagged, z[first:]], axis=1)

    def _known(self, z, origins):
        """The values that the forecasts begin from, `(origins, largest lag, features)`."""
        filled = carry_forward(z)
        start = np.asarray(origins)[:, None]
        known = filled[np.maximum(start + np.arange(-max(self.lags), 0), 0)]
        first = z[np.isfinite(z).argmax(axis=0), range(z.shape[1])]
        return np.where(np.isnan(known), first, known)

    def _roll(self, coefficients, variances, known, horizon):
        """Forecasts `(n, horizon, features)` in the series' own units."""
        with np.errstate(over="ignore", invalid="ignore"):
            z = self._steps(coefficients, known, horizon)
            if not (self.transform and self.bias_adjustment):
                return self._transform.invert(z)
            shock = np.zeros_like(known)
            shock[:, -1] = 1.0
            without_constant = coefficients * (np.arange(self._num_coefficients) > 0)[:, None]
            psi = np.concatenate(
                [shock[:, -1:], self._steps(without_constant, shock, horizon - 1)], axis=1
            )
            variances = variances[:, None] * np.cumsum(psi**2, axis=1)
            return self._transform.invert(z, variances)

    def _steps(self, coefficients, known, horizon):
        first = max(self.lags)
        lags = np.array(self.lags)
        steps = np.zeros((len(known), horizon, known.shape[2]))
        path = np.concatenate([known, steps], axis=1)
        for t in range(first, first + horizon):
            path[:, t] = coefficients[:, 0] + (coefficients[:, 1:] * path[:, t - lags]).sum(axis=1)
        return path[:, first:]


def _complete(equations):
    return equations[np.isfinite(equations).all(axis=1)]


def _least_squares(equations, count, location):
    """Coefficients and residual variance of `count` equations of values less `location`.

    Subtracting it beforehand keeps the digits of series that lie far from zero.
    """
    A, b = equations[:, :-1], equations[:, -1]
    solution = np.linalg.lstsq(A, b, rcond=None)[0]
    freedom = count - len(solution)
    variance = np.sum((b - A @ solution) ** 2) / freedom if freedom else 0.0
    solution[0] += location * (1 - solution[1:].sum())
    return solution, variance
