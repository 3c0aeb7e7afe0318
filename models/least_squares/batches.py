"""The data of a `fit`: arrays as one batch, and how large the batches of others are."""

import itertools
import math
import types

import keras
import numpy as np
import tensorflow as tf

from ..._arguments import in_words


def one_batch(x, y, sample_weight):
    """A data set that gives the whole of the arrays at every step.

    Keras's own adapter slices arrays anew for each epoch, which takes longer than a small step.
    """
    data = (x, y) if sample_weight is None else (x, y, sample_weight)
    return repeated(keras.tree.map_structure(_tensor, _tuples(data)))


def repeated(tensors):
    """An endless data set of one batch."""
    return tf.data.Dataset.from_tensors(tensors).repeat().with_options(_without_autotuning())


def only_batch(dataset):
    """The one batch of a data set that gives the same rows at every pass, else None.

    A data set that draws its batch anew, as collocation points are resampled, is found out by
    reading it twice; one that only shuffles its rows gives the same loss.
    """
    if not isinstance(dataset, tf.data.Dataset) or int(dataset.cardinality()) != 1:
        return None
    batches = [keras.tree.flatten(batch) for batch in (*dataset.take(1), *dataset.take(1))]
    if not all(isinstance(leaf, tf.Tensor) for batch in batches for leaf in batch):
        return None
    if not _have_the_same_rows(*([leaf.numpy() for leaf in batch] for batch in batches)):
        return None
    return keras.tree.pack_sequence_as(dataset.element_spec, batches[0])


def with_batch_size(x):
    """The data, and how many examples they give at a time; Keras's 32 where nothing tells."""
    if isinstance(x, types.GeneratorType):
        first = next(x, None)
        x = itertools.chain([] if first is None else [first], x)
        # Keras knows a generator by its type.
        return (batch for batch in x), 32 if first is None else row_count(first)
    if isinstance(x, keras.utils.PyDataset):
        return x, row_count(x[0])
    if isinstance(x, tf.data.Dataset):
        size = keras.tree.flatten(x.element_spec)[0].shape[0]
        if size is None:
            size = next((row_count(batch) for batch in x.take(1)), 32)
        return x, size
    return x, 32


def hold_out(arrays, fraction):
    """Keras's `validation_split`: the last rows are held out."""
    rows = row_count(arrays[0])
    held = math.floor(rows * (1 - fraction))
    if not 0 < held < rows:
        raise ValueError(
            "`validation_split` must leave rows on both sides. "
            f"Received: validation_split={fraction} for {rows} rows"
        )
    train = keras.tree.map_structure(lambda a: None if a is None else a[:held], arrays)
    validation = keras.tree.map_structure(lambda a: None if a is None else a[held:], arrays)
    return train, validation


def _have_the_same_rows(first, second):
    if all(np.array_equal(a, b) for a, b in zip(first, second, strict=True)):
        return True
    if any(leaf.dtype == object for leaf in first):  # words
        return False

    def rows(batch):
        return sorted(b"".join(leaf[i].tobytes() for leaf in batch) for i in range(len(batch[0])))

    return rows(first) == rows(second)


def row_count(batch):
    """Examples in a structure of arrays."""
    return len(keras.tree.flatten(batch)[0])


def _without_autotuning():
    """Nothing is there to tune, and a `fit` ends only once the thread that tunes has stopped."""
    options = tf.data.Options()
    options.autotune.enabled = False
    return options


def _tuples(data):
    """Lists as tuples: tf.data takes a list for one tensor."""
    if isinstance(data, (list, tuple)):
        return tuple(_tuples(item) for item in data)
    return data


def _tensor(array):
    if array is None:  # an output whose examples all weigh the same
        return None
    try:
        tensor = tf.convert_to_tensor(array)
    except (TypeError, ValueError) as error:
        raise ValueError(
            "`x`, `y` and `sample_weight` must be arrays of one dtype each, every row of the same "
            f"length. Received: {in_words(array)}"
        ) from error
    # Keras gives every floating array the default precision too.
    return tf.cast(tensor, keras.config.floatx()) if tensor.dtype.is_floating else tensor
