import keras
from keras import ops

from ._running_scale import RunningScale


@keras.saving.register_keras_serializable(package="kerazoo")
class QNetwork(keras.layers.Layer):
    """Observations (batch, time, ...) and an LSTM's state to values (batch, time, actions).

    Without `memory` every step begins with the empty state: the same network and weights.
    """

    def __init__(self, num_actions, units, memory, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.num_actions, self.units, self.memory, self.seed = num_actions, units, memory, seed
        seeds = [None if seed is None else seed + i for i in range(4)]
        glorot, orthogonal = keras.initializers.GlorotUniform, keras.initializers.Orthogonal
        policy = self.dtype_policy
        self.scale = RunningScale(dtype=policy)
        self.encoder = keras.layers.Dense(
            units, "relu", kernel_initializer=glorot(seeds[0]), dtype=policy
        )
        self.lstm = keras.layers.LSTM(
            units,
            kernel_initializer=glorot(seeds[1]),
            recurrent_initializer=orthogonal(seed=seeds[2]),
            return_sequences=True,
            return_state=True,
            unroll=True,  # windows are short, and a loop in the graph costs more than its steps
            dtype=policy,
        )
        self.head = keras.layers.Dense(
            num_actions, kernel_initializer=glorot(seeds[3]), dtype=policy
        )

    def build(self, input_shape):
        self.scale.build((None, *input_shape[2:]))
        self.encoder.build(input_shape)
        self.lstm.build((*input_shape[:2], self.units))
        self.head.build((*input_shape[:2], self.units))
        self.built = True

    def call(self, observations, state, seen=None):
        """The values, and the state after the last step that was `seen`."""
        x = self.encoder(self.scale(observations))
        if self.memory:
            x, *state = self.lstm(x, initial_state=state, mask=seen)
        else:
            time = x.shape[1]
            x = self.lstm(ops.reshape(x, (-1, 1, self.units)))[0]
            x = ops.reshape(x, (-1, time, self.units))
        return self.head(x), state

    def empty_state(self, rows):
        return [ops.zeros((rows, self.units), self.compute_dtype)] * 2

    def get_config(self):
        names = ("num_actions", "units", "memory", "seed")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}
