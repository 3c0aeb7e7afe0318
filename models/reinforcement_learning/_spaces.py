"""gymnasium's spaces: read, written as plain values for `get_config`, turned into numbers."""

import functools
import math
import typing

import numpy as np
import tensorflow as tf
from keras import ops

from ..._arguments import integer_or_none, integers, wrong

# The kinds that are taken, with gymnasium's names of their arguments and its default dtypes.
_FIELDS = {
    "Box": ("low", "high", "dtype"),
    "Discrete": ("n", "start", "dtype"),
    "MultiDiscrete": ("nvec", "start", "dtype"),
    "MultiBinary": ("n",),
}
_DTYPES = {"Box": "float32", "Discrete": "int64", "MultiDiscrete": "int64", "MultiBinary": "int8"}
# Wider bounds mean that there is none: gymnasium then writes the largest number of the dtype.
_WIDEST = 1e9

_OBSERVATIONS = (
    "a gymnasium Box, Discrete, MultiDiscrete or MultiBinary, or the shape of a Box; "
    "gymnasium.wrappers.FlattenObservation turns a Dict or Tuple into a Box"
)
_CHOICES = "a gymnasium Discrete(n) with n >= 2, n itself, a MultiDiscrete or MultiBinary"
_ONLY_CHOICES = f"{_CHOICES}; gymnasium.wrappers.DiscretizeAction turns a Box into one"
_ACTIONS = (
    f"{_CHOICES}, or a Box with each `low` below its `high`, or a dict of these bounds; "
    "gymnasium.wrappers.TransformAction turns a Dict or Tuple into one"
)


class Space(typing.NamedTuple):
    """One of the four kinds, with the lowest and the highest values as arrays of its shape."""

    kind: str
    low: np.ndarray
    high: np.ndarray
    dtype: np.dtype

    @property
    def sizes(self):
        """How many values each entry of a discrete space can take."""
        return (self.high - self.low + 1).ravel()


class Observations:
    """Observations of shape `shape` as vectors of `size` numbers, choices one-hot."""

    def __init__(self, space):
        self.space = _read_shape(space) or _read(space)
        if self.space is None or self.space.low.size == 0:
            raise wrong("observation_space", _OBSERVATIONS, space)
        self.shape = self.space.low.shape
        self.is_box = self.space.kind == "Box"
        self.plain = self.shape if self.is_box else _config(self.space)
        self.config = list(self.shape) if self.is_box else self.plain
        self.one_hot = self.space.kind in ("Discrete", "MultiDiscrete")
        self.size = int(self.space.sizes.sum()) if self.one_hot else self.space.low.size

    def encode(self, observations):
        """(rows, *shape) as float32 (rows, size)."""
        rows = len(observations)
        if not self.is_box:
            low, high = self.space.low, self.space.high
            inside = (observations >= low) & (observations <= high)
            if not (inside & (observations == np.floor(observations))).all():
                raise ValueError(
                    f"Observations must lie in the space {self.config}. Received: {observations}"
                )
        vectors = np.asarray(observations, "float32").reshape(rows, self.space.low.size)
        if not self.one_hot:
            return vectors
        sizes = self.space.sizes
        columns = np.asarray(observations - self.space.low, "int64").reshape(rows, len(sizes))
        vectors = np.zeros((rows, self.size), "float32")
        np.put_along_axis(vectors, columns + np.cumsum(sizes) - sizes, 1.0, axis=1)
        return vectors

    def read(self, observations):
        """Vectors of what a user gave, and whether it is one observation without a batch."""
        if tf.is_symbolic_tensor(observations):
            raise TypeError(
                "`observations` must be an array: `act` does not run inside `tf.function`, where "
                f"you can call the model itself. Received: observations={observations}"
            )
        array = finite_array(observations)
        single = array is not None and array.shape == self.shape
        if array is None or not (single or (array.ndim and array.shape[1:] == self.shape)):
            batch = ", ".join(map(str, ("batch", *self.shape)))
            wanted = f"finite numbers of shape {self.shape} for one observation, or ({batch})"
            raise wrong("observations", wanted, observations)
        return self.encode(array[None] if single else array), single


class Choices:
    """Actions that are one choice or several independent ones, each with its own logits.

    Inside the agents choices count from 0, in shape (rows,) for Discrete and else (rows, choices).
    """

    def __init__(self, space):
        self.space, self.config = space, _config(space)
        self.sizes = tuple(space.sizes.tolist())
        self.outputs = sum(self.sizes)
        self.shape = () if space.kind == "Discrete" else (len(self.sizes),)
        if self.config == {"type": "Discrete", "n": self.outputs}:
            self.config = self.outputs

    def best(self, values):
        """The position of each choice's largest among the (rows, outputs) values."""
        best = ops.argmax(heads(values, self.sizes), axis=-1)
        return ops.reshape(best, (-1, *self.shape))

    def random(self, generator, rows):
        sizes = np.reshape(self.sizes, self.shape)
        return generator.integers(sizes, size=(rows, *self.shape))

    def to_environment(self, chosen):
        """What the environment takes, (rows, *shape of the space)."""
        low = self.space.low
        return (np.reshape(chosen, (-1, *low.shape)) + low).astype(self.space.dtype)


