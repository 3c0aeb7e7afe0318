import numpy as np

from ..._arguments import positive_integer, wrong
from .side_by_side.outcome import Outcome, shortened


class CurveFits(Outcome):
    """A curve fitted to many data sets; `fit_curves` makes it.

    Each array has the data sets along its first axis.

    Attributes:
        values: Dictionary of arrays (datasets,) by parameter.
        standard_errors: Dictionary of arrays (datasets,) by parameter: infinite where the data do
            not determine it, NaN where a bound holds it or the fit has failed.
        losses: Array (datasets,), `sum(((y - f(x)) / sigma)^2)`; NaN where no finite one was found.
        converged: Booleans (datasets,).
        stop_codes: Integers (datasets,), as `history["stop_code"]` of `LeastSquares` has them.
        steps: Integers (datasets,), steps taken.
        starts: Integers (datasets,), which start gave the best fit: 0 is `p0`.
        degrees_of_freedom: Integers (datasets,), points minus determined parameters.

    Example:

    >>> x = np.arange(4.0)
    >>> fits = kerazoo.models.fit_curves(
    ...     lambda x, a, b: a + b * x, x, [2 * x + [0, 0.1, 0, 0], 1 - x], [0.0, 0.0], shared_x=True
    ... )
    >>> print(fits.summary())
    data set             a                         b
           0          0.04 +- 0.0495            1.99 +- 0.0265  converged
           1             1 +- 0                   -1 +- 0       converged
    2 of 2 fits have converged
    >>> fits.predict(np.array([10.0])).round(2).ravel()
    array([19.94, -9.  ])
    """

    def __init__(self, curve, ends, losses, errors, point_rank):
        super().__init__(ends, losses, errors)
        self._curve = curve
        self._parameters = ends.weights
        self._point_rank = point_rank
        self.values = dict(zip(curve.names, ends.weights.T, strict=True))
        self.standard_errors = dict(zip(curve.names, errors.T, strict=True))

    def predict(self, x):
        """The curves at x, an array (datasets, n), or a list of arrays where x is one.

        Args:
            x: Array like that of the fit, (n, ...), the same for all data sets, or (datasets, n,
                ...); or a list of such arrays, one a data set, of any lengths.
        """
        wanted = (
            "an array (n, ...) or (datasets, n, ...) like that of the fit, or a list of an array "
            f"(n, ...) for each of the {len(self)} data sets, of finite numbers"
        )
        listed = isinstance(x, (list, tuple)) and all(np.ndim(part) for part in x)
        if listed:
            parts = [_finite(part, wanted, x) for part in x]
            if len(parts) != len(self) or any(p.ndim != self._point_rank + 1 for p in parts):
                raise wrong("x", wanted, x)
        else:
            array = _finite(x, wanted, x)
            if array.ndim == self._point_rank + 1:
                parts = [array] * len(self)
            elif array.ndim == self._point_rank + 2 and len(array) == len(self):
                parts = list(array)
            else:
                raise wrong("x", wanted, x)
        pairs = zip(parts, self._parameters, strict=True)
        curves = [self._curve.predict(part, values) for part, values in pairs]
        return curves if listed else np.stack(curves)

    def summary(self, rows=20):
        """A table of the values with their standard errors, as text.

        Args:
            rows: Positive integer, data sets shown. None: all.
        """
        rows = positive_integer("rows", rows, also=(None,))
        head = "data set" + "".join(f"{name:>14}{'':12}" for name in self.values)
        lines = []
        for i in range(len(self)):
            cells = [
                f"{value[i]:>14.6g} +- {error[i]:<8.3g}"
                for value, error in zip(
                    self.values.values(), self.standard_errors.values(), strict=True
                )
            ]
            end = "converged" if self.converged[i] else "not converged"
            lines.append(f"{i:>8}{''.join(cells)}{end}")
        return "\n".join([head.rstrip(), *shortened(lines, rows, len(self)), self._totals()])


def _finite(x, wanted, given):
    try:
        array = np.asarray(x, "float64")
    except (TypeError, ValueError) as error:
        raise wrong("x", wanted, given) from error
    if not np.isfinite(array).all():
        raise wrong("x", wanted, given)
    return array
