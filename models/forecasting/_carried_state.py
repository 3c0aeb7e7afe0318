"""The recurrent state that rows carry from one chunk of their series to the next."""

import tensorflow as tf


class CarriedState:
    """Variables that hold each row's state between two calls, for training and for validation.

    They are no weights: they belong to the series under way, not to the model, so Keras neither
    saves nor counts them, and validation has its own. Their number of rows is left open, because
    Keras may trace one graph for all numbers of rows, and a graph keeps the variables that it was
    traced with.

    Args:
        widths: The size of each state tensor.
        dtype: Their dtype.
    """

    def __init__(self, widths, dtype):
        self._variables = {
            training: [
                tf.Variable(tf.zeros((0, width), dtype), trainable=False, shape=(None, width))
                for width in widths
            ]
            for training in (False, True)
        }

    def begin(self, training, rows):
        """Makes room for `rows` rows. Until they are reset their state is zero."""
        for variable in self._variables[training]:
            variable.assign(tf.zeros((rows, variable.shape[1]), variable.dtype))

    def read(self, training, reset, initial):
        """The states to begin a chunk with: `initial` in the rows that `reset`, else carried."""
        return [
            tf.where(reset[:, None], start, variable)
            for start, variable in zip(initial, self._variables[training], strict=True)
        ]

    def write(self, training, states):
        """Keeps the states in which a chunk ended."""
        for variable, state in zip(self._variables[training], states, strict=True):
            variable.assign(state)
