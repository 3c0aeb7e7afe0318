"""The data of a `fit`: arrays as one batch, and how large the batches of others are."""

import itertools
import math
import types

import keras
import numpy as np
import tensorflow as tf

from ..._arguments import in_words, wrong


def are_arrays(data):
    """Whether `data` is dense arrays; for anything else Keras has an adapter, or an error."""
    leaves = [leaf for leaf in keras.tree.flatten(data) if leaf is not None]
    return all(hasattr(leaf, "__array__") for leaf in leaves)


def check_lengths(x, y, sample_weight):
    """Keras's own check: arrays of one row would be broadcast over all the others."""
    data = {"x": x, "y": y, "sample_weight": sample_weight}
    lengths = {
        name: [
            leaf.shape[0] if leaf.shape else None
            for leaf in keras.tree.flatten(value)
            if leaf is not None
        ]
        for name, value in data.items()
    }
    different = {length for of_one in lengths.values() for length in of_one}
    if len(different) > 1 or different & {0, None}:
        raise ValueError(
            "`x`, `y` and `sample_weight` must hold the same number of examples, and at least one. "
            f"Received: numbers of examples={lengths}"
        )


def check_weights(sample_weight):
    """A negative weight would ask for as bad a fit as possible."""
    for leaf in keras.tree.flatten(sample_weight):
        if hasattr(leaf, "__array__") and (np.asarray(leaf) < 0).any():
            raise wrong("sample_weight", "at least 0 everywhere", sample_weight)


def check_target(target, output, elementwise):
    """Refuses a target that Keras's losses would cast or broadcast to something else.

    Args:
        target: Tensor, of one output.
        output: Tensor, the output.
        elementwise: Whether the loss compares each value of the output with one of the target.
    """
    target = target if tf.is_tensor(target) else tf.convert_to_tensor(target)
    if target.shape.rank is None:
        raise ValueError(
            "`y` must have the same number of axes in all calls of `fit` and `evaluate`, because "
            "they share a graph: give it as before, or call `compile` again. "
            "Received: y with another number of axes than before"
        )
    if target.dtype.is_complex or target.dtype == tf.string:
        raise ValueError(
            "`y` must hold real numbers: of complex ones make two outputs, of words their "
            f"indices. Received: y of dtype {target.dtype.name}"
        )
    if elementwise and not _compared_value_by_value(tuple(target.shape), tuple(output.shape)):
        raise ValueError(
            "`y` must have the shape of the model's outputs: others would be broadcast, and "
            "targets compared with the outputs of other examples or features. "
            f"Received: y of shape {tuple(target.shape)} for outputs of shape "
            f"{tuple(output.shape)}"
        )


def _compared_value_by_value(target, output):
    """Keras drops or adds a last axis of one where the numbers of axes differ by one."""
    if len(target) == len(output) + 1 and target[-1] == 1:
        target = target[:-1]
    if len(output) == len(target) + 1 and output[-1] == 1:
        output = output[:-1]
    return len(target) == len(output) and all(
        a == b or a is None or b is None for a, b in zip(target, output, strict=True)
    )


def one_batch(x, y, sample_weight):
    """A data set that gives the whole of the arrays at every step.

    Keras's own adapter slices arrays anew for each epoch, which takes longer than a small step.
    """
    data = (x, y) if sample_weight is None else (x, y, sample_weight)
    tensors = keras.tree.map_structure(_tensor, _tuples(data))
    return tf.data.Dataset.from_tensors(tensors).repeat().with_options(_without_autotuning())


def with_batch_size(x):
    """The data, and how many examples they give at a time; Keras's 32 where nothing tells."""
    if isinstance(x, types.GeneratorType):
        first = next(x, None)
        x = itertools.chain([] if first is None else [first], x)
        # Keras knows a generator by its type.
        return (batch for batch in x), 32 if first is None else _examples(first)
    if isinstance(x, keras.utils.PyDataset):
        return x, _examples(x[0])
    if isinstance(x, tf.data.Dataset):
        size = keras.tree.flatten(x.element_spec)[0].shape[0]
        if size is None:
            size = next((_examples(batch) for batch in x.take(1)), 32)
        return x, size
    return x, 32


def hold_out(arrays, fraction):
    """Keras's `validation_split`: the last rows are held out."""
    rows = len(keras.tree.flatten(arrays[0])[0])
    held = math.floor(rows * (1 - fraction))
    if not 0 < held < rows:
        raise ValueError(
            "`validation_split` must leave rows on both sides. "
            f"Received: validation_split={fraction} for {rows} rows"
        )
    train = keras.tree.map_structure(lambda a: None if a is None else a[:held], arrays)
    validation = keras.tree.map_structure(lambda a: None if a is None else a[held:], arrays)
    return train, validation


def _examples(batch):
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
