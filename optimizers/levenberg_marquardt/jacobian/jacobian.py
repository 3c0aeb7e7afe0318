from typing import NamedTuple

import keras
import tensorflow as tf

from .blocks import make_block
from .layer_calls import Recorder, find_usages, kinds_of_operations
from .network_as_function import check_derivatives_reach_weights, check_draws_nothing


class Run(NamedTuple):
    outputs: list
    recorder: Recorder
    tape: tf.GradientTape


class LayeredJacobian:
    """The Jacobian of a network as a sum over its layers, without ever being written out.

    One forward and one backward pass over the whole batch give what every layer was fed and how
    the rows depend on what it returned; the blocks do the rest.

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
        check_draws_nothing(recorder)
        check_derivatives_reach_weights(recorder)
        self.kinds_of_operations = kinds_of_operations(recorder.graph)
        self.blocks = [make_block(usage, recorder, rows) for usage in usages]
        # Of one inner product, and of what a backward pass and the blocks keep of one row.
        self.product_cost = sum(block.product_cost for block in self.blocks)
        self.floats_per_row = 2 * recorder.floats_per_example() + sum(
            block.floats_per_row for block in self.blocks
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
        """What each block keeps of some examples, as a list of tuples of tensors.

        Args:
            run: What `run` returned.
            cotangents: (examples, rows, outputs), the combinations of outputs.
        """
        calls = [[run.recorder.calls[i] for i in block.calls] for block in self.blocks]
        targets = [
            [block.deltas_of(call) for call in own]
            for block, own in zip(self.blocks, calls, strict=True)
        ]
        sizes = [z.shape[1:].num_elements() for z in run.outputs]
        by_output = tf.split(tf.reshape(cotangents, [-1, sum(sizes)]), sizes, axis=1)
        z_bars = [
            tf.cast(tf.reshape(part, tf.shape(z)), z.dtype)
            for part, z in zip(by_output, run.outputs, strict=True)
        ]
        deltas = run.tape.gradient(run.outputs, targets, z_bars, unconnected_gradients="zero")
        # What a gather along the batch took has a sparse gradient.
        deltas = tf.nest.map_structure(tf.convert_to_tensor, deltas)
        return [
            block.data(own, of_block, self._own(block, run.recorder.values))
            for block, own, of_block in zip(self.blocks, calls, deltas, strict=True)
        ]

    def transpose_mv(self, data, alpha):
        """`J^T alpha`, (weights,).

        Args:
            data: Of some examples.
            alpha: (examples, rows).
        """
        sums = self._by_variable(lambda block, own: block.transpose_mv(own, alpha), data)
        parts = [
            tf.reshape(sums[i], [-1]) if i in sums else tf.zeros([size], self.weights.dtype)
            for i, size in enumerate(self.weights.sizes)
        ]
        return tf.concat(parts, axis=0)

    def columns(self, data):
        """The columns of J written out over these rows, (weights, rows)."""
        columns = self._by_variable(lambda block, own: block.columns(own), data)
        count = tf.shape(next(iter(columns.values())))[1]
        parts = [
            columns[i] if i in columns else tf.zeros([size, count], self.weights.dtype)
            for i, size in enumerate(self.weights.sizes)
        ]
        return tf.concat(parts, axis=0)

    def squares(self, data):
        """Sum of squares over these rows of each variable's columns, (variables,)."""
        sums = self._by_variable(lambda block, own: block.squares(own), data)
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
        for block, own, other in zip(self.blocks, data, others, strict=True):
            factors_of_block = [factors[i] for i in block.variables]
            for i, K in zip(block.variables, block.gram(own, other, factors_of_block), strict=True):
                sums[i % groups] = sums.get(i % groups, 0.0) + K
        nothing = tf.zeros_like(next(iter(sums.values())))
        return tf.stack([sums.get(group, nothing) for group in range(groups)])

    def slice(self, data, start, stop, examples):
        """The part of the data of `examples` examples that belongs to some of them."""

        def part(tensor):
            rows = tf.shape(tensor)[0] // examples
            return tensor[start * rows : stop * rows]

        return tf.nest.map_structure(part, data)

    def mv(self, data, values):
        """`J_v value_v` for each variable v, (variables, rows)."""
        products = self._by_variable(
            lambda block, own: block.mv(own, self._own(block, values)), data
        )
        nothing = tf.zeros_like(next(iter(products.values())))
        return tf.stack([products.get(i, nothing) for i in range(len(self.weights.variables))])

    def _by_variable(self, compute, data):
        results = {}
        for block, own in zip(self.blocks, data, strict=True):
            results.update(zip(block.variables, compute(block, own), strict=True))
        return results

    def _own(self, block, values):
        return [values[i] for i in block.variables]
