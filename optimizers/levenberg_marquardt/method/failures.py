import enum

import keras
import tensorflow as tf

from ..jacobian import differs_alone


class Failure(enum.IntEnum):
    """Why no step can be taken. `LevenbergMarquardt.failure` holds the number: a graph cannot
    raise a clear error by itself."""

    NONE = 0
    DATA = 1
    LOSS = 2
    MIXING = 3
    BATCHES = 4

    def message(self, batch, layer=None):
        """The text of the error.

        Args:
            batch: Number of the batch in this fit, counting from 1.
            layer: Name of the layer that mixes examples.
        """
        return _MESSAGES[self].format(
            batch=f"batch {batch} of this fit, counting from 1", layer=layer
        )


_MESSAGES = {
    Failure.NONE: "",
    Failure.DATA: (
        "The inputs, targets and sample weights must be finite. Received: NaN or Inf in {batch}"
    ),
    Failure.LOSS: (
        "The loss and its gradient must be finite before a step. With finite data they were not: "
        "the weights have gone, or began, too far. "
        "Received: loss or gradient of NaN or Inf at {batch}"
    ),
    Failure.MIXING: (
        "Each example's outputs must depend on that example alone, and this layer mixes the "
        "examples of a batch: leave it out, or let it work along another axis. "
        "Received: layer={layer}"
    ),
    Failure.BATCHES: (
        "All workers must see the same batches, of which each takes its rows: give all the same "
        "data, and `shuffle=False` or the same `keras.utils.set_random_seed`. "
        "Received: different data in {batch}"
    ),
}


def data_is_finite(data):
    leaves = [leaf for leaf in keras.tree.flatten(data) if leaf is not None]
    floating = [leaf for leaf in leaves if leaf.dtype.is_floating]
    return tf.reduce_all([tf.reduce_all(tf.math.is_finite(leaf)) for leaf in floating])


def mixes_examples(objective, w, outputs):
    """Whether the outputs of the first or the last example are others when it is run alone.

    The last one alone tells of a running sum over the batch.
    """
    mixed = False
    for i in (0, objective.chunks.batch - 1):
        alone = objective.outputs_of_example(w, i)
        for together, one in zip(outputs, alone, strict=True):
            mixed |= differs_alone(together, one, i)
    return mixed
