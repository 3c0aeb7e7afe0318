from typing import NamedTuple

import keras
import tensorflow as tf

from .layer_calls import Recorder, find_usages
from .layer_units import make_unit


class Run(NamedTuple):
    outputs: list
    recorder: Recorder
    tape: tf.GradientTape


class LayeredJacobian:
    """The Jacobian of a network as a sum over its layers, without ever being written out.

    One forward and one backward pass over the whole batch give what every layer was fed and how
    the rows depend on what it returned; the units of layer_units.py do the rest.

    Args:
        network: Keras model.
        weights: Its `FlatWeights`.
        x: Inputs of any batch; only their shapes matter.
        rows: Rows of J for each example.
    """

    def __init__(self, network, weights, x, rows):
        self.network = network
        self.weights = weights
        self.rows = rows
        usages, recorder = find_usages(network, weights, x)
        self.units = [make_unit(usage, recorder, rows) for usage in usages]
        # Of one inner product, and of what a backward pass and the units keep of one row.
        self.product_cost = sum(unit.product_cost for unit in self.units)
        self.numbers_a_row = 2 * recorder.numbers_an_example() + sum(
            unit.numbers_a_row for unit in self.units
        )

    def run(self, w, x):
        """The network run at w, each example once for each of its rows.

        Its outputs are those of the examples if there is one row for each.
        """
        if self.rows > 1:
            x = tf.nest.map_structure(lambda leaf: tf.repeat(leaf, self.rows, axis=0), x)
        recorder = Recorder(self.network, self.weights)
        with tf.GradientTape() as tape:
            tape.watch(w)
            outputs = keras.tree.flatten(recorder.run(w, x))
        return Run(outputs, recorder, tape)

    def data(self, run, cotangents):
        """What each unit keeps of some examples, as a list of tuples of tensors.

        Args:
            run: What `run` returned.
            cotangents: (examples, rows, outputs), the combinations of outputs.
        """
        calls = [[run.recorder.calls[i] for i in unit.calls] for unit in self.units]
        targets = [
            [unit.deltas_of(call) for call in own]
            for unit, own in zip(self.units, calls, strict=True)
        ]
        sizes = [z.shape[1:].num_elements() for z in run.outputs]
        by_output = tf.split(tf.reshape(cotangents, [-1, sum(sizes)]), sizes, axis=1)
        z_bars = [
            tf.cast(tf.reshape(part, tf.shape(z)), z.dtype)
            for part, z in zip(by_output, run.outputs, strict=True)
        ]
        deltas = run.tape.gradient(run.outputs, targets, z_bars, unconnected_gradients="zero")
        return [
            unit.data(own, of_unit, self._own(unit, run.recorder.values))
            for unit, own, of_unit in zip(self.units, calls, deltas, strict=True)
        ]

    def combination(self, data, alpha):
        """`J^T alpha` of these rows, (weights,).

        Args:
            data: Of some examples.
            alpha: (examples, rows).
        """
        sums = self._by_variable(lambda unit, own: unit.combination(own, alpha), data)
        parts = [
            tf.reshape(sums[i], [-1]) if i in sums else tf.zeros([size], self.weights.dtype)
            for i, size in enumerate(self.weights.sizes)
        ]
        return tf.concat(parts, axis=0)

    def columns(self, data):
        """The columns of J written out over these rows, (weights, rows)."""
        columns = self._by_variable(lambda unit, own: unit.columns(own), data)
        count = tf.shape(next(iter(columns.values())))[1]
        parts = [
            columns[i] if i in columns else tf.zeros([size, count], self.weights.dtype)
            for i, size in enumerate(self.weights.sizes)
        ]
        return tf.concat(parts, axis=0)

    def squares(self, data):
        """Sum of squares over these rows of each variable's columns, (variables,)."""
        sums = self._by_variable(lambda unit, own: unit.squares(own), data)
        nothing = tf.zeros([], self.weights.dtype)
        return tf.stack([sums.get(i, nothing) for i in range(len(self.weights.variables))])

    def gram(self, data, others, factors, groups):
        """Inner products of rows with others, (groups, rows, others).

        Args:
            data: Of some examples.
            others: Of some examples.
            factors: (variables,), what each variable's products are multiplied with.
            groups: Number of sums to make: 1, or the number of variables for one each.
        """
        sums = {}
        for unit, own, other in zip(self.units, data, others, strict=True):
            factors_of_unit = [factors[i] for i in unit.variables]
            for i, K in zip(unit.variables, unit.gram(own, other, factors_of_unit), strict=True):
                sums[i % groups] = sums.get(i % groups, 0.0) + K
        nothing = tf.zeros_like(next(iter(sums.values())))
        return tf.stack([sums.get(group, nothing) for group in range(groups)])

    def slice(self, data, start, stop, examples):
        """The part of the data of `examples` examples that belongs to some of them."""

        def part(tensor):
            rows = tf.shape(tensor)[0] // examples
            return tensor[start * rows : stop * rows]

        return tf.nest.map_structure(part, data)

    def product(self, data, values):
        """`J_v value_v` for each variable v, (variables, rows)."""
        products = self._by_variable(
            lambda unit, own: unit.product(own, self._own(unit, values)), data
        )
        nothing = tf.zeros_like(next(iter(products.values())))
        return tf.stack([products.get(i, nothing) for i in range(len(self.weights.variables))])

    def _by_variable(self, compute, data):
        results = {}
        for unit, own in zip(self.units, data, strict=True):
            results.update(zip(unit.variables, compute(unit, own), strict=True))
        return results

    def _own(self, unit, values):
        return [values[i] for i in unit.variables]
