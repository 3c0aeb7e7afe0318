import keras
from keras import ops

from .._arguments import number
from ._orthogonal import random_orthogonal
from ._seeds import SeededInitializer, fresh_seed


@keras.saving.register_keras_serializable(package="kerazoo")
class DeltaOrthogonal(SeededInitializer):
    """Convolutions that begin as an orthogonal map of the channels, pixel by pixel.

    All taps are zero but the central one, which is `gain` times a matrix with orthonormal rows.

    Every pixel's norm is kept exactly, forwards and, with as many outputs as inputs, backwards:
    with tanh and the gain of a critical start, plain convolutional nets of 10,000 layers have been
    trained from it. `keras.initializers.Orthogonal` on such a kernel does not do that. For
    "same" padding and strides of 1; not for grouped or transposed convolutions.

    Args:
        gain: Number above 0, the factor on the norm. Default 1; sqrt(2) for relu.
        seed: Integer, `keras.random.SeedGenerator`, or `None` (default). Without a seed every
            weight gets values of its own; with an integer every call gives the same.

    Raises:
        ValueError: `gain` is no finite number above 0, the shape has fewer than three axes, or
            fewer outputs than inputs, which no such map can keep.

    Example:

    >>> layer = keras.layers.Conv2D(
    ...     8, 3, padding="same", kernel_initializer=kerazoo.initializers.DeltaOrthogonal()
    ... )
    >>> x = np.ones((1, 5, 5, 4))
    >>> squares = keras.ops.convert_to_numpy(layer(x)) ** 2
    >>> np.allclose(np.sum(squares, axis=-1), 4, atol=1e-5)
    True

    References:
        Xiao et al., 2018, Dynamical Isometry and a Mean Field Theory of CNNs,
        https://arxiv.org/abs/1806.05393
    """

    def __init__(self, gain=1.0, seed=None):
        super().__init__(seed)
        self.gain = number("gain", gain, above=0)

    def __call__(self, shape, dtype=None):
        *spatial, inputs, outputs = shape
        if not spatial or inputs > outputs:
            raise ValueError(
                "The kernel must have the shape (..., inputs, outputs), spatial axes first, and at "
                f"least as many outputs as inputs. Received: shape={tuple(shape)}"
            )
        Q = random_orthogonal((outputs, inputs), fresh_seed(self.seed), dtype)
        before = [(size - 1) // 2 for size in spatial]
        pads = [(b, size - 1 - b) for b, size in zip(before, spatial, strict=True)]
        centre = ops.reshape(self.gain * ops.transpose(Q), (*[1] * len(spatial), inputs, outputs))
        return ops.pad(centre, [*pads, (0, 0), (0, 0)])

    def get_config(self):
        return {**super().get_config(), "gain": self.gain}
