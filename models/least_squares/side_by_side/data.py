"""The data sets and the starts of many fits, checked and brought to one form."""

from typing import Any, NamedTuple

import keras
import numpy as np

from ...._arguments import boolean, in_words, one_dtype, wrong
from ..data_checks import check_arrays, check_given


class DataSets(NamedTuple):
    """Data sets side by side, as NumPy."""

    x: Any  # shared (points, ...), or (datasets, points, ...)
    y: np.ndarray  # (datasets, points, ...)
    weight: np.ndarray  # (datasets, points)
    shared: bool

    @property
    def finite(self):
        """Mask (datasets,) of those without NaN and Inf in what counts."""
        counts = self.weight > 0
        good = _finite_points(self.y, 2)
        for leaf in keras.tree.flatten(self.x):
            good = good & _finite_points(leaf, 1 if self.shared else 2)
        return (good | ~counts).all(axis=1)


def data_sets(x, y, sample_weight=None, shared_x="auto"):
    """The `DataSets` of arrays as `fit_many` takes them."""
    shared_x = boolean("shared_x", shared_x, also=("auto",))
    x, y, sample_weight = keras.tree.map_structure(one_dtype, (x, y, sample_weight))
    check_arrays(x, y, sample_weight)
    check_given(x, y)
    y = _real("y", y, "an array (datasets, points, ...) of real numbers")
    if y.ndim < 2 or 0 in y.shape:
        raise wrong("y", "an array (datasets, points, ...), with one point at least", y)
    leaves = keras.tree.flatten(x)
    wanted = "an array, or a structure of arrays like the model's inputs"
    if not leaves or any(leaf is None for leaf in leaves):
        raise wrong("x", wanted, x)
    x = keras.tree.map_structure(lambda leaf: _real("x", leaf, wanted), x)
    shared = _is_shared(keras.tree.flatten(x), y.shape[:2], shared_x)
    return DataSets(x, y, _weights(sample_weight, y.shape[:2]), shared)


def _is_shared(leaves, shape, shared_x):
    datasets, points = shape
    fits = {
        True: all(leaf.shape[:1] == (points,) for leaf in leaves),
        False: all(leaf.shape[:2] == (datasets, points) for leaf in leaves),
    }
    received = (
        f"Received: x of shape {[leaf.shape for leaf in leaves]}, with {datasets} data sets of "
        f"{points} points in `y`"
    )
    if shared_x != "auto":
        if not fits[shared_x]:
            wanted = "(points, ...)" if shared_x else "(datasets, points, ...)"
            raise ValueError(
                f"`shared_x` must be 'auto', or say how `x` is; {shared_x} asks for an x of shape "
                f"{wanted}. {received}, shared_x={shared_x}"
            )
        return shared_x
    if all(fits.values()):
        raise ValueError(
            "`x` could be shared, (points, ...), or have a part for each data set, (datasets, "
            f"points, ...): say which with `shared_x=True` or False. {received}"
        )
    if not any(fits.values()):
        raise ValueError(
            "`x` must be (points, ...), shared by all data sets, or (datasets, points, ...), with "
            f"the data sets and points of `y`. {received}"
        )
    return fits[True]


def _weights(sample_weight, shape):
    if sample_weight is None:
        return np.ones(shape)
    wanted = f"an array (datasets, points), here {shape}, of finite numbers that are not negative"
    weight = _real("sample_weight", sample_weight, wanted).astype("float64")
    if weight.shape != shape or not np.isfinite(weight).all() or (weight < 0).any():
        raise wrong("sample_weight", wanted, sample_weight)
    empty = np.flatnonzero((weight > 0).sum(axis=1) == 0)
    if len(empty):
        raise ValueError(
            "`sample_weight` must leave each data set a point that counts. "
            f"Received: no weight above 0 in the data sets {some(empty)}"
        )
    return weight


def starts_of(starts, weights, datasets):
    """The starts as an array (datasets, starts, weights).

    Args:
        starts: What `fit_many` takes.
        weights: `FlatWeights`.
        datasets: Their number.
    """
    if starts is None:
        return np.broadcast_to(weights.vector().numpy(), (datasets, 1, weights.size))
    shapes = [tuple(v.shape) for v in weights.variables]
    wanted = (
        f"an array (starts, {weights.size}) or (datasets={datasets}, starts, {weights.size}) of "
        "finite numbers, the weights one after the other, or a list with such an array for each "
        f"of the trainable weights, of shapes {shapes} after these axes"
    )
    if isinstance(starts, (list, tuple)):
        if len(starts) != len(shapes):
            raise wrong("starts", wanted, starts)
        parts = [_real("starts", part, wanted) for part in starts]
        if any(
            part.ndim <= len(shape) or part.shape[part.ndim - len(shape) :] != shape
            for part, shape in zip(parts, shapes, strict=True)
        ):
            raise wrong("starts", wanted, starts)
        parts = [
            part.reshape(*part.shape[: part.ndim - len(shape)], -1)
            for part, shape in zip(parts, shapes, strict=True)
        ]
        if len({part.shape[:-1] for part in parts}) > 1:
            raise wrong("starts", wanted, starts)
        array = np.concatenate(parts, axis=-1)
    else:
        array = _real("starts", starts, wanted)
    if array.ndim == 2:
        array = np.broadcast_to(array, (datasets, *array.shape))
    wrong_shape = array.ndim != 3 or array.shape[::2] != (datasets, weights.size)
    if wrong_shape or not array.size or not np.isfinite(array).all():
        raise wrong("starts", wanted, starts)
    return array


def some(indices, most=10):
    """Indices as an error shows them."""
    indices = [int(i) for i in indices]
    more = f" and {len(indices) - most} more" if len(indices) > most else ""
    return f"{', '.join(map(str, indices[:most]))}{more}"


def _real(name, value, wanted):
    try:
        array = np.asarray(one_dtype(value))
    except (TypeError, ValueError):  # such as rows of unequal length
        array = np.asarray(None)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"`{name}` must be {wanted}. Received: {name}={in_words(value)}")
    return array


def _finite_points(array, axes):
    """Mask over the first axes of the points whose numbers are all finite."""
    return np.isfinite(array.reshape(*array.shape[:axes], -1)).all(axis=-1)
