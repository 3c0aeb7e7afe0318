"""What data must be: refused before Keras sees it, or in the graph where only that knows."""

import contextlib
import inspect
import numbers
import re
import warnings

import keras
import numpy as np
import tensorflow as tf

from ..._arguments import in_words, one_dtype, wrong
from ...losses import PackedTargetsLoss

EACH_VALUE, LABELS, ANY = "each value", "labels", "any"
_LOSSES_OF_LABELS = (
    "SparseCategoricalCrossentropy",
    "sparse_categorical_crossentropy",
    "CTC",
    "ctc",
    "CategoricalGeneralizedCrossEntropy",
    "categorical_generalized_cross_entropy",
    "Circle",
    "circle",
)
_OF_ANOTHER_SHAPE = (
    "`y` must have the shape of the outputs of the model: others would be broadcast, and "
    "targets compared with the outputs of other examples or features."
)
_NEGATIVE = "`sample_weight` must be at least 0 everywhere."


def are_arrays(data):
    """Whether `data` is dense arrays; for anything else Keras has an adapter, or an error."""
    leaves = [leaf for leaf in keras.tree.flatten(data) if leaf is not None]
    return all(hasattr(leaf, "__array__") for leaf in leaves)


def by_output(name, value, structure, output_names):
    """A list with what `value` has for each output of a model, in their flattened order.

    Args:
        name: What it is called.
        value: One for all outputs, or a list or dictionary of one for each; None where a
            dictionary has none.
        structure: The structure of the outputs.
        output_names: Their names where the structure has none.
    """
    count = len(keras.tree.flatten(structure))
    if isinstance(value, dict):
        names = structure if isinstance(structure, dict) else output_names
        named = {one: value.get(one) for one in names}
        ordered = isinstance(structure, dict)
        values = keras.tree.flatten(named) if ordered else list(named.values())
    elif isinstance(value, (list, tuple)):
        values = keras.tree.flatten(value)
    else:
        values = [value] * count
    if len(values) != count:
        raise ValueError(
            f"`{name}` must be one for all outputs of the model, or have one entry an output. "
            f"Received: {name}={in_words(value)} for {count} outputs"
        )
    return values


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


def check_arrays(x, y=None, sample_weight=None):
    """Refuses what Keras would misread in arrays before it sees them."""
    for name, value in (("x", x), ("y", y), ("sample_weight", sample_weight)):
        for leaf in keras.tree.flatten(value):
            if np.ma.is_masked(leaf):
                raise wrong(
                    name,
                    "an array without masked values, which would count as any other: leave these "
                    "examples out, or give them a `sample_weight` of 0",
                    leaf,
                )
            if isinstance(leaf, (numbers.Number, str, bytes, np.generic)):
                raise wrong(name, "an array: call `np.array` on a list of numbers", value)


def check_weights(sample_weight):
    """A negative weight would ask for as bad a fit as possible."""
    for leaf in keras.tree.flatten(sample_weight):
        if hasattr(leaf, "__array__") and (np.asarray(leaf) < 0).any():
            raise ValueError(f"{_NEGATIVE} Received: sample_weight={in_words(leaf)}")


def check_count(name, value, specs):
    """A list must have one array for each input or output of the model, where these are known."""
    count = len(keras.tree.flatten(value))
    wanted = len(keras.tree.flatten(specs))
    if isinstance(value, (list, tuple)) and specs is not None and count != wanted:
        one = "input" if name == "x" else "output"
        raise ValueError(
            f"`{name}` must be an array, or a list of one array for each {one} of the model, which "
            f"has {wanted}. Received: {name} of {count} arrays"
        )


def check_given(x, y):
    """Arrays need targets beside them."""
    if y is None and are_arrays(x):
        as_one = isinstance(x, tuple) and len(x) in (2, 3)
        advice = "give `x` and `y` as two arguments, not as one tuple" if as_one else "give it"
        raise ValueError(f"`y` is needed where `x` is arrays: {advice}. Received: y=None")


def check_classes(y, class_weight):
    """Refuses targets that Keras would round to a class, or to one without a weight."""
    y = np.asarray(one_dtype(y))
    if y.ndim >= 2 and y.shape[-1] > 1:
        one_hot = (y >= 0).all() and np.allclose(y.sum(-1), 1, atol=1e-3)
        classes = np.argmax(y, axis=-1) if one_hot else y
    else:
        one_hot, classes = True, y
    if not one_hot or classes.dtype.kind not in "biuf" or (classes != np.round(classes)).any():
        raise ValueError(
            "`class_weight` needs targets that are class indices or one-hot: real numbers would "
            f"be weighed by the class that they are rounded to. Received: y={in_words(y)}"
        )
    missing = sorted(set(np.unique(classes).astype(int).tolist()) - set(class_weight))
    if missing:
        raise ValueError(
            "`class_weight` must have a weight for every class in `y`. "
            f"Received: class_weight={class_weight}, without one for the classes {missing}"
        )


def with_classes_checked(data, class_weight):
    """A data set that checks the targets of each batch as `check_classes` does."""

    def checked(x, y, *weight):
        if keras.tree.is_nested(y):
            return (x, y, *weight)  # Keras says that it takes one output.

        def check(values):
            check_classes(values, class_weight)
            return values

        target = tf.numpy_function(check, [y], y.dtype)
        target.set_shape(y.shape)
        return (x, target, *weight)

    return data.map(checked)


