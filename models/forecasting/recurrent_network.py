"""The network under the forecaster: initial states, LSTM layers, and a dense head."""

import keras

from ...layers import InitialState


class RecurrentNetwork(keras.layers.Layer):
    """A stack of LSTM layers that can be run over whole sequences or step by step.

    States are flat lists `[h, c, h, c, ...]`, two tensors `(batch, width)` a layer.

    Args:
        widths: The LSTM layers' units.
        outputs: Integer, the values predicted at each step.
        initial_state: The mode of `InitialState`.
        dropout: Share of each LSTM layer's outputs dropped in training.
    """

    def __init__(self, widths, outputs, initial_state, dropout, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True
        policy = self.dtype_policy
        self.starts = [InitialState(width, mode=initial_state, dtype=policy) for width in widths]
        self.recurrent = [
            keras.layers.LSTM(width, return_sequences=True, return_state=True, dtype=policy)
            for width in widths
        ]
        self.dropouts = [keras.layers.Dropout(dropout, dtype=policy) for _ in widths]
        # In half precision the head still predicts in full: rounding there is a forecast error.
        self.head = keras.layers.Dense(outputs, dtype=self.variable_dtype)

    def build(self, input_shape):
        features = input_shape[-1]
        for start, lstm in zip(self.starts, self.recurrent, strict=True):
            start.build(input_shape)
            lstm.build((None, None, features))
            features = lstm.units
        self.head.build((None, None, features))
        self.built = True

    @property
    def state_widths(self):
        return [width for lstm in self.recurrent for width in lstm.cell.state_size]

    def initial_states(self, x, training=None):
        """The states to begin with, for as many rows as `x` has."""
        return [state for start in self.starts for state in start(x, training=training)]

    def call(self, x, states, mask=None, training=None):
        """All steps of `x`, `(batch, time, features)`: the outputs and the states at the end."""
        ended = []
        for i, (lstm, dropout) in enumerate(zip(self.recurrent, self.dropouts, strict=True)):
            begin = states[2 * i : 2 * i + 2]
            x, *after = lstm(x, initial_state=begin, mask=mask, training=training)
            x = dropout(x, training=training)
            ended += after
        return self.head(x), ended

    def compute_mask(self, *args, **kwargs):
        """None: what comes out is read where the mask ends, and nothing follows that needs it."""

    def step(self, x, states):
        """One step, `x` of shape `(batch, features)`, through the same cells."""
        ended = []
        for i, lstm in enumerate(self.recurrent):
            x, after = lstm.cell(x, states[2 * i : 2 * i + 2])
            ended += after
        return self.head(x), ended
