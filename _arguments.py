"""Checks of arguments: each returns the value as plain Python, or raises one kind of error.

    `units` must be a positive integer. Received: units=0

NumPy's scalars are taken wherever Python's are; a boolean is no number. `also` names values that
pass as they are, such as None or "auto".
"""

import math
import numbers
import operator
import os
import sys

import keras
import numpy as np

LONGEST = 200  # characters of a value in an error


def integer(name, value, minimum=None, maximum=None, also=()):
    """`value` as an `int` from `minimum` to `maximum`."""
    if _is_one_of(value, also):
        return value
    found = integer_or_none(value)
    if (
        found is None
        or (minimum is not None and found < minimum)
        or (maximum is not None and found > maximum)
    ):
        raise wrong(name, _or(_integer_in_words(minimum, maximum), also), value)
    return found


def positive_integer(name, value, also=()):
    return integer(name, value, minimum=1, also=also)


def integers(name, values, minimum=None, maximum=None):
    """A tuple of integers, at least one; a single integer stands for a tuple of one."""
    one = integer_or_none(values)
    listed = [one] if one is not None else _listed(values)
    found = [integer_or_none(value) for value in listed or [None]]
    if any(
        value is None
        or (minimum is not None and value < minimum)
        or (maximum is not None and value > maximum)
        for value in found
    ):
        what = _integer_in_words(minimum, maximum)
        raise wrong(name, f"{what}, or a tuple of such", values)
    return tuple(found)


def number(name, value, minimum=None, maximum=None, above=None, below=None, also=()):
    """`value` as a finite `float` within the bounds; `above` and `below` are left out."""
    if _is_one_of(value, also):
        return value
    found = _float_or_none(value)
    if (
        found is None
        or not math.isfinite(found)
        or (minimum is not None and found < minimum)
        or (maximum is not None and found > maximum)
        or (above is not None and found <= above)
        or (below is not None and found >= below)
    ):
        wanted = _number_in_words(minimum, maximum, above, below)
        raise wrong(name, _or(wanted, also), value)
    return found


def fraction(name, value, also=()):
    """`value` as a `float` from 0 to 1, both included."""
    return number(name, value, minimum=0, maximum=1, also=also)


def text(name, value, also=()):
    """`value` as a `str`, not empty."""
    if _is_one_of(value, also):
        return value
    if not isinstance(value, str) or not value:
        raise wrong(name, _or("a string", also), value)
    return str(value)


def boolean(name, value, also=()):
    """`value` as a `bool`; neither 0 nor 1, nor a word, is one."""
    if _is_one_of(value, also):
        return value
    value = _scalar(value)
    if not isinstance(value, (bool, np.bool_)):
        raise wrong(name, _or("True or False", also), value)
    return bool(value)


def choice(name, value, choices, also=()):
    """`value` where it is one of some words."""
    if _is_one_of(value, also):
        return value
    if not isinstance(value, str) or value not in choices:
        words = ", ".join(repr(word) for word in choices)
        raise wrong(name, _or(f"one of {words}", also), value)
    return str(value)


def file_path(name, value):
    """`value` where it is the path of a file."""
    if not isinstance(value, (str, os.PathLike)) or not str(value):
        raise wrong(name, "a path", value)
    return value


def one_dtype(value):
    """A pandas object as a NumPy array, as floats with NaN where its dtypes are not one of NumPy's.

    Such are frames of several numeric dtypes, and nullable ones. Anything else comes back as it
    is, and so does text.
    """
    pandas = sys.modules.get("pandas")
    if pandas is None or not isinstance(value, (pandas.DataFrame, pandas.Series)):
        return value
    array = np.asarray(value)
    if array.dtype != object:
        return array
    try:
        return value.to_numpy(dtype="float64", na_value=np.nan)
    except (TypeError, ValueError):
        return value


def real_array(name, value):
    """`value` as a NumPy array of finite real numbers."""
    try:
        array = np.asarray(one_dtype(value))
    except (TypeError, ValueError):  # such as rows of unequal length
        array = np.asarray(None)
    if array.dtype.kind not in "biuf" or not np.isfinite(array).all():
        raise wrong(name, "finite real numbers", value)
    return array


def float_dtype(name, value):
    """`value` where it is None, a floating-point dtype, its name, or a dtype policy of Keras."""
    try:
        dtype = keras.dtype_policies.get(value).compute_dtype
    except (TypeError, ValueError):
        dtype = "bool"
    if not keras.backend.is_float_dtype(dtype):
        raise wrong(name, "a floating-point dtype, its name, or None", value)
    return value


def unused(name, value, default, reason):
    """Refuses an argument that nothing would read, unless it has its default."""
    if not (isinstance(value, type(default)) and value == default):
        raise ValueError(
            f"`{name}` has no effect {reason}: leave it out. Received: {name}={in_words(value)}"
        )


def integer_or_none(value):
    """`value` as an `int`, or None where it is no whole number or a boolean."""
    if isinstance(value, (bool, np.bool_)):
        return None
    try:
        return operator.index(value)
    except TypeError:
        return None


def built_model(name, value):
    """`value` where it is a Keras model whose weights exist."""
    if not isinstance(value, keras.Model) or not value.built:
        wanted = "a built Keras model: give it a `keras.Input`, or call it once on a batch"
        raise wrong(name, wanted, value)
    return value


def wrong(name, wanted, value):
    """The error of an argument: its name, what it must be, and what came."""
    return ValueError(f"`{name}` must be {wanted}. Received: {name}={in_words(value)}")


def in_words(value):
    """A value as an error shows it: arrays by shape and dtype, long texts cut."""
    is_array = hasattr(value, "__array__") and isinstance(getattr(value, "shape", None), tuple)
    if is_array and value.shape != ():
        dtype = getattr(value, "dtype", "mixed")  # a table of pandas has one a column
        return f"{type(value).__name__} of shape {value.shape}, dtype {dtype}"
    text = repr(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def _is_one_of(value, also):
    return any(value is one or (isinstance(value, str) and value == one) for one in also)


def _scalar(value):
    return value[()] if isinstance(value, np.ndarray) and value.ndim == 0 else value


def _float_or_none(value):
    value = _scalar(value)
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        return None
    try:
        return float(value)
    except OverflowError:
        return None


def _listed(values):
    return list(values) if isinstance(values, (tuple, list, range, np.ndarray)) else None


def _integer_in_words(minimum, maximum):
    if minimum == 1 and maximum is None:
        return "a positive integer"
    return f"an integer{_range_in_words(minimum, maximum, None, None)}"


def _number_in_words(minimum, maximum, above, below):
    return f"a finite number{_range_in_words(minimum, maximum, above, below)}"


def _range_in_words(minimum, maximum, above, below):
    if minimum is not None and maximum is not None:
        return f" from {minimum:g} to {maximum:g}"
    low = f" of at least {minimum:g}" if minimum is not None else ""
    low = f" above {above:g}" if above is not None else low
    high = f" of at most {maximum:g}" if maximum is not None else ""
    high = f" below {below:g}" if below is not None else high
    return f"{low} and{high}" if low and high else low or high


def _or(wanted, also):
    return ", or ".join([wanted, *map(repr, also)])
