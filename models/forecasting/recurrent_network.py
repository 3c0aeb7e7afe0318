"""The network under the forecaster: initial states, recurrent layers, and a dense head."""

import keras

from ...layers import InitialState
from ._fused_lstm import can_fuse, fused_lstm

# Each with the number of its states.
_CELLS = {"lstm": (keras.layers.LSTM, 2), "gru": (keras.layers.GRU, 1)}
CELL_NAMES = tuple(_CELLS)


class RecurrentNetwork(keras.layers.Layer):
    """A stack of recurrent layers that can be run over whole sequences or step by step.

    States are flat lists, `[h, c, h, c, ...]` of LSTM layers and `[h, h, ...]` of GRU layers,
    each of shape `(batch, width)`.

    Args:
        cell: "lstm" or "gru".
        widths: The layers' units.
        outputs: Integer, the values predicted at each step.
        initial_state: The mode of `InitialState`.
        dropout: Share of each layer's outputs dropped in training.
        head_initializer: Initializer of the head's kernel.
    """

    def __init__(self, cell, widths, outputs, initial_state, dropout, head_initializer, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True
        policy = self.dtype_policy
        recurrent, self._num_states = _CELLS[cell]
        self.starts = [
            InitialState(width, self._num_states, mode=initial_state, dtype=policy)
            for width in widths
        ]
        self.recurrent = [
            recurrent(width, return_sequences=True, return_state=True, dtype=policy)
            for width in widths
        ]
        self.dropouts = [keras.layers.Dropout(dropout, dtype=policy) for _ in widths]
        # In half precision the head still predicts in full: rounding there is a forecast error.
        self.head = keras.layers.Dense(
            outputs, kernel_initializer=head_initializer, dtype=self.variable_dtype
        )

    def build(self, input_shape):
        features = input_shape[-1]
        for start, layer in zip(self.starts, self.recurrent, strict=True):
            start.build(input_shape)
            layer.build((None, None, features))
            features = layer.units
        self.head.build((None, None, features))
        self.built = True

    @property
    def state_widths(self):
        return [layer.units for layer in self.recurrent for _ in range(self._num_states)]

    def initial_states(self, x, training=None):
        """The states to begin with, for as many rows as `x` has."""
        return [state for start in self.starts for state in start(x, training=training)]

    def call(self, x, states, mask=None, training=None, fuse=False):
        """All steps of `x`, `(batch, time, inputs)`: the outputs and the states at the end.

        With `fuse` the layers that can be are one operation each, which XLA does not know; `mask`
        is None then.
        """
        ended = []
        for i, (layer, dropout) in enumerate(zip(self.recurrent, self.dropouts, strict=True)):
            begin = self._states_of(i, states)
            if fuse and can_fuse(layer):
                x, after = fused_lstm(layer, x, begin)
            else:
                x, *after = layer(x, initial_state=begin, mask=mask, training=training)
            x = dropout(x, training=training)
            ended += after
        return self.head(x), ended

    def compute_mask(self, *args, **kwargs):
        """None: what comes out is read where the mask ends, and nothing follows that needs it."""

    def step(self, x, states):
        """One step, `x` of shape `(batch, inputs)`, through the same cells."""
        ended = []
        for i, layer in enumerate(self.recurrent):
            x, after = layer.cell(x, self._states_of(i, states))
            ended += after
        return self.head(x), ended

    def _states_of(self, layer, states):
        return states[layer * self._num_states : (layer + 1) * self._num_states]
