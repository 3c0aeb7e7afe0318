"""Running a trained network: over what is known, one step on, and on from its own predictions."""

from functools import partial

import numpy as np
import tensorflow as tf

# Series of one compiled call, and the steps they are padded to together: these bound memory, not
# what a caller may pass.
MAX_SERIES = 256
MAX_STEPS = 2**18
# Longer rollouts are compiled by XLA: most of a second once, and several times faster.
_LONGEST_PLAIN = 32


def groups(lengths):
    """Runs of series, as ranges, that fit into one compiled call."""
    start, longest = 0, 0
    for i, length in enumerate(lengths):
        full = i - start == MAX_SERIES or (i - start + 1) * max(longest, length) > MAX_STEPS
        if i > start and full:
            yield range(start, i)
            start, longest = i, 0
        longest = max(longest, length)
    yield range(start, len(lengths))


class Inference:
    """A network and its codec as graphs, each traced once for any batch and length.

    Everything is in transformed units, in float64. `window` holds what the codec's `clean` leaves,
    `(series, lookback + steps, features)`; all series end at its end. A series shorter than the
    window has its first value before its start, and `known` says how many steps of it are new.
    """

    def __init__(self, network, codec):
        self._network, self._codec = network, codec
        self._dtype = network.compute_dtype
        self._graphs = {}
        features = codec.num_features
        self._wide = tf.TensorSpec((None, None, features), "float64")
        self._last = tf.TensorSpec((None, codec.lookback + 1, features), "float64")
        self._one = tf.TensorSpec((None, features), "float64")
        self._count = tf.TensorSpec((None,), "int32")
        self._states = [tf.TensorSpec((None, width), self._dtype) for width in network.state_widths]

    def initial_states(self, rows):
        return self._graph("initial")(tf.constant(rows))

    def read(self, window, count, units, states, known=None):
        """Reads the steps of a window that follow on its lookback.

        Args:
            window, count, units: As the codec takes them.
            states: The states before the first step.
            known: `(series,)`, how many of the last steps are new to each; None: all are.

        Returns:
            Predictions of the step that follows on each and the codec's scale there, both
            `(series, steps, features)` in NumPy, and the states at the end.
        """
        arguments = [tf.constant(window), tf.constant(count, "int32"), *map(tf.constant, units)]
        steps = window.shape[1] - self._codec.lookback
        name = "step" if steps == 1 else "read"
        if known is not None and np.min(known) < steps:
            name = "read_masked"
            arguments.append(tf.constant(known, "int32"))
        predictions, scale, states = self._graph(name)(*arguments, *self._cast(states))
        return predictions.numpy(), scale.numpy(), states

    def read_each(self, window, count, units, states):
        """The same with the states after each step, `(series, steps, width)` in NumPy."""
        arguments = [tf.constant(window), tf.constant(count, "int32"), *map(tf.constant, units)]
        predictions, scale, states = self._graph("read each")(*arguments, *self._cast(states))
        return predictions.numpy(), scale.numpy(), [one.numpy() for one in states]

    def rollout(self, prediction, window, count, units, states, horizon, jit_compile=False):
        """`(series, horizon, features)`: `prediction`, and what follows with each fed the last."""
        known = [prediction, window, np.asarray(count, "int32"), *units]
        if not jit_compile and horizon <= _LONGEST_PLAIN:
            graph = self._graph("rollout")
            known = map(tf.convert_to_tensor, known)
            return graph(tf.constant(horizon), *known, *self._cast(states)).numpy()
        # XLA compiles anew for every shape: powers of two keep them few.
        rows, size = _power_of_two(len(count)), _power_of_two(horizon)
        padding = [0] * (rows - len(count))
        known, states = (
            [np.concatenate([one, np.asarray(one)[padding]]) for one in arrays]
            for arrays in (known, states)
        )
        graph = self._graph("rollout by XLA", rows, size)
        found = graph(*map(tf.convert_to_tensor, known), *self._cast(states))
        return found.numpy()[: len(count), :horizon]

    def _cast(self, states):
        return [tf.convert_to_tensor(one, self._dtype) for one in states]

    # The graphs. Concrete functions, since TensorFlow takes a graph for each of several models for
    # the same graph traced again and again, and warns.

    def _graph(self, name, *sizes):
        if (name, *sizes) not in self._graphs:
            self._graphs[name, *sizes] = self._traced(name, *sizes)
        return self._graphs[name, *sizes]

    def _traced(self, name, *sizes):
        wide, one, count, states = self._wide, self._one, self._count, self._states
        if name == "initial":
            return tf.function(self._initial).get_concrete_function(tf.TensorSpec((), "int32"))
        if name == "rollout":
            signature = [tf.TensorSpec((), "int32"), one, self._last, count, one, one, *states]
            return tf.function(self._rollout).get_concrete_function(*signature)
        if name == "rollout by XLA":
            rows, size = sizes
            signature = [one, self._last, count, one, one, *states]
            signature = [tf.TensorSpec((rows, *spec.shape[1:]), spec.dtype) for spec in signature]
            by_xla = tf.function(partial(self._rollout, size), jit_compile=True)
            return by_xla.get_concrete_function(*signature)
        if name == "step":
            signature = [self._last, count, one, one, *states]
            return tf.function(self._step).get_concrete_function(*signature)
        if name == "read each":
            signature = [wide, count, one, one, *states]
            return tf.function(self._read_each).get_concrete_function(*signature)
        if name == "read":
            return tf.function(self._read).get_concrete_function(wide, count, one, one, *states)
        return tf.function(self._read_masked).get_concrete_function(
            wide, count, one, one, count, *states
        )

    def _initial(self, rows):
        return self._network.initial_states(tf.zeros((rows, 1, self._codec.num_inputs)))

    def _read(self, window, count, location, scale, *states):
        return self._read_under(None, window, count, location, scale, *states)

    def _read_under(self, mask, window, count, location, scale, *states):
        encoded = self._codec.encode(window, count, location, scale)
        x = tf.cast(encoded.inputs, self._dtype)
        outputs, states = self._network(x, list(states), mask=mask)
        return encoded.decode(outputs), encoded.scale, states

    def _read_masked(self, window, count, location, scale, known, *states):
        steps = tf.shape(window)[1] - self._codec.lookback
        mask = tf.range(steps)[None] >= steps - known[:, None]
        return self._read_under(mask, window, count, location, scale, *states)

    def _read_each(self, window, count, location, scale, *states):
        encoded = self._codec.encode(window, count, location, scale)
        x = tf.transpose(tf.cast(encoded.inputs, self._dtype), (1, 0, 2))
        steps = tf.shape(x)[0]
        inputs = tf.TensorArray(x.dtype, steps, element_shape=x.shape[1:]).unstack(x)
        widths = [self._one.shape[1], *(spec.shape[1] for spec in self._states)]
        dtypes = [self._network.head.compute_dtype, *(spec.dtype for spec in self._states)]
        found = [
            tf.TensorArray(dtype, steps, element_shape=(None, width))
            for dtype, width in zip(dtypes, widths, strict=True)
        ]

        def body(i, states, found):
            outputs, states = self._network.step(inputs.read(i), states)
            written = zip(found, [outputs, *states], strict=True)
            return i + 1, states, [array.write(i, one) for array, one in written]

        *_, found = tf.while_loop(lambda i, *_: i < steps, body, (0, list(states), found))
        outputs, *states = (tf.transpose(one.stack(), (1, 0, 2)) for one in found)
        return encoded.decode(outputs), encoded.scale, states

    def _step(self, window, count, location, scale, *states):
        encoded = self._codec.encode(window, count, location, scale)
        x = tf.cast(encoded.inputs[:, 0], self._dtype)
        outputs, states = self._network.step(x, list(states))
        return encoded.decode(outputs[:, None]), encoded.scale, states

    def _rollout(self, horizon, prediction, window, count, location, scale, *states):
        found = tf.TensorArray("float64", horizon, element_shape=prediction.shape)

        def body(i, prediction, window, states, found):
            found = found.write(i, prediction)
            window = tf.concat([window[:, 1:], prediction[:, None]], axis=1)
            following, _, states = self._step(window, count + i + 1, location, scale, *states)
            return i + 1, following[:, 0], window, states, found

        *_, found = tf.while_loop(
            lambda i, *_: i < horizon, body, (0, prediction, window, list(states), found)
        )
        return tf.transpose(found.stack(), (1, 0, 2))


def _power_of_two(size):
    return 1 << (int(size) - 1).bit_length()
