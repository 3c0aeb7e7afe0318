import numpy as np
import tensorflow as tf


class Max:
    """D holds the largest norm that each column of the Jacobian has had so far.

    Moré's choice, which makes steps independent of the units of the weights and cannot forget a
    direction that was once steep: on NIST's problems, taking the present norms instead loses three.
    """

    def norms(self, largest_so_far, column_norms):
        return tf.maximum(largest_so_far, column_norms)


class Diagonal:
    """D holds the present norms of the columns of the Jacobian (Marquardt)."""

    def norms(self, largest_so_far, column_norms):
        return column_norms


class Identity:
    """D = I: damping is absolute and weights are taken as they are (Levenberg)."""

    def norms(self, largest_so_far, column_norms):
        return tf.ones_like(column_norms)


SCALINGS = {"max": Max(), "diagonal": Diagonal(), "identity": Identity()}


def scale_of(norms):
    """Norms as divisors: a weight that the loss does not depend on would divide by zero.

    Args:
        norms: (..., weights).
    """
    eps = np.finfo(norms.dtype.as_numpy_dtype).eps
    floor = eps * tf.reduce_max(norms, axis=-1, keepdims=True)
    return tf.where(norms > 0, tf.maximum(norms, floor), tf.ones_like(norms))


def length_of(v):
    """`|v|` of a vector; `tf.norm` takes an operation more, and small steps are made of these."""
    return tf.sqrt(tf.reduce_sum(v * v))
