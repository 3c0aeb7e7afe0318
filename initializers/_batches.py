"""Data as `fit` takes it: arrays, a `tf.data.Dataset`, a `PyDataset` or a PyTorch `DataLoader`."""

import collections.abc
import itertools
import math
import sys

import keras
import numpy as np
from keras import ops

from .._arguments import wrong

MOST_EXAMPLES = 512  # of a data set that is not batched make the one batch that is read


def is_dataset(name, data):
    """Whether it gives batches one after another."""
    if isinstance(data, collections.abc.Iterator):
        raise ValueError(
            f"`{name}` must not be a generator: what is read of one is lost to the next who reads. "
            "Pass one batch of it, a `tf.data.Dataset`, a `keras.utils.PyDataset` or a PyTorch "
            f"`DataLoader`. Received: {name}={data!r}"
        )
    return isinstance(data, keras.utils.PyDataset) or any(
        isinstance(data, kind) for kind in _loaded_kinds()
    )


def first_batch(name, dataset, model):
    """`(x, y, sample_weight)`, tensors; None for what the data set does not have."""
    examples = _elements(name, dataset)
    first = next(examples, None)
    if first is None:
        raise ValueError(f"`{name}` must not be empty. Received: {name}={dataset!r}")
    if _is_one_example(first, model):
        rest = itertools.islice(examples, MOST_EXAMPLES - 1)
        first = keras.tree.map_structure(lambda *leaves: np.stack(leaves), first, *rest)
    return _unpacked(first)


def inputs_of(model, inputs):
    """The tensors of one batch of inputs, the first one of a data set."""
    if is_dataset("inputs", inputs):
        inputs, _, _ = first_batch("inputs", inputs, model)
    if inputs is None:
        raise wrong("inputs", "a batch as the model takes it", inputs)
    return tensors("inputs", inputs)


def all_targets(name, dataset, model):
    """`(y, sample_weight)` of all batches as arrays."""
    found, join = [], np.concatenate
    for element in _elements(name, dataset, all_of_them=True):
        if not found and _is_one_example(element, model):
            join = np.stack
        found.append(_unpacked(element)[1:])
    if not found or found[0][0] is None:
        raise ValueError(
            f"`{name}` must give `(inputs, targets)` where it is a data set. "
            f"Received: {name}={dataset!r}"
        )
    return keras.tree.map_structure(
        lambda *leaves: None if leaves[0] is None else join(leaves), *found
    )


def tensors(name, structure):
    """Finite arrays as tensors of the backend; floats in Keras's float type, None as it is."""
    return keras.tree.map_structure(lambda value: _tensor(name, value), structure)


def arrays(structure):
    """NumPy arrays, None as it is."""
    return keras.tree.map_structure(_array, structure)


def _loaded_kinds():
    """Data set classes of the libraries that are imported: a data set of another cannot be."""
    if "tensorflow" in sys.modules:
        yield sys.modules["tensorflow"].data.Dataset
    if "torch.utils.data" in sys.modules:
        yield sys.modules["torch.utils.data"].DataLoader


def _elements(name, dataset, all_of_them=False):
    """Its elements from the first on, as structures of arrays."""
    count = _count(dataset)
    if all_of_them and count == math.inf:
        raise ValueError(
            f"`{name}` must be finite: all of its targets are read. Received: {name}={dataset!r}"
        )
    if isinstance(dataset, keras.utils.PyDataset):
        indices = itertools.count() if count == math.inf else range(count)
        dataset = map(dataset.__getitem__, indices)
    # PyTorch collates pairs into lists; Keras unpacks tuples.
    for element in dataset:
        yield arrays(tuple(element) if isinstance(element, list) else element)


def _count(dataset):
    """How many elements a data set has, infinity where it repeats itself, None if unknown."""
    if isinstance(dataset, keras.utils.PyDataset):
        return math.inf if dataset.num_batches is None else dataset.num_batches
    if hasattr(dataset, "cardinality"):
        return math.inf if int(dataset.cardinality()) == -1 else None  # tf.data's word for it
    return None


def _unpacked(element):
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(element)
    return x, y, sample_weight


def _is_one_example(element, model):
    """Whether the arrays lack the axis of examples that the model's inputs have."""
    inputs = keras.tree.flatten(getattr(model, "inputs", None) or [])
    found = keras.tree.flatten(_unpacked(element)[0])
    return len(inputs) == len(found) > 0 and all(
        np.ndim(array) == len(tensor.shape) - 1 for array, tensor in zip(found, inputs, strict=True)
    )


def _array(value):
    return None if value is None else np.asarray(ops.convert_to_numpy(value))


def _tensor(name, value):
    if value is None:
        return None
    if not ops.is_tensor(value):
        value = np.asarray(value)
        if value.dtype.kind in "OSU" or value.ndim == 0:
            raise wrong(name, "arrays of numbers with an axis of examples", value)
    is_float = keras.backend.is_float_dtype(keras.backend.standardize_dtype(value.dtype))
    if is_float and not np.isfinite(ops.convert_to_numpy(value).astype("float64")).all():
        raise wrong(name, "finite", value)
    return ops.convert_to_tensor(value, keras.config.floatx() if is_float else None)
