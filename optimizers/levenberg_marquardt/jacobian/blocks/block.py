import tensorflow as tf


class JacobianBlock:
    """The columns of J that belong to the weights of one layer.

    The argument `data` of its methods is the tuple of tensors that `data()` returned for some
    examples. The first axis of each tensor holds these examples in order, with the same number of
    entries for each.

    Attributes:
        variables: Positions of its variables in the `FlatWeights`.
        calls: Positions of the calls that use them, in the `Recorder`.
        product_cost: Multiplications that the inner product of two rows takes.
        floats_per_row: Floats in `data`, for each row of J.
    """

    @classmethod
    def of(cls, usage, calls, weights, rows):
        """The block for these weights, or None where this kind does not apply.

        Args:
            usage: Their `Usage`.
            calls: Its `LayerCall`s on a batch of placeholders, all of one layer.
            weights: The `FlatWeights`.
            rows: Rows of J for each example.
        """
        raise NotImplementedError

    def deltas_of(self, call):
        """The tensors of a call in which `data` wants the derivatives of the rows."""
        return [t for t in call.outputs if t.dtype.is_floating]

    def data(self, calls, deltas, values):
        """What to keep of some examples.

        Args:
            calls: The `LayerCall`s, run on each example as often as it has rows.
            deltas: For each of them the derivatives in the tensors of `deltas_of`.
            values: The values of the variables.
        """
        raise NotImplementedError

    def squares(self, data):
        """The sum of squares of J_v for each variable v."""
        raise NotImplementedError

    def gram(self, data, others, factors):
        """`factor_v J_v J_v'^T` for each variable v, (rows, other rows)."""
        raise NotImplementedError

    def mv(self, data, values):
        """`J_v value_v` for each variable v, (rows,)."""
        raise NotImplementedError

    def transpose_mv(self, data, alpha):
        """`J_v^T alpha` for each variable v, in its shape or flat; alpha is (examples, rows)."""
        raise NotImplementedError

    def explicit_rows(self, data):
        """J_v for each variable v, (rows, weights)."""
        raise NotImplementedError

    def columns(self, data):
        """`J_v^T` for each variable v, (weights, rows)."""
        return [tf.transpose(J) for J in self.explicit_rows(data)]
