import keras
from keras import ops

from .._arguments import number
from ._orthogonal import random_orthogonal
from ._seeds import SeededInitializer, fresh_seed


@keras.saving.register_keras_serializable(package="kerazoo")
class PerGateOrthogonal(SeededInitializer):
    """Recurrent kernels in which each gate's block is orthogonal by itself.

    `kernel = gain * [Q_1, ..., Q_gates]`, each `Q_g` of shape (units, units)

    Keras's default for `LSTM` and `GRU` is orthogonal as a whole, (units, gates * units), which
    leaves each gate a block that shrinks: its singular values run from .8 to nearly 0. As
    `recurrent_initializer` of `LSTM`, `GRU` and `SimpleRNN`; the gates are counted from the shape.

    Args:
        gain: Number above 0. Default 1.
        seed: Integer, `keras.random.SeedGenerator`, or `None` (default). Without a seed every
            weight gets values of its own; with an integer every call gives the same.

    Raises:
        ValueError: `gain` is no finite number above 0, or the shape is not (units, gates * units).

    Example:

    >>> kernel = kerazoo.initializers.PerGateOrthogonal()((6, 4 * 6))
    >>> np.allclose([Q.T @ Q for Q in np.split(kernel, 4, axis=1)], np.eye(6), atol=1e-5)
    True

    References:
        Saxe et al., 2014, Exact solutions to the nonlinear dynamics of learning,
        https://arxiv.org/abs/1312.6120
    """

    def __init__(self, gain=1.0, seed=None):
        super().__init__(seed)
        self.gain = number("gain", gain, above=0)

    def __call__(self, shape, dtype=None):
        if len(shape) != 2 or shape[1] % shape[0]:
            raise ValueError(
                "A recurrent kernel has the shape (units, gates * units). "
                f"Received: shape={tuple(shape)}"
            )
        units, gates = shape[0], shape[1] // shape[0]
        Q = random_orthogonal((gates, units, units), fresh_seed(self.seed), dtype)
        # (gates, units, units) -> (units, gates * units)
        return self.gain * ops.reshape(ops.transpose(Q, (1, 0, 2)), shape)

    def get_config(self):
        return {**super().get_config(), "gain": self.gain}
