import keras
import tensorflow as tf

# What `LevenbergMarquardt.failure` holds: a graph cannot raise a clear error by itself.
DATA, LOSS, MIXING, BATCHES = 1, 2, 3, 4


def data_is_finite(data):
    leaves = [leaf for leaf in keras.tree.flatten(data) if leaf is not None]
    floating = [leaf for leaf in leaves if leaf.dtype.is_floating]
    return tf.reduce_all([tf.reduce_all(tf.math.is_finite(leaf)) for leaf in floating])


def mixes_examples(objective, w, outputs):
    """Whether the first example's outputs are others when it is run alone."""
    alone = objective.outputs_of_first_example(w)
    mixed = False
    for together, one in zip(outputs, alone, strict=True):
        scale = tf.reduce_max(tf.abs(together))
        mixed |= tf.reduce_any(tf.abs(together[:1] - one) > 1e-3 * scale)
    return mixed
