import keras
from keras import ops

from .._arguments import choice, integer, number, positive_integer, unused
from .._keras_objects import keras_object

MODES = ("zeros", "learned", "noisy")


@keras.saving.register_keras_serializable(package="kerazoo")
class InitialState(keras.layers.Layer):
    """Gives a recurrent layer its first state: zeros, learned, or noisy.

    `LSTM(units)(x, initial_state=InitialState(units)(x))`

    The recurrent layer stays as it is, with its fast path. Of the inputs only the batch size is
    read. `"learned"` trains one vector a state, the same for every example: worth its few weights
    where sequences are short, so that the start is a large part of them. `"noisy"` adds noise to
    zeros in training, so that the network forgets its start instead of relying on it. A state
    computed from features of the example is a `Dense` on those features, not this layer.

    Args:
        units: Positive integer, as in the recurrent layer.
        num_states: Positive integer. 2 (default) for `LSTM`, 1 for `GRU` and `SimpleRNN`; twice
            that for a `Bidirectional` one.
        mode: `"zeros"` (default); `"learned"`: a trainable weight of shape `(num_states, units)`,
            row i for state i; `"noisy"`: independent noise N(0, stddev**2) for every example, drawn
            anew at each call in training, and zeros otherwise.
        stddev: Number not below 0, the standard deviation of the noise; used with `mode="noisy"`
            alone. Default 0.1.
        state_initializer: Initializer of the learned state; used with `mode="learned"` alone.
            Default `"zeros"`.
        seed: Integer, or `None` (default) for one drawn at random; used with `mode="noisy"` alone.
        **kwargs: `name`, `dtype` and the other arguments of `keras.layers.Layer`.

    Input shape: any whose first axis is the batch, e.g. what the recurrent layer takes.

    Output shape: a list of `num_states` tensors of shape `(batch, units)`, also where it is one.

    Mask: none comes out, since a state has no time axis. Mind that Keras hands a mask on to a
    recurrent layer only when the sequence is its one tensor argument: beside `initial_state` pass
    `mask=` yourself, e.g. `mask=embedding.compute_mask(tokens)`, or padding is read as data.

    Raises:
        ValueError: `units` or `num_states` is not a positive integer, `mode` is none of the three,
            `stddev` is negative or not a finite number, an argument is given that `mode` does not
            use, or the inputs have no axis.

    Example:

    >>> x = keras.Input((None, 3))
    >>> states = kerazoo.layers.InitialState(8, mode="learned")(x)
    >>> keras.layers.LSTM(8)(x, initial_state=states).shape
    (None, 8)
    """

    def __init__(
        self,
        units,
        num_states=2,
        mode="zeros",
        stddev=0.1,
        state_initializer="zeros",
        seed=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.units = positive_integer("units", units)
        self.num_states = positive_integer("num_states", num_states)
        self.mode = choice("mode", mode, MODES)
        self.stddev = number("stddev", stddev, minimum=0)
        self.state_initializer = keras_object("state_initializer", state_initializer)
        self.seed = integer("seed", seed, minimum=0, also=(None,))
        if self.mode == "noisy":
            self.seed_generator = keras.random.SeedGenerator(self.seed)
        else:
            unused("stddev", self.stddev, 0.1, f"with `mode={self.mode!r}`")
            unused("seed", self.seed, None, f"with `mode={self.mode!r}`")
        if self.mode != "learned":
            unused("state_initializer", state_initializer, "zeros", f"with `mode={self.mode!r}`")
        self.input_spec = keras.layers.InputSpec(min_ndim=1)
        self.supports_masking = True

    def build(self, input_shape):
        self.compute_output_shape(input_shape)
        if self.mode == "learned":
            # One weight, not one a state: an initializer gives the same numbers each time it is
            # called, so two random states would begin equal.
            self.initial_states = self.add_weight(
                name="initial_states",
                shape=(self.num_states, self.units),
                initializer=self.state_initializer,
            )

    def call(self, inputs, training=False):
        shape = (ops.shape(inputs)[0], self.units)
        if self.mode == "learned":
            states = ops.unstack(ops.convert_to_tensor(self.initial_states))
            return [ops.broadcast_to(state, shape) for state in states]
        if self.mode == "noisy" and training:
            return [self._noise(shape) for _ in range(self.num_states)]
        return [ops.zeros(shape, self.compute_dtype) for _ in range(self.num_states)]

    def compute_mask(self, inputs, previous_mask):
        return [None] * self.num_states

    def compute_output_shape(self, input_shape):
        if len(input_shape) == 0:
            raise ValueError("The inputs must have a batch axis. Received: input_shape=()")
        return [(input_shape[0], self.units)] * self.num_states

    @classmethod
    def from_config(cls, config):
        unread = ("stddev", "seed") if config["mode"] != "noisy" else ()
        unread += ("state_initializer",) if config["mode"] != "learned" else ()
        return cls(**{name: value for name, value in config.items() if name not in unread})

    def get_config(self):
        return {
            **super().get_config(),
            "units": self.units,
            "num_states": self.num_states,
            "mode": self.mode,
            "stddev": self.stddev,
            "state_initializer": keras.initializers.serialize(self.state_initializer),
            "seed": self.seed,
        }

    def _noise(self, shape):
        return keras.random.normal(
            shape, stddev=self.stddev, dtype=self.compute_dtype, seed=self.seed_generator
        )
