import math

import keras

from ._seeds import SeededInitializer, fresh_seed


@keras.saving.register_keras_serializable(package="kerazoo")
class EfficientNetConvKernel(SeededInitializer):
    """The normal that EfficientNet starts its convolutions from, depthwise ones included.

    `W ~ N(0, 2 / fan_out)`, `fan_out = taps * last axis of the kernel`

    For building EfficientNet and its relatives as published. It keeps the variance of gradients
    rather than of outputs, and those networks normalize the outputs anyway. On a depthwise kernel
    of multiplier 1 it is `DepthwiseHeNormal`. Fan_out is not divided by groups.

    Args:
        seed: Integer, `keras.random.SeedGenerator`, or `None` (default). Without a seed every
            weight gets values of its own; with an integer every call gives the same.

    Raises:
        ValueError: the shape has fewer than three axes.

    Example:

    >>> initializer = kerazoo.initializers.EfficientNetConvKernel(seed=0)
    >>> round(float(keras.ops.std(initializer((3, 3, 16, 200)))), 2)  # sqrt(2 / (9 * 200))
    0.03

    References:
        Tan and Le, 2019, EfficientNet, https://arxiv.org/abs/1905.11946, and its public code
    """

    def __call__(self, shape, dtype=None):
        if len(shape) < 3:
            raise ValueError(
                "A convolution's kernel has spatial axes, inputs and outputs. "
                f"Received: shape={tuple(shape)}"
            )
        stddev = math.sqrt(2 / (math.prod(shape[:-2]) * shape[-1]))
        return keras.random.normal(shape, stddev=stddev, dtype=dtype, seed=fresh_seed(self.seed))
