import numpy as np

from ..._arguments import file_path, number, real_array, wrong
from .._student_t import student_quantile
from ._curve_picture import draw_curve_fit
from .bands import bands_around

_LEAST_CORRELATION = 0.5  # that the summary shows


class CurveFit:
    """A fitted curve: values, errors, bands, a table and a picture; `fit_curve` makes it.

    Attributes:
        values: Dictionary of numbers by parameter.
        standard_errors: Dictionary by parameter: infinite where the data do not determine it, NaN
            where a bound holds it.
        correlations: Array (parameters, parameters), in the order of `values`.
        covariance: A `kerazoo.optimizers.Covariance`; `.matrix` is scipy's `pcov`.
        residuals: Array (n,), y minus the curve.
        converged: Boolean.
        stop_reason: Sentence that says why the fit ended.
        steps: Integer, steps taken.

    Example:

    >>> fitted = kerazoo.models.fit_curve(
    ...     lambda x, a, b: a + b * x, np.arange(4.0), np.array([0.0, 1.1, 1.9, 3.0]), [0.0, 0.0]
    ... )
    >>> print(fitted.summary())
    parameter         value   standard error   95 % interval
    a                  0.03           0.0794   [-0.311512, 0.371512]
    b                  0.98           0.0424   [0.797454, 1.16255]
    4 points, 2 degrees of freedom, sigma 0.09487 (estimated)
    Correlations: a and b -0.802
    >>> fitted.predict(np.array([10.0])).round(3)
    array([9.83])
    """

    def __init__(
        self, curve, values, covariance, x, y, sigma, residuals, converged, stop_reason, steps
    ):
        self._curve = curve
        self._parameters = values
        self.values = dict(zip(curve.names, values.tolist(), strict=True))
        self.covariance = covariance
        self.converged = converged
        self.stop_reason = stop_reason
        self.steps = steps
        self._x, self._y, self._sigma = x, y, sigma
        self.residuals = residuals

    @property
    def standard_errors(self):
        return dict(zip(self.values, self.covariance.standard_errors.tolist(), strict=True))

    @property
    def correlations(self):
        return self.covariance.correlations

    def predict(self, x):
        """The curve at x, an array like that of the fit; (n,)."""
        return self._curve.predict(self._checked(x), self._parameters)

    def bands(self, x, level=0.95, sigma=None):
        """The curve at x, with the bands in which it and new observations lie.

        Args:
            x: Array like that of the fit.
            level: Number between 0 and 1, the probability of each band.
            sigma: Of a new observation, on the scale of the `sigma` of the fit: a positive number
                or an array (n,). Default None: that of the fit where it was one number; where it
                was an array the bands of observations are NaN.

        Returns:
            `Bands(prediction, mean_lower, mean_upper, observation_lower, observation_upper)`.
        """
        level = number("level", level, above=0, below=1)
        x = self._checked(x)
        if sigma is None:
            sigma = self._sigma if self._sigma.ndim == 0 else np.nan
        else:
            sigma = real_array("sigma", sigma)
            if sigma.shape not in ((), x.shape[:1]) or (sigma <= 0).any():
                raise wrong("sigma", f"positive, a number or an array {x.shape[:1]}", sigma)
        prediction, gradients = self._curve.derivatives(x, self._parameters)
        return bands_around(prediction, gradients, self.covariance, level, sigma)

    def summary(self):
        """A table of the parameters with their errors, as text."""
        degrees = self.covariance.degrees_of_freedom
        t_degrees = np.inf if self.covariance.absolute_sigma else degrees
        t = student_quantile(0.975, t_degrees) if t_degrees > 0 else np.inf
        width = max(9, *(len(name) for name in self.values))
        lines = [f"{'parameter':{width}}{'value':>14}{'standard error':>17}   95 % interval"]
        for name, value in self.values.items():
            error = self.standard_errors[name]
            line = f"{name:{width}}{value:>14.6g}{error:>17.3g}"
            if np.isnan(error):
                line += "   held at a bound"
            elif np.isinf(error):
                line += "   not determined by the data"
            else:
                line += f"   [{value - t * error:.6g}, {value + t * error:.6g}]"
            lines.append(line)
        lines.append(
            f"{len(self._y)} points, {degrees} degrees of freedom, sigma {self._sigma_in_words()}"
        )
        if not self.converged:
            lines.append(f"Not converged after {self.steps} steps")
        return "\n".join(lines + self._strong_correlations())

    def plot(self, path):
        """Saves a picture of data, curve and bands; needs matplotlib and x of one axis."""
        file_path("path", path)
        if self._x.ndim != 1:
            raise ValueError(
                "`plot` draws curves of one predictor. "
                f"Received: a fit with x of shape {self._x.shape}"
            )
        draw_curve_fit(path, self, self._x, self._y, self._sigma)

    def _sigma_in_words(self):
        given, found = self.covariance.absolute_sigma, self.covariance.sigma
        if self._sigma.ndim:
            return "of each point given" if given else f"{found:.4g} times the given (estimated)"
        return f"{found * float(self._sigma):.4g} ({'given' if given else 'estimated'})"

    def _checked(self, x):
        x = real_array("x", x).astype("float64")
        if x.ndim != self._x.ndim or x.shape[1:] != self._x.shape[1:]:
            raise wrong("x", f"an array ({', '.join(['n', *map(str, self._x.shape[1:])])})", x)
        return x

    def _strong_correlations(self):
        names = list(self.values)
        pairs = [
            (self.correlations[i, j], f"{names[j]} and {names[i]}")
            for i in range(len(names))
            for j in range(i)
        ]
        strong = sorted(
            (pair for pair in pairs if abs(pair[0]) >= _LEAST_CORRELATION),
            key=lambda pair: -abs(pair[0]),
        )
        shown = ", ".join(f"{words} {value:.3f}" for value, words in strong[:10])
        return [f"Correlations: {shown}"] if shown else []
