"""Running a trained network: over a context, one step on, and on from its own predictions."""

import numpy as np
import tensorflow as tf

# Steps in one turn of the loop: a turn of TensorFlow's loop costs about as much as a small step.
_UNROLLED = 4


def rollout(step, first, states, horizon):
    """`horizon` predictions, `(batch, horizon, features)`, each the input of the next.

    `x[0] = first;  x[t], states = step(x[t - 1], states)`

    Args:
        step: Function `(x, states) -> (prediction, states)` of one time step.
        first: Tensor `(batch, features)`, the prediction of the first step.
        states: The recurrent states that belong to it.
        horizon: Integer or integer tensor.
    """
    turns = (horizon + _UNROLLED - 1) // _UNROLLED
    batch, features = first.shape
    predictions = tf.TensorArray(
        first.dtype, size=turns, element_shape=(batch, _UNROLLED, features)
    )

    def turn(i, x, states, predictions):
        block = []
        for _ in range(_UNROLLED):
            block.append(x)
            x, states = step(x, states)
        return i + 1, x, states, predictions.write(i, tf.stack(block, axis=1))

    *_, predictions = tf.while_loop(
        lambda i, *_: i < turns, turn, (tf.constant(0), first, states, predictions)
    )
    # (turns, batch, unrolled, features) -> (batch, steps, features)
    blocks = tf.transpose(predictions.stack(), (1, 0, 2, 3))
    return tf.reshape(blocks, (tf.shape(first)[0], turns * _UNROLLED, features))[:, :horizon]


class CompiledNetwork:
    """A `RecurrentNetwork`'s inference as graphs, each traced once for any batch and length.

    Sequences come as lists of NumPy arrays `(time, features)` of unequal length and are padded
    here; results are NumPy, in the network's units.
    """

    def __init__(self, network, num_features):
        self._num_features = num_features
        self._dtype = dtype = network.compute_dtype
        series = tf.TensorSpec((None, None, num_features), dtype)
        one = tf.TensorSpec((None, num_features), dtype)
        mask = tf.TensorSpec((None, None), "bool")
        states = [tf.TensorSpec((None, width), dtype) for width in network.state_widths]
        horizon = tf.TensorSpec((), "int32")

        def one_step(x):
            return network(x, network.initial_states(x))[0]

        def warm_up(x, mask=None):
            # Masked steps leave states and outputs as they were at a series' last step.
            predictions, ended = network(x, network.initial_states(x), mask=mask)
            return predictions[:, -1], ended

        def forecast(x, horizon, mask=None):
            return rollout(network.step, *warm_up(x, mask), horizon)

        self._one_step = tf.function(one_step, [series])
        self._warm_up = tf.function(warm_up, [series, mask])
        self._step = tf.function(network.step, [one, states])
        # Without a mask, where all are equally long, Keras's LSTM is faster.
        self._forecast = tf.function(forecast, [series, horizon])
        self._forecast_unequal = tf.function(forecast, [series, horizon, mask])
        self._forecast_by_xla = tf.function(forecast, jit_compile=True)

    def one_step(self, sequences):
        """For each sequence its one-step predictions, `(time, features)`."""
        x, _ = self._pad(sequences)
        found = _double(self._one_step(x))
        return [one[: len(sequence)] for one, sequence in zip(found, sequences, strict=True)]

    def warm_up(self, sequences):
        """The predictions that follow on the sequences, `(batch, features)`, and the states."""
        prediction, states = self._warm_up(*self._pad(sequences))
        return _double(prediction), states

    def step(self, x, states):
        """The same after one more input, `(batch, features)`."""
        prediction, states = self._step(tf.constant(x, self._dtype), states)
        return _double(prediction), states

    def forecast(self, sequences, horizon, jit_compile):
        """`(batch, horizon, features)` that follow on the sequences, each fed the one before."""
        if jit_compile:
            # XLA compiles anew for every shape, which takes a second: powers of two keep them few.
            x, mask = self._pad(sequences, round_up=_power_of_two)
            found = self._forecast_by_xla(x, _power_of_two(horizon), mask)[:, :horizon]
        else:
            x, mask = self._pad(sequences)
            steps = tf.constant(horizon, "int32")
            if len({len(one) for one in sequences}) == 1:
                found = self._forecast(x, steps)
            else:
                found = self._forecast_unequal(x, steps, mask)
        return _double(found)[: len(sequences)]

    def _pad(self, sequences, round_up=int):
        """Sequences as one tensor `(batch, time, features)`, and where it holds them."""
        longest = round_up(max(len(one) for one in sequences))
        rows = round_up(len(sequences))
        x = np.zeros((rows, longest, self._num_features))
        mask = np.zeros((rows, longest), bool)
        for i, one in enumerate(sequences):
            x[i, : len(one)] = one
            mask[i, : len(one)] = True
        return tf.constant(x, self._dtype), tf.constant(mask)


def _double(tensor):
    return tensor.numpy().astype("float64")


def _power_of_two(size):
    return 1 << (int(size) - 1).bit_length()
