"""Sums over the positions t of a sequence or an image, `sum_t a_t delta_t^T`."""

import math

import tensorflow as tf

# Inner products of sums over positions run example by example, at a fraction of matmul speed.
PRICE_OF_SUMS = 4


def by_position(tensor):
    """(examples, positions, features) of (examples, ..., features)."""
    return tf.reshape(tensor, [-1, static_product(tensor.shape[1:-1]), tensor.shape[-1]])


def values_of(calls):
    """How many values the first outputs of these calls hold an example; None if unknown."""
    sizes = [call.outputs[0].shape[1:].num_elements() for call in calls]
    return None if None in sizes else sum(sizes)


def by_example(delta, rows):
    """(examples, rows, positions, outputs) of (examples * rows, positions, outputs)."""
    positions = tf.shape(delta)[1] if delta.shape[1] is None else delta.shape[1]
    return tf.reshape(delta, [-1, rows, positions, delta.shape[2]])


def weighted_sum(alpha, delta):
    """`sum over rows of alpha_r delta_r`, (examples, positions, outputs)."""
    if delta.shape[1] == 1:
        return alpha[:, :, None] * delta[:, 0]
    return tf.einsum("br,brtq->btq", alpha, delta)


def as_matrix(tensor):
    """(n, features) of (..., features)."""
    return tf.reshape(tensor, [-1, tensor.shape[-1]])


def flat_rows(tensor):
    """(rows, values) of (rows, ...)."""
    return tf.reshape(tensor, [-1, math.prod(tensor.shape[1:])])


def static_product(sizes):
    """Of static sizes; -1, for `tf.reshape`, where one is unknown."""
    return -1 if None in list(sizes) else math.prod(sizes)


def gram_of_sums(products, a, delta, epsilon):
    """`sum_tu (a_t . b_u) (delta_t . epsilon_u)` of all rows with all others.

    Args:
        products: Function of one example's a to its products with all b, (t, others * u).
        a: One example a row.
        delta: (examples, rows, t, outputs).
        epsilon: (others, rows, u, outputs).
    """
    rows, positions = tf.shape(epsilon)[1], tf.shape(epsilon)[2]
    flat_epsilon = as_matrix(epsilon)

    def of_example(example):
        a, delta = example
        t = tf.shape(delta)[1]
        AB = tf.reshape(products(a), [1, t, -1, 1, positions])
        DE = tf.matmul(as_matrix(delta), flat_epsilon, transpose_b=True)
        DE = tf.reshape(DE, [rows, t, -1, rows, positions])
        return tf.reshape(tf.reduce_sum(AB * DE, axis=[1, 4]), [rows, -1])

    gram = tf.map_fn(of_example, (a, delta), fn_output_signature=delta.dtype)
    return tf.reshape(gram, [-1, tf.shape(gram)[2]])