class Numbers:
    """Actions that are numbers, of a Box.

    Inside the agents they have shape (rows, outputs), and -1 and 1 are the bounds, if any.
    """

    def __init__(self, space):
        self.space, self.config = space, _config(space)
        self.outputs = space.low.size
        # As float64, which must not lie beyond where a bound is an integer of 64 bits.
        low, high = space.low.ravel().tolist(), space.high.ravel().tolist()
        self._low = np.array([v if (v := float(b)) >= b else math.nextafter(v, 0) for b in low])
        self._high = np.array([v if (v := float(b)) <= b else math.nextafter(v, 0) for b in high])
        self._bounded = (self._low >= -_WIDEST) & (self._high <= _WIDEST)

    def to_environment(self, numbers):
        """What the environment takes, (rows, *shape of the space)."""
        low, high = (np.where(self._bounded, b, 0.0) for b in (self._low, self._high))
        scaled = low + (high - low) * (np.asarray(numbers, "float64") + 1) / 2
        numbers = np.clip(np.where(self._bounded, scaled, numbers), self._low, self._high)
        if self.space.dtype.kind != "f":
            numbers = np.rint(numbers)
        return numbers.astype(self.space.dtype).reshape(-1, *self.space.low.shape)


def actions_of(space, numbers=True):
    """`Choices`, or `Numbers` where they are allowed, of a space or its plain form."""
    n = integer_or_none(space)
    found = _read(space if n is None else {"type": "Discrete", "n": n})
    if found is not None and found.low.size:
        if found.kind == "Box" and numbers and (found.low < found.high).all():
            return Numbers(found)
        if found.kind != "Box" and (found.kind != "Discrete" or found.low < found.high):
            return Choices(found)
    raise wrong("action_space", _ACTIONS if numbers else _ONLY_CHOICES, space)


def same_actions(one, other):
    """Apart from their dtype, which only the environment asks for."""
    one, other = one.space, other.space
    with np.errstate(over="ignore"):
        bounds = [np.float32([space.low, space.high]) for space in (one, other)]
    return one.kind == other.kind and np.array_equal(*bounds)


def heads(values, sizes):
    """(..., sum(sizes)) as (..., heads, largest size), filled up with -inf."""
    sizes = np.array(sizes)
    columns = np.arange(sizes.max())
    there = columns < sizes[:, None]
    index = np.where(there, (np.cumsum(sizes) - sizes)[:, None] + columns, 0)
    return ops.where(there, ops.take(values, index, axis=-1), -math.inf)


def finite_array(values):
    """An array of real numbers without NaN and infinity, or None."""
    try:
        array = np.asarray(values)
    except ValueError:  # rows of unequal length
        return None
    return array if array.dtype.kind in "biuf" and np.isfinite(array).all() else None


def _read(space):
    """The `Space` that a gymnasium space or its plain form describes, or None."""
    try:
        if isinstance(space, dict):
            get, kind = space.get, space.get("type", "Box")
            if not set(space) <= {"type", *_FIELDS[kind]}:
                return None
        else:
            get = functools.partial(getattr, space)
            names = (base.__name__ for base in type(space).__mro__)
            kind = next(name for name in names if name in _FIELDS)
        dtype = np.dtype(get("dtype", None) or _DTYPES[kind])
        if kind == "Box":
            # In float64 as they were given: float32 would change what `get_config` returns.
            exact = "float64" if dtype.kind == "f" else dtype
            low, high = (np.array(get(name, None), exact) for name in ("low", "high"))
            return Space(kind, low, high, dtype) if low.shape == high.shape else None
        if kind == "MultiBinary":
            low = np.zeros(integers("n", get("n", None), minimum=1), "int64")
            return Space(kind, low, low + 1, dtype)
        sizes = np.array(get("n" if kind == "Discrete" else "nvec", None))
        start = np.array(get("start", 0))
        if sizes.dtype.kind in "iu" and start.dtype.kind in "iu" and (sizes >= 1).all():
            low = np.broadcast_to(start, sizes.shape).astype("int64")
            return Space(kind, low, low + sizes.astype("int64") - 1, dtype)
    except (KeyError, OverflowError, StopIteration, TypeError, ValueError):
        pass
    return None


def _read_shape(space):
    """A Box without bounds, of a plain length or shape, or None."""
    n = integer_or_none(space)
    shape = [n] if n is not None else space
    if not isinstance(shape, (list, tuple)) or any(integer_or_none(s) is None for s in shape):
        return None
    if any(s < 1 for s in shape):
        return None
    low = np.full(tuple(map(int, shape)), -math.inf)
    return Space("Box", low, -low, np.dtype("float32"))


def _config(space):
    """Plain values that `_read` makes the space of."""
    if space.kind == "MultiBinary":
        return {"type": space.kind, "n": list(space.low.shape)}
    if space.kind == "Box":
        config = {"low": space.low.tolist(), "high": space.high.tolist()}
    else:
        n = "n" if space.kind == "Discrete" else "nvec"
        config = {"type": space.kind, n: (space.high - space.low + 1).tolist()}
        if space.low.any():
            config["start"] = space.low.tolist()
    if space.dtype != _DTYPES[space.kind]:
        config["dtype"] = space.dtype.name
    return config
