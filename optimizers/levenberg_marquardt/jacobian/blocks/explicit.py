import tensorflow as tf

from .block import JacobianBlock


class ExplicitRows(JacobianBlock):
    """Rows written out: `data` is one matrix (rows, weights)."""

    def __init__(self, variables, calls, weights):
        self.variables, self.calls = variables, calls
        self.sizes = [weights.sizes[i] for i in variables]
        self.product_cost = self.floats_per_row = sum(self.sizes)

    def squares(self, data):
        return [tf.reduce_sum(part**2) for part in self._parts(data)]

    def gram(self, data, others, factors):
        parts = zip(self._parts(data), self._parts(others), factors, strict=True)
        return [tf.matmul(factor * J, other, transpose_b=True) for J, other, factor in parts]

    def mv(self, data, values):
        parts = zip(self._parts(data), values, strict=True)
        return [tf.linalg.matvec(J, tf.reshape(value, [-1])) for J, value in parts]

    def transpose_mv(self, data, alpha):
        flat = tf.reshape(alpha, [-1])
        return [tf.linalg.matvec(J, flat, transpose_a=True) for J in self._parts(data)]

    def explicit_rows(self, data):
        return self._parts(data)

    def _parts(self, data):
        return tf.split(data[0], self.sizes, axis=1)


class Explicit(ExplicitRows):
    """The rows of another block, written out.

    Args:
        block: The other one.
        weights: The `FlatWeights`.
    """

    def __init__(self, block, weights):
        super().__init__(block.variables, block.calls, weights)
        self.block = block
        self.floats_per_row += block.floats_per_row

    def deltas_of(self, call):
        return self.block.deltas_of(call)

    def data(self, calls, deltas, values):
        rows = self.block.explicit_rows(self.block.data(calls, deltas, values))
        return (tf.concat(rows, axis=1),)
