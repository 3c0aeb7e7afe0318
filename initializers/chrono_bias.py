import keras
from keras import ops

from .._arguments import positive_integer
from ._seeds import SeededInitializer, fresh_seed


@keras.saving.register_keras_serializable(package="kerazoo")
class ChronoBias(SeededInitializer):
    """LSTM biases that start its memory at time scales from 1 to `max_time` steps.

    `b_forget = log(U(1, max_time - 1))`, `b_input = -b_forget`, the others 0

    `LSTM(units, bias_initializer=ChronoBias(60), unit_forget_bias=False)`

    A forget gate of bias b keeps a value for about `1 + exp(b)` steps; Keras's bias of 1 keeps it
    for four, too few for a gradient to find what happened 60 steps ago. Recalling a sign after 60
    steps of slight noise, three seeds are at 99.5 to 100 % after three epochs, with Keras's bias
    at 47 to 49 (scripts/compare_bias_starts.py). Where only the last few steps matter it slows the
    start. Not for `GRU`.

    Set `unit_forget_bias=False`. Otherwise Keras asks for the biases gate by gate, in pieces that
    cannot be told from a narrower LSTM's, and puts ones on the forget gate: `max_time` is lost.

    Args:
        max_time: Integer above 2, the longest delay to be bridged, in steps.
        seed: Integer, `keras.random.SeedGenerator`, or `None` (default). Without a seed every
            weight gets values of its own; with an integer every call gives the same.

    Raises:
        ValueError: `max_time` is not an integer above 2, or the shape is not (4 * units,).

    Example:

    >>> bias = kerazoo.initializers.ChronoBias(max_time=60)((4 * 5,))
    >>> i, f, c, o = np.split(bias, 4)
    >>> bool(np.all(f >= 0) and np.all(f <= np.log(59)) and np.all(i == -f))
    True

    References:
        Tallec and Ollivier, 2018, Can recurrent neural networks warp time?,
        https://arxiv.org/abs/1804.11188
    """

    def __init__(self, max_time, seed=None):
        super().__init__(seed)
        self.max_time = positive_integer("max_time", max_time)
        if self.max_time < 3:
            raise ValueError(f"`max_time` must be above 2. Received: max_time={max_time}")

    def __call__(self, shape, dtype=None):
        if len(shape) != 1 or shape[0] % 4:
            raise ValueError(
                "`ChronoBias` is for the bias of an LSTM, of shape (4 * units,), with "
                f"`unit_forget_bias=False`. Received: shape={tuple(shape)}"
            )
        time = keras.random.uniform(
            (shape[0] // 4,), 1.0, self.max_time - 1.0, dtype=dtype, seed=fresh_seed(self.seed)
        )
        b_forget = ops.log(time)
        zeros = ops.zeros_like(b_forget)
        return ops.concatenate([-b_forget, b_forget, zeros, zeros])

    def get_config(self):
        return {**super().get_config(), "max_time": self.max_time}
