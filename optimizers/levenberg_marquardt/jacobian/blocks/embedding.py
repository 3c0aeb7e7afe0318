import keras
import tensorflow as tf

from ..layer_calls import first_argument
from .block import JacobianBlock
from .positions import (
    PRICE_OF_SUMS,
    as_matrix,
    by_example,
    by_position,
    gram_of_sums,
    static_product,
    values_of,
    weighted_sum,
)


class Embedding(JacobianBlock):
    """The table of an embedding: `h_t = table[i_t]`."""

    def __init__(self, usage, table, rows, positions):
        self.variables, self.calls = usage
        self.table_length, outputs = table.shape
        self.rows = rows
        self.product_cost = PRICE_OF_SUMS * positions**2 * outputs
        self.floats_per_row = positions * outputs

    @classmethod
    def of(cls, usage, calls, weights, rows):
        layer, values = calls[0].layer, values_of(calls)
        if type(layer) is not keras.layers.Embedding or values is None:
            return None
        own, table = {id(weights.variables[i]) for i in usage.variables}, layer.embeddings
        return cls(usage, table, rows, values // table.shape[1]) if own == {id(table)} else None

    def data(self, calls, deltas, values):
        ids = [tf.cast(first_argument(call)[:: self.rows], tf.int32) for call in calls]
        ids = [tf.reshape(i, [-1, static_product(i.shape[1:])]) for i in ids]
        ids = tf.concat(ids, axis=1)
        ids = tf.where(ids < 0, ids + self.table_length, ids)  # Keras counts these from the end.
        delta = [by_position(h_bar) for (h_bar,) in deltas]
        return ids, by_example(tf.concat(delta, axis=1), self.rows)

    def squares(self, data):
        ids, delta = data
        same = tf.cast(ids[:, None, :, None] == ids[:, None, None, :], delta.dtype)
        return [tf.reduce_sum(same * tf.matmul(delta, delta, transpose_b=True))]

    def gram(self, data, others, factors):
        (ids, delta), (other_ids, epsilon) = data, others
        flat = tf.reshape(other_ids, [-1])

        def same(ids):
            return tf.cast(ids[:, None] == flat, delta.dtype)

        return [factors[0] * gram_of_sums(same, ids, delta, epsilon)]

    def mv(self, data, values):
        ids, delta = data
        looked_up = tf.gather(values[0], ids)[:, None]
        return [tf.reshape(tf.reduce_sum(looked_up * delta, axis=[2, 3]), [-1])]

    def transpose_mv(self, data, alpha):
        ids, delta = data
        combined = as_matrix(weighted_sum(alpha, delta))
        return [tf.math.unsorted_segment_sum(combined, tf.reshape(ids, [-1]), self.table_length)]

    def explicit_rows(self, data):
        ids, delta = data
        chosen = tf.one_hot(ids, self.table_length, dtype=delta.dtype)
        rows = tf.einsum("btv,brtq->brvq", chosen, delta)
        return [tf.reshape(rows, [-1, self.table_length * delta.shape[3]])]
