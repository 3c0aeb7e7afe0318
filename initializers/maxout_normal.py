import math

import keras
import numpy as np

from .._arguments import positive_integer
from ._gaussian_mean import gaussian_mean
from ._variance_scaling import VarianceScaling


@keras.saving.register_keras_serializable(package="kerazoo")
class MaxoutNormal(VarianceScaling):
    """A normal that keeps the mean square of a signal through maxout units.

    `W ~ N(0, c / fan_in)`, `1 / c = E[max(z_1, ..., z_pieces)**2]`, `z_p ~ N(0, 1)`

    c is 1 for two pieces, then .784, .645, .556. With `he_normal` a net of 20 maxout layers
    multiplies the mean square by 1e6 (2 pieces) to 1e11 (5). fan_in counts the inputs alone, so it
    is right for `MaxoutDense`, `MaxoutConv2D`, and a `Dense` or convolution followed by `Maxout`.

    What is kept is the mean square of the outputs, which have a mean above 0 from three pieces on.
    Gradients are kept with two pieces; with three to five they shrink to about .1 over 20 layers.

    Args:
        pieces: Positive integer, as in the maxout layer.
        seed: Integer, `keras.random.SeedGenerator`, or `None` (default). Without a seed every
            weight gets values of its own; with an integer every call gives the same.
        input_axes: As in `ActivationNormal`.
        output_axes: As in `ActivationNormal`.

    Raises:
        ValueError: `pieces` is not a positive integer.

    Example:

    >>> initializer = kerazoo.initializers.MaxoutNormal(pieces=2, seed=0)
    >>> round(float(keras.ops.std(initializer((100, 2 * 300)))), 2)  # sqrt(1 / 100)
    0.1

    References:
        Tseran and Montufar, 2023, Expected Gradients of Maxout Networks,
        https://arxiv.org/abs/2301.06956
    """

    def __init__(self, pieces, seed=None, input_axes=None, output_axes=None):
        self.pieces = positive_integer("pieces", pieces)
        scale = 1 / mean_square_of_largest(self.pieces)
        super().__init__(scale, "fan_in", "untruncated_normal", seed, input_axes, output_axes)

    def get_config(self):
        return {**super().get_config(), "pieces": self.pieces}


def mean_square_of_largest(pieces):
    """E[max**2] of that many independent N(0, 1): the density is K phi(t) Phi(t)**(K - 1)."""
    erfc = np.vectorize(math.erfc)

    def weighted_square(t):
        Phi = erfc(-t / math.sqrt(2)) / 2
        return t**2 * pieces * Phi ** (pieces - 1)

    return gaussian_mean(weighted_square)
