import math

import keras

from ._seeds import SeededInitializer, fresh_seed


@keras.saving.register_keras_serializable(package="kerazoo")
class DepthwiseHeNormal(SeededInitializer):
    """He's normal for depthwise kernels, whose outputs each read one channel.

    `W ~ N(0, 2 / taps)`, `taps` the product of the kernel's spatial sizes

    The kernel of a depthwise convolution has the shape (..., channels, multiplier), from which
    `he_normal` counts all channels as inputs: with 64 of them it gives an output variance of .034
    instead of 2. For `DepthwiseConv1D`, `DepthwiseConv2D`, and the `depthwise_initializer` of
    separable convolutions; not for grouped convolutions, whose kernels `he_normal` reads rightly.

    Args:
        seed: Integer, `keras.random.SeedGenerator`, or `None` (default). Without a seed every
            weight gets values of its own; with an integer every call gives the same.

    Raises:
        ValueError: the shape has fewer than three axes.

    Example:

    >>> initializer = kerazoo.initializers.DepthwiseHeNormal(seed=0)
    >>> round(float(keras.ops.std(initializer((3, 3, 5000, 1)))), 2)  # sqrt(2 / 9)
    0.47

    References:
        He et al., 2015, Delving Deep into Rectifiers, https://arxiv.org/abs/1502.01852
    """

    def __call__(self, shape, dtype=None):
        if len(shape) < 3:
            raise ValueError(
                "A depthwise kernel has the shape (..., channels, multiplier) with spatial axes "
                f"first. Received: shape={tuple(shape)}"
            )
        stddev = math.sqrt(2 / math.prod(shape[:-2]))
        return keras.random.normal(shape, stddev=stddev, dtype=dtype, seed=fresh_seed(self.seed))
