import tensorflow as tf


def jacobian_rows(forward, w, x, cotangents, side_by_side=True):
    """Rows `c^T dz/dw` of the Jacobian of a network's outputs, one example at a time.

    Differentiating a whole batch costs O(batch^2): each row is pulled back through every example.
    One example's row needs only that example, and `tf.vectorized_map` runs all of them side by
    side. It repeats the forward pass for each row of one example, because recurrent layers cannot
    be pulled back several times inside a vectorized map.

    Args:
        forward: Function (w, x) -> (examples, outputs).
        w: (weights,) vector.
        x: Tensor or structure of tensors, (examples, ...).
        cotangents: (examples, rows, outputs), the combinations of outputs whose rows are wanted.
        side_by_side: False for one row after the other: slow, but whatever can be differentiated
            can be differentiated so.

    Returns:
        (examples * rows, weights) matrix.
    """
    rows_per_example = cotangents.shape[1]
    if rows_per_example > 1:
        x = tf.nest.map_structure(lambda leaf: tf.repeat(leaf, rows_per_example, axis=0), x)

    def row(example_and_cotangent):
        example, cotangent = example_and_cotangent
        with tf.GradientTape() as tape:
            tape.watch(w)
            z = forward(w, tf.nest.map_structure(lambda leaf: leaf[None], example))[0]
        return tape.gradient(z, w, cotangent, unconnected_gradients="zero")

    rows = (x, tf.reshape(cotangents, [-1, cotangents.shape[2]]))
    if side_by_side:
        return tf.vectorized_map(row, rows)
    return tf.map_fn(row, rows, fn_output_signature=tf.TensorSpec(w.shape, w.dtype))


def gradient(forward, w, x, cotangents):
    """`sum over examples of cotangent^T dz/dw`, an ordinary backward pass."""
    with tf.GradientTape() as tape:
        tape.watch(w)
        z = forward(w, x)
    return tape.gradient(z, w, cotangents, unconnected_gradients="zero")
