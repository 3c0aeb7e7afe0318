import numpy as np

from .._arguments import real_array, wrong


class Covariance:
    """How far the weights of a fitted model are uncertain, and which of them go together.

    `LeastSquares.covariance`, `LeastSquaresProblem.covariance` and `fit_curve` make it. With the
    rows J of derivatives, weighted by the square root of `sample_weight`, it is the covariance of
    least squares, `sigma^2 (J^T J)^-1`, computed by QR of J with columns of length 1, in float64.
    It holds where the model is close to linear within the errors, and where the residuals are
    independent with mean zero.

    A weight that the data do not determine has an infinite variance and NaN covariances; `rank` is
    then smaller than the number of weights that are free. Weights that a constraint holds at a
    bound have NaN, and the other weights the variances that they have while these stay put.

    Attributes:
        matrix: Array (weights, weights).
        paths: List of strings, one a row of `matrix`: the path of the variable, with the place in
            it, such as "sequential/dense/kernel[0,1]".
        rank: Integer, how many directions in the weights the data determine.
        degrees_of_freedom: Integer, residuals minus `rank`.
        sigma: Standard deviation of a residual of weight 1: 1 with `absolute_sigma=True`, else
            estimated, `sqrt(sum(sample_weight * residual^2) / degrees_of_freedom)`; infinite if
            there are no degrees of freedom.
        absolute_sigma: Boolean, whether `sigma` was given and not estimated.
        standard_errors: Array (weights,), the roots of the variances.
        correlations: Array (weights, weights).

    Example:

    >>> network = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, name="line")])
    >>> x, y = np.arange(4.0)[:, None], np.array([[0.0], [1.1], [1.9], [3.0]])
    >>> model = kerazoo.models.LeastSquares(network)
    >>> model.compile()
    >>> history = model.fit(x, y, epochs=20, verbose=0)
    >>> found = model.covariance(x, y)
    >>> [path.split("/")[-1] for path in found.paths], found.rank, found.degrees_of_freedom
    (['kernel[0,0]', 'bias[0]'], 2, 2)
    >>> [round(float(error), 3) for error in found.standard_errors]
    [0.042, 0.079]

    References:
        Seber and Wild, 1989, Nonlinear Regression, chapter 2.
    """

    def __init__(self, paths, spread, degrees_of_freedom, sigma, absolute_sigma):
        self.paths = list(paths)
        self.rank = spread.rank
        self.degrees_of_freedom = degrees_of_freedom
        self.sigma = sigma
        self.absolute_sigma = absolute_sigma
        self.matrix = _times(sigma**2, spread.covariance())
        self._spread = spread

    @property
    def standard_errors(self):
        return np.sqrt(np.diag(self.matrix))

    @property
    def correlations(self):
        matrix = self._spread.covariance()
        errors = np.sqrt(np.diag(matrix))
        errors = np.where((errors > 0) & np.isfinite(errors), errors, np.nan)
        return matrix / np.outer(errors, errors)

    def standard_deviations(self, gradients):
        """Of quantities that depend on the weights, by the delta method.

        Args:
            gradients: Array (quantities, weights), the derivatives of each in the weights, in the
                order of `paths`.

        Returns:
            Array (quantities,); infinite where the data do not determine the quantity.
        """
        gradients = real_array("gradients", gradients)
        if gradients.ndim != 2 or gradients.shape[1] != len(self.paths):
            raise wrong("gradients", f"an array (quantities, weights={len(self.paths)})", gradients)
        return _times(self.sigma, self._spread.of_combinations(gradients))

    def __repr__(self):
        return (
            f"Covariance({len(self.paths)} weights, rank={self.rank}, "
            f"degrees_of_freedom={self.degrees_of_freedom}, sigma={self.sigma:.6g})"
        )


def _times(factor, values):
    """`factor * values`, where zero and infinity stay what they are."""
    with np.errstate(invalid="ignore"):
        product = factor * values
    return np.where((values == 0) | np.isinf(values), values, product)
