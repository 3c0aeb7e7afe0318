"""Reads the numbers that a user passes into arrays of floats, NaN where a value is missing."""

import decimal
import numbers
import sys

import numpy as np

LARGEST_EXACT = 2**53  # float64 holds every integer up to here


def read_values(values, name, several=""):
    """Values as a new float64 array `(time, features)`, finite or NaN where one is missing.

    Args:
        values: Numbers, `(time,)` or `(time, features)`: anything that `np.asarray` reads, a
            masked array, or a pandas object with any dtype of numbers.
        name: String, what errors call them.
        several: String, what the error about the shape says of several series.

    Raises:
        TypeError: something else than real numbers.
        ValueError: wrong shape, infinite values, or integers that float64 would merge.
    """
    array = read_floats(values, name, several).astype("float64")
    check_finite(array, name)
    return array


def read_floats(values, name, several=""):
    """Values as `(time, features)`: a view of float32 or float64, else a float64 array."""
    array = _floats(values, name, several)
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2:
        raise ValueError(
            f"`{name}` must have shape (time,) or (time, features){several}. "
            f"Received: {name} of shape {array.shape}"
        )
    return array


def check_finite(array, name, times=None):
    """Raises where an array `(time, features)` holds an infinite value, and says at what time."""
    infinite = np.isinf(array).any(axis=1)
    if infinite.any():
        row = int(infinite.argmax())
        time = row if times is None else time_in_words(times[row])
        raise ValueError(
            f"`{name}` must be finite, with NaN where a value is missing. "
            f"Received: an infinite value at time {time}"
        )


def time_in_words(time):
    """A time as errors show it: of a date at midnight, only the date."""
    return str(time).replace(" 00:00:00", "")


def _floats(values, name, several):
    pd = sys.modules.get("pandas")
    if isinstance(values, np.ma.MaskedArray) and values.dtype.names is None:
        known = ~np.ma.getmaskarray(values)
        found = _floats(values.compressed(), name, several)
        array = np.full(values.shape, np.nan, found.dtype)
        array[known] = found
        return array
    if pd and isinstance(values, pd.DataFrame):
        return _table_floats(values, name, several)
    if pd and isinstance(values, (pd.Series, pd.Index, pd.api.extensions.ExtensionArray)):
        return _column_floats(pd.Series(values), name, several, pd)
    if isinstance(values, (list, tuple)) and any(type(value) is bool for value in values):
        raise _not_real(name, "a boolean")  # `np.asarray` makes numbers of them
    try:
        array = np.asarray(values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise _not_an_array(name, f"of type {type(values).__name__}", several) from error
    if array.dtype == object:
        return _object_floats(array, name, several)
    if array.dtype.kind not in "iuf":
        raise _not_real(name, f"{name} of dtype {array.dtype}")
    if array.dtype.type in (np.float32, np.float64):
        return array.astype(array.dtype.newbyteorder("="), copy=False)
    if array.dtype.kind in "iu":
        _check_exact(array, name)
    return array.astype("float64")


def _table_floats(table, name, several):
    """A table `(time, features)`, a view where all its columns lie in one array of floats."""
    if len(set(table.dtypes)) == 1 and table.dtypes.iloc[0] in (np.float32, np.float64):
        return table.to_numpy()
    # `items` and not labels: a label that comes twice would give a table.
    columns = [_floats(column, f"{name}[{label!r}]", several) for label, column in table.items()]
    return np.stack(columns, axis=1) if columns else np.empty(table.shape)


def _column_floats(column, name, several, pd):
    dtype, types = column.dtype, pd.api.types
    if isinstance(dtype, np.dtype):
        return _floats(column.to_numpy(), name, several)
    if (
        not types.is_numeric_dtype(dtype)
        or types.is_bool_dtype(dtype)
        or types.is_complex_dtype(dtype)
    ):
        raise _not_real(name, f"{name} of dtype {dtype}")
    if types.is_integer_dtype(dtype):
        _check_exact(column.dropna().to_numpy(), name)
    return column.to_numpy("float32" if dtype == "Float32" else "float64", na_value=np.nan)


def _object_floats(array, name, several):
    """Objects that are real numbers; None, NaN and pandas' NA are missing values."""
    missing = {type(None), type(getattr(sys.modules.get("pandas"), "NA", None))}
    refused = {kind for kind in set(map(type, array.flat)) if not _is_number(kind)} - missing
    if refused and array.ndim == 0:
        raise _not_an_array(name, f"of type {type(array[()]).__name__}", several)
    if refused:
        row, value = next(
            (place[0], value) for place, value in np.ndenumerate(array) if type(value) in refused
        )
        if hasattr(value, "__len__") and not isinstance(value, (str, bytes)):
            # Such as several series of unequal lengths.
            kind = f"of dtype object, holding {type(value).__name__}"
            raise _not_an_array(name, kind, several)
        raise _not_real(name, f"{value!r} ({type(value).__name__}) at time {row}")
    _check_exact(np.array([v for v in array.flat if isinstance(v, numbers.Integral)], object), name)
    known = np.array([type(v) not in missing for v in array.flat], bool).reshape(array.shape)
    return np.where(known, array, np.nan).astype("float64")


def _is_number(kind):
    return issubclass(kind, (numbers.Real, decimal.Decimal)) and not issubclass(kind, bool)


def _check_exact(integers, name):
    """Raises where float64 would change an integer, so that neighbours might become equal."""
    large = integers[(integers > LARGEST_EXACT) | (integers < -LARGEST_EXACT)]
    changed = [value for value in large.tolist() if int(float(value)) != value]
    if changed:
        raise ValueError(
            f"`{name}` must hold numbers that float64 can tell apart: subtract a constant from "
            f"integers beyond 2**53. Received: {changed[0]}"
        )


def _not_real(name, received):
    return TypeError(
        f"`{name}` must hold real numbers, with NaN where a value is missing. Received: {received}"
    )


def _not_an_array(name, kind, several):
    return TypeError(
        f"`{name}` must be an array of numbers, (time,) or (time, features){several}. "
        f"Received: {name} {kind}"
    )
