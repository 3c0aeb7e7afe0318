"""Reads what a user passes as series into arrays that the rest may rely on."""

import numpy as np

MIN_OBSERVED = 2


def read_series(series, num_features=None, name="series"):
    """One series or a list of them, as checked float64 arrays of shape `(time, features)`.

    Returns:
        A dict of arrays by what the caller calls them, `series` or `series[0]`, `series[1]`, ...,
        and whether it was a single series rather than a list.

    Raises:
        TypeError: a series does not hold real numbers.
        ValueError: a list or a series is empty, has the wrong shape, infinite values, fewer than
            two observed (not NaN) values in a feature, or another number of features than others.
    """
    single = not isinstance(series, (list, tuple)) or (
        len(series) > 0 and all(np.ndim(value) == 0 for value in series)
    )
    if single:
        return {name: _read_one(series, num_features, name)}, True
    if not series:
        raise ValueError(f"`{name}` must hold at least one series. Received: {name}={series!r}")
    arrays = {
        f"{name}[{i}]": _read_one(s, num_features, f"{name}[{i}]") for i, s in enumerate(series)
    }
    features = {array.shape[1] for array in arrays.values()}
    if len(features) > 1:
        raise ValueError(
            f"All series of `{name}` must have the same number of features. "
            f"Received: {sorted(features)} features"
        )
    return arrays, False


def read_values(values, name, several=""):
    """Values as float64 `(time, features)`, finite or NaN where one is missing."""
    try:
        if isinstance(values, np.ma.MaskedArray):
            values = values.astype("float64").filled(np.nan)
        array = np.asarray(values)
        if array.dtype == object and not any(isinstance(v, (str, bytes)) for v in array.flat):
            array = array.astype("float64")
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"`{name}` must be an array of numbers, (time,) or (time, features){several}. "
            f"Received: {name} of type {type(values).__name__}"
        ) from error
    if array.dtype.kind not in "iuf":
        raise TypeError(
            f"`{name}` must hold real numbers, with NaN where a value is missing. "
            f"Received: {name} of dtype {array.dtype}"
        )
    array = array.astype("float64")
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2:
        raise ValueError(
            f"`{name}` must have shape (time,) or (time, features){several}. "
            f"Received: {name} of shape {array.shape}"
        )
    if np.isinf(array).any():
        raise ValueError(
            f"`{name}` must be finite, with NaN where a value is missing. "
            f"Received: an infinite value at time {int(np.isinf(array).any(axis=1).argmax())}"
        )
    return array


def _read_one(values, num_features, name):
    array = read_values(values, name, several="; several series go in a list")
    if num_features is not None and array.shape[1] != num_features:
        raise ValueError(
            f"`{name}` must have {num_features} feature(s) on its last axis; several series go in "
            f"a list. Received: {name} of shape {np.shape(values)}"
        )
    observed = np.isfinite(array).sum(axis=0)
    if array.shape[1] == 0 or observed.min() < MIN_OBSERVED:
        raise ValueError(
            f"`{name}` must hold at least {MIN_OBSERVED} observed values in each feature "
            "(a nested list is a list of series: pass one of several features as an array). "
            f"Received: {name} of shape {np.shape(values)} with {observed.tolist()} observed"
        )
    return array
