import math

import keras

from .._arguments import integer_or_none, integers
from ._seeds import SeededInitializer, fresh_seed


@keras.saving.register_keras_serializable(package="kerazoo")
class ConvTransposeHeNormal(SeededInitializer):
    """He's normal for transposed convolutions, of which each output reads only some taps.

    `W ~ N(0, 2 * product(strides) / (taps * inputs))`

    The kernel has the shape (..., outputs, inputs), the reverse of a convolution's, and with
    strides every output pixel sees 1 / product(strides) of the taps on average. `he_normal` knows
    neither: output variance 8.0 for 64 to 16 channels, .50 with strides 2, instead of 2. Where
    the strides do not divide the kernel's size the outputs differ from pixel to pixel, with a
    checkerboard; the average is right.

    Args:
        strides: Positive integer, or a tuple of them, one a spatial axis, as in the layer.
        seed: Integer, `keras.random.SeedGenerator`, or `None` (default). Without a seed every
            weight gets values of its own; with an integer every call gives the same.

    Raises:
        ValueError: `strides` is neither, or does not have one number for each spatial axis of the
            kernel.

    Example:

    >>> initializer = kerazoo.initializers.ConvTransposeHeNormal(strides=2, seed=0)
    >>> round(float(keras.ops.std(initializer((4, 4, 16, 64)))), 2)  # sqrt(2 * 4 / 1024)
    0.09

    References:
        He et al., 2015, Delving Deep into Rectifiers, https://arxiv.org/abs/1502.01852
    """

    def __init__(self, strides, seed=None):
        super().__init__(seed)
        self.strides = integers("strides", strides, minimum=1)
        if integer_or_none(strides) is not None:
            (self.strides,) = self.strides

    def __call__(self, shape, dtype=None):
        axes = len(shape) - 2
        strides = self.strides if isinstance(self.strides, tuple) else (self.strides,) * axes
        if axes < 1 or len(strides) != axes:
            raise ValueError(
                "The kernel must have the shape (..., outputs, inputs) with one spatial axis for "
                f"each of `strides`. Received: shape={tuple(shape)}, strides={self.strides}"
            )
        fan_in = math.prod(shape[:-2]) * shape[-1] / math.prod(strides)
        stddev = math.sqrt(2 / fan_in)
        return keras.random.normal(shape, stddev=stddev, dtype=dtype, seed=fresh_seed(self.seed))

    def get_config(self):
        return {**super().get_config(), "strides": self.strides}
