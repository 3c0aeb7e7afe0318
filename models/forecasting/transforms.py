"""The transforms of a series' values, and their inverses with the mean kept."""

import math

import numpy as np

from ..._arguments import choice

TRANSFORM_NAMES = ("log", "log1p", "sqrt")
# Of a standard deviation of 1.5, at which the mean is three times the median
_LARGEST_LOG_VARIANCE = 2.25
_FORWARD = {"log": np.log, "log1p": np.log1p, "sqrt": np.sqrt}
_BOUND = {"log": "above 0", "log1p": "at least 0", "sqrt": "at least 0"}


class Transform:
    """`z = f(y)` of a series' values, and back.

    Forecasts are made of `z`. Undoing `f` on the mean of a distribution of `z` gives the median
    of `y`, which lies below its mean: by 39 % for `log` and a standard deviation of 1. Pass the
    variance to `invert` and it returns the mean of `y`.

    Args:
        name: None (`z = y`), "log" (values above 0), "log1p" (`log(1 + y)`) or "sqrt" (values of
            at least 0).

    Raises:
        ValueError: `name` is none of these.

    Example:

    >>> log = kerazoo.models.forecasting.transforms.Transform("log")
    >>> log.invert(log.apply(np.array([1.0, 10.0])))
    array([ 1., 10.])
    >>> float(log.invert(0.0, variance=1.0)) == np.exp(0.5)
    True
    """

    def __init__(self, name=None):
        self.name = choice("transform", name, TRANSFORM_NAMES, also=(None,))

    def apply(self, values, name="series"):
        """`f(values)`; NaN stays NaN.

        Raises:
            ValueError: a value lies where `f` is not defined; `name` is what the message calls
                the values.
        """
        if self.name is None:
            return values
        values = np.asarray(values)
        outside = values <= 0 if self.name == "log" else values < 0
        if outside.any():
            raise ValueError(
                f"`{name}` must be {_BOUND[self.name]} everywhere for transform={self.name!r}. "
                f"Received: a value of {values[outside][0]:g}"
            )
        return _FORWARD[self.name](values)

    def invert(self, z, variance=None):
        """The value whose transform is `z`; with `variance`, the mean value.

        What lies below the range of `f` is clipped to it, so that "log1p" and "sqrt" never give
        less than 0. The mean is that of this clipped inverse where `z` is normal:

        - "log": `exp(z + v / 2)`
        - "log1p": `exp(z + v / 2) * P((z + v) / s) - P(z / s)`
        - "sqrt": `(z**2 + v) * P(z / s) + z * s * p(z / s)`

        with `v` the variance, `s` its root, and `P` and `p` the standard normal distribution and
        density. Far above 0 these are the textbook's `exp(z + v / 2) - 1` and `z**2 + v`. After a
        logarithm a variance above 2.25 counts as that: the mean of a wider distribution is made by
        a tail that errors hardly show, and would be many times whatever was seen.

        Args:
            z: Array of any shape; NaN stays NaN.
            variance: Array of the same or a broadcast shape, at least 0, or None.

        Raises:
            ValueError: a value is too large for float64.
        """
        if self.name is None:
            return z
        z = np.asarray(z, "float64")
        with np.errstate(over="ignore", invalid="ignore"):
            y = self._inverse(z) if variance is None else self._mean_inverse(z, variance)
        too_large = ~np.isfinite(y) & ~np.isnan(z)
        if too_large.any():
            raise ValueError(
                f"Undoing transform={self.name!r} gives a value too large for float64: the "
                "forecast has run away, often because it reaches too far ahead. Received: "
                f"{np.broadcast_to(z, y.shape)[too_large][0]:g} in transformed units"
            )
        return y

    def _inverse(self, z):
        if self.name == "log":
            return np.exp(z)
        z = np.maximum(z, 0.0)
        return np.expm1(z) if self.name == "log1p" else z**2

    def _mean_inverse(self, z, variance):
        variance = np.asarray(variance, "float64")
        if self.name != "sqrt":
            variance = np.minimum(variance, _LARGEST_LOG_VARIANCE)
        if self.name == "log":
            return np.exp(z + variance / 2)
        z, variance = np.broadcast_arrays(z, variance)
        s = np.sqrt(variance)
        ratio = np.divide(z, s, out=np.full(z.shape, np.inf), where=s > 0)
        if self.name == "log1p":
            # The two probabilities differ from 1 by so little, far above 0, that their
            # difference would lose the digits of a small value: so expm1 and what is missing.
            missing = _cdf(-ratio) - np.exp(z + variance / 2) * _cdf(-ratio - s)
            mean = np.expm1(z + variance / 2) + np.where(ratio < 38, missing, 0.0)
        else:
            density = np.exp(-(ratio**2) / 2) / math.sqrt(2 * math.pi)
            mean = (z**2 + variance) * _cdf(ratio) + z * s * density
        return np.where(s > 0, np.maximum(mean, 0.0), self._inverse(z))


def _cdf(x):
    """The standard normal distribution function; small values keep their digits."""
    return 0.5 * np.vectorize(math.erfc, otypes=["float64"])(-x / math.sqrt(2))
