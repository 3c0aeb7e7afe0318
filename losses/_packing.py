"""Named parts side by side in one array of targets, and apart again."""

from collections.abc import Mapping

import keras
import numpy as np
from keras import ops

from .._arguments import choice, in_words, integer_or_none, wrong
from ._row_loss import rank_is_known, shape_in_words

# The largest n for which a float type holds every integer from -n to n.
LARGEST_EXACT_INTEGER = {"bfloat16": 2**8, "float16": 2**11, "float32": 2**24, "float64": 2**53}
LARGEST = {
    "bfloat16": 3.3895e38,
    "float16": 65504.0,
    "float32": float(np.finfo("float32").max),
    "float64": float(np.finfo("float64").max),
}
TAKEN_NAMES = ("y_pred", "y_true")


def check_sizes(sizes):
    """`sizes` as a plain dict of names and ints, in its order."""
    sizes = dict(sizes) if isinstance(sizes, Mapping) else sizes
    columns = [integer_or_none(n) for n in sizes.values()] if isinstance(sizes, dict) else []
    if not columns or any(n is None or n < 1 for n in columns):
        wanted = "a dict of positive integers, the columns of each part by its name"
        raise wrong("sizes", f"{wanted}, e.g. {{'action': 2, 'advantage': 1}}", sizes)
    for name in sizes:
        if not isinstance(name, str) or not name.isidentifier() or name in TAKEN_NAMES:
            raise ValueError(
                "A name in `sizes` becomes the name of an argument, and cannot be one of "
                f"{TAKEN_NAMES}. Received: name={in_words(name)}"
            )
    return dict(zip(sizes, columns, strict=True))


def check_part(argument, name, sizes, also=()):
    """`name` where it is one of the parts."""
    return choice(argument, name, list(sizes), also)


def pack(parts, sizes, dtype, infinite=()):
    """The parts side by side: a NumPy array (..., sum of sizes).

    The parts named in `infinite` may hold infinities.
    `dtype` is the one that the loss computes in. The array itself is as wide as what Keras feeds:
    its data adapters cut float64 down to floatx.
    """
    if set(parts) != set(sizes):
        raise ValueError(
            f"Each part must be given once: {list(sizes)}. Received: {sorted(map(str, parts))}"
        )
    packed = "float64" if keras.config.floatx() == "float64" else "float32"
    narrow = min(packed, dtype, key=LARGEST_EXACT_INTEGER.get)
    arrays = {
        name: _as_array(name, parts[name], narrow, name in infinite).astype(packed)
        for name in sizes
    }
    possible = [_possible_rows(array.shape, sizes[name]) for name, array in arrays.items()]
    rows = min(set.intersection(*possible), key=len, default=None)
    if rows is None:
        raise ValueError(
            "The parts must have the shape (..., size), with the same axes before the last; a "
            "part of size 1 may come without its last axis. "
            f"Received: sizes={sizes}, shapes={ {n: a.shape for n, a in arrays.items()} }"
        )
    return np.concatenate(
        [array.reshape((*rows, sizes[name])) for name, array in arrays.items()], axis=-1
    )


def unpack(y_true, sizes):
    """The parts of packed targets by name, each (..., size); arrays stay arrays."""
    if not hasattr(y_true, "shape"):
        y_true = np.asarray(y_true)
    width = sum(sizes.values())
    known = rank_is_known(y_true)
    if not known or len(y_true.shape) < 2 or y_true.shape[-1] not in (width, None):
        raise ValueError(
            f"`y_true` must have the shape (batch, ..., {width}), the columns of `sizes` side by "
            f"side, as `pack` makes them. Received: sizes={sizes}, "
            f"y_true.shape={shape_in_words(y_true)}"
        )
    if y_true.shape[-1] is None:  # Found wrong when data comes, if it is: slices would not tell.
        with keras.name_scope("the_columns_of_y_true_must_be_those_of_sizes"):
            y_true = ops.reshape(y_true, (*ops.shape(y_true)[:-1], width))
    parts, start = {}, 0
    for name, size in sizes.items():
        parts[name] = y_true[..., start : start + size]
        start += size
    return parts


def _as_array(name, part, dtype, infinite):
    """A part as an array, once it is known to come through the cast to `dtype` unharmed."""
    array = ops.convert_to_numpy(part) if ops.is_tensor(part) else np.asarray(part)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"`{name}` must hold real numbers. Received: {name}.dtype={array.dtype}")
    if array.dtype.kind in "iu" and array.size:
        largest = max(int(array.max()), -int(array.min()))
        exact = LARGEST_EXACT_INTEGER[dtype]
        if largest > exact:
            raise ValueError(
                f"`{name}` holds an integer that changes when Keras casts targets to floats: they "
                f"are exact up to {exact}. Split large ids over two columns (`id // 4096` and "
                "`id % 4096`), number them anew from 0, or make them an input of the model. "
                f"Received: {largest} in {name}"
            )
    refused = ~(np.abs(array) <= LARGEST[dtype])  # NaN too
    if infinite:
        refused &= ~np.isinf(array)
    if refused.any():
        raise ValueError(
            f"`{name}` must be finite in {dtype}; give rows that do not count a `sample_weight` "
            "of 0 and any finite value. Where infinities are meant, `PackedTargetsLoss(..., "
            f"infinite=[...])` names their parts. Received: {np.sum(refused)} of {array.size} "
            f"values of {name} are NaN or out of range"
        )
    return array


def _possible_rows(shape, size):
    """The axes before the last, if `shape` has that last axis; a size of 1 may go without."""
    possible = {shape[:-1]} if shape[-1:] == (size,) else set()
    if size == 1:
        possible.add(shape)
    return {rows for rows in possible if rows}