def check_target(target, output, loss):
    """Refuses a target that Keras's losses would cast or broadcast to something else.

    Args:
        target: Tensor, of one output.
        output: Tensor or its specification, the output.
        loss: What `compile` took for this output.
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
            "`y` must hold real numbers: stack real and imaginary parts, "
            "`np.stack([y.real, y.imag], axis=-1)`, and those of the outputs alike, and give words "
            f"by their indices. Received: y of dtype {target.dtype.name}"
        )
    shapes = tuple(target.shape), tuple(output.shape)
    received = f"Received: y of shape {shapes[0]} for outputs of shape {shapes[1]}"
    targets = targets_of(loss)
    if targets == EACH_VALUE and not _may_be_the_same(*_like_keras(*shapes)):
        raise ValueError(f"{_OF_ANOTHER_SHAPE} {received}")


def with_shape_of(target, output, batch, loss):
    """`target`, which a graph uses only after it has compared the shapes that it did not know.

    Args:
        target: Tensor, of one output.
        output: Tensor or its specification, the output.
        batch: Number of examples, an integer where the graph is for one number, or a tensor.
        loss: What `compile` took for this output.
    """
    targets = targets_of(loss)
    if targets == LABELS or target.shape.rank is None:  # the latter `check_target` refuses
        return target
    of_output = (batch if isinstance(batch, int) else None, *output.shape[1:])
    known, of_output = _like_keras(tuple(target.shape), of_output)
    if targets == ANY and _broadcast(known, of_output):
        warnings.warn(
            "`y` has another shape than the model's outputs. If the loss only subtracts them, it "
            "compares targets with the outputs of other examples or features: give `y` the shape "
            f"of the outputs. Received: y of shape {known} for outputs of shape {of_output}",
            stacklevel=2,
        )
    decided = len(known) != len(of_output) or (None not in known and None not in of_output)
    if targets == ANY:
        decided = decided or None not in known[1:]
    if decided:
        return target
    with tf.device("CPU:0"):
        found = tf.shape(target)[: len(known)]
        sizes = [batch, *of_output[1:]]
        sizes = [tf.shape(output)[i] if size is None else size for i, size in enumerate(sizes)]
        wanted = tf.stack(sizes)
        same = tf.reduce_all(found == wanted)
        if targets == ANY:
            same |= ~tf.reduce_all((found == wanted) | (found == 1) | (wanted == 1))
        text = [_OF_ANOTHER_SHAPE, found, wanted]
        compared = tf.debugging.Assert(same, text)
    with tf.control_dependencies([compared]):
        return tf.identity(target)


def with_weights_checked(sample_weight):
    """`sample_weight`, which a graph uses only after it has looked for negative weights."""

    def with_one_checked(weight):
        if weight is None:
            return None
        weight = tf.convert_to_tensor(weight)
        least = tf.reduce_min(weight)
        with tf.device("CPU:0"):
            checked = tf.debugging.Assert(~(least < 0), [_NEGATIVE])
        with tf.control_dependencies([checked]):
            return tf.identity(weight)

    return keras.tree.map_structure(with_one_checked, sample_weight)


@contextlib.contextmanager
def failures_of_data_named():
    """What an assertion in the graph found, as the error that `fit` raises for arrays."""
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        text = str(error)
        of_classes = re.search(r"`class_weight` (must|needs).*", text)
        if of_classes:
            raise ValueError(of_classes.group()) from error
        if _NEGATIVE in text:
            raise ValueError(f"{_NEGATIVE} Received: negative weights in a batch") from error
        if _OF_ANOTHER_SHAPE in text:
            found = re.findall(r"\[((?:\d+ ?)*)\]", text[text.index(_OF_ANOTHER_SHAPE) :])[:2]
            found = [tuple(int(size) for size in shape.split()) for shape in found]
            received = f"Received: shapes of y and of the outputs={found}"
            raise ValueError(f"{_OF_ANOTHER_SHAPE} {received}") from error
        raise


def targets_of(loss):
    """What targets a loss takes: one for each value of the output, labels, or any."""
    loss = keras.losses.get(loss)
    if isinstance(loss, PackedTargetsLoss):
        return LABELS  # it checks what is packed by itself
    if getattr(loss, "elementwise", False) is True:
        return EACH_VALUE
    kind = loss if inspect.isfunction(loss) else type(loss)
    if kind.__module__.split(".")[0] != "keras":
        return ANY
    return LABELS if kind.__name__ in _LOSSES_OF_LABELS else EACH_VALUE


def _like_keras(target, output):
    """Shapes as Keras compares them: it drops or adds a last axis of one where one is missing."""
    if len(target) == len(output) + 1 and target[-1] == 1:
        target = target[:-1]
    if len(output) == len(target) + 1 and output[-1] == 1:
        output = output[:-1]
    return target, output


def _may_be_the_same(a, b):
    return len(a) == len(b) and all(
        one == other or one is None or other is None for one, other in zip(a, b, strict=True)
    )


def _broadcast(a, b):
    """Whether the shapes are known to differ, and fit together all the same."""
    pairs = list(zip(a[::-1], b[::-1], strict=False))
    fit = all(x == y or 1 in (x, y) or None in (x, y) for x, y in pairs)
    if len(a) != len(b):
        return fit and None not in (*a, *b)
    return fit and any(x != y and None not in (x, y) for x, y in pairs)
