"""Reads what a user passes as series, and gives results back as the same kind of object."""

import sys
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from ..._arguments import integer_or_none, wrong
from ._read_values import check_finite, read_floats, read_values

__all__ = ["SeriesSet", "read_series", "read_values"]

SEVERAL = "; several series go in a list or a dict"


class SeriesSet:
    """One or several series that a user passed; `read_series` makes one.

    Attributes:
        values: List of arrays `(time, features)`, regular in time, NaN where a value is missing;
            float32 or float64. Views of what the user passed where nothing had to change.
        names: List of strings, what errors call each: "series", "series[3]", "series['Y12']".
        single: Boolean, one series rather than several.
        ids: List of what the user calls several series, keys of a dict or ids of a frame; None of
            a list, where they have positions, and of a single series.
        columns: Tuple of strings, the names of several features, or None.
    """

    def __init__(self, entries, container, columns):
        self.names = [entry.name for entry in entries]
        self.single, self.ids = container.single, container.ids
        self.columns = columns
        self._container = container
        self._axes = _read_axes(entries)
        self.values = [
            entry.values if axis is None else axis.regular(entry.values)
            for entry, axis in zip(entries, self._axes, strict=True)
        ]

    def future(self, arrays):
        """Forecasts as the user's kind of object, with the times that follow each series.

        Args:
            arrays: List of arrays `(horizon, features)`, one a series.

        Returns:
            What the user passed, holding the forecasts: an array, a pandas Series or DataFrame, a
            list or dict of such, a long frame, a wide frame. Of a wide frame whose series end at
            different times, a dict of Series by column.

        Raises:
            ValueError: the times that follow cannot be known.
        """
        known, times = {}, []
        for array, axis, name in zip(arrays, self._axes, self.names, strict=True):
            if axis is None:
                times.append(None)
                continue
            key = (*axis.end, len(array))
            if key not in known:  # thousands of series end on few dates
                known[key] = axis.following(len(array), name)
            times.append(known[key])
        return self._container.future(list(map(np.asarray, arrays)), times)

    def aligned(self, arrays):
        """Results at the times of `values` as the user's kind of object, on the rows that came in.

        Args:
            arrays: List of arrays `(time, features)`, one a series, as long as its `values`.
        """
        rows = [
            array if axis is None else axis.rows(array)
            for array, axis in zip(map(np.asarray, arrays), self._axes, strict=True)
        ]
        return self._container.aligned(rows)

    def times(self, i):
        """pandas index of the times of `values[i]`, or None where series `i` has no times."""
        return None if self._axes[i] is None else self._axes[i].times()

    def position(self, i, when, name="when"):
        """How many values of series `i` lie at or before `when`.

        Args:
            i: Integer, which series.
            when: A date, a text that pandas reads as one ("2020-03" ends with March), a period, or
                a label where the series has whole numbers for times (years). Of other series an
                integer is a number of values, and stays as it is.
            name: String, what errors call `when`.
        """
        axis = self._axes[i]
        if axis is not None and (axis.has_numbers or integer_or_none(when) is None):
            return axis.position(when, name)
        if integer_or_none(when) is None:
            raise wrong(name, f"an integer, as `{self.names[i]}` has no times", when)
        return integer_or_none(when)


class Entry:
    """One series as it was passed: values `(time, features)`, name, pandas index or None."""

    def __init__(self, values, name, times=None):
        self.values, self.name, self.times = values, name, times


def read_series(series, num_features=None, name="series", columns=None, min_observed=1):
    """What a user passed as series, checked, as a `SeriesSet`.

    Args:
        series: One series: an array `(time,)` or `(time, features)`, a flat list of numbers, a
            pandas Series, or a DataFrame with a column a feature (its times are its index, or a
            column `ds`). Or several: a list, tuple or dict of such; a long DataFrame with columns
            `unique_id`, `ds` and one a feature; where `num_features` is 1, a wide DataFrame with a
            column a series, which begins and ends with the first and last value of its column.
        num_features: Positive integer, or None: as many as there are.
        name: String, what errors call `series`.
        columns: Names of the features, in order, or None. The columns of frames with several
            features are matched to them by name.
        min_observed: Integer, how many values each feature of a series needs.

    Raises:
        TypeError: not series, or something else than real numbers.
        ValueError: no series, too few values, infinite values, another number of features, columns
            that are missing or unknown, or times that are missing, unsorted, repeated or irregular.
    """
    columns = None if columns is None else tuple(columns)
    entries, container, columns = _read(series, name, num_features, columns)
    if not entries:
        raise ValueError(f"`{name}` must hold at least one series. Received: {name}={series!r}")
    for entry in entries:
        _check(entry, num_features, min_observed)
    features = {entry.values.shape[1] for entry in entries}
    if len(features) > 1:
        raise ValueError(
            f"All series of `{name}` must have the same number of features. "
            f"Received: {sorted(features)} features"
        )
    return SeriesSet(entries, container, columns)


def _read(series, name, num_features, columns):
    """Entries, the container that gives results back, and the names of the features."""
    if isinstance(series, Mapping):
        keys, several = list(series), list(series.values())
    elif isinstance(series, (list, tuple)) and not _is_flat(series):
        keys, several = range(len(series)), series
    else:
        return _read_object(series, name, num_features, columns)
    entries, containers = [], []
    for key, one in zip(keys, several, strict=True):
        key = key.item() if isinstance(key, np.generic) else key
        (entry,), container, columns = _read_object(
            one, f"{name}[{key!r}]", num_features, columns, single=True
        )
        entries.append(entry)
        containers.append(container)
    return entries, _Several(containers, keys if isinstance(series, Mapping) else None), columns


def _read_object(series, name, num_features, columns, single=False):
    """As `_read`, of anything but a list or a dict; `single`: a frame of several is refused."""
    pd = sys.modules.get("pandas")
    if pd and isinstance(series, (pd.Series, pd.DataFrame)):
        from ._pandas_series import read_pandas  # not everyone has pandas

        return read_pandas(series, name, num_features, columns, single)
    if isinstance(series, Iterable) and not (
        isinstance(series, Sequence) or hasattr(series, "__array__")
    ):  # such as a generator, a grouping, a data set; NumPy makes one object of it
        raise TypeError(
            f"`{name}` must be a series of numbers, an array (time,) or (time, features) or a "
            f"pandas object{SEVERAL}, such as {{id: values for id, values in groups}}. "
            f"Received: {name} of type {type(series).__name__}"
        )
    return [Entry(read_floats(series, name, SEVERAL), name)], _Array(), columns


def _is_flat(values):
    """Whether a list holds numbers, or what stands in the place of one, rather than series."""
    return bool(values) and not any(map(_is_series, values))


def _is_series(value):
    if isinstance(value, (str, bytes)) or getattr(value, "ndim", 1) == 0:
        return False
    return hasattr(value, "__array__") or isinstance(value, (Sequence, Mapping))


def _check(entry, num_features, min_observed):
    values, name = entry.values, entry.name
    received = f"Received: {name} of shape {values.shape}"
    if num_features is not None and values.shape[1] != num_features:
        raise ValueError(
            f"`{name}` must have {num_features} feature(s) on its last axis{SEVERAL}. {received}"
        )
    finite = np.isfinite(values)
    if finite.all():
        observed = [len(values)] * values.shape[1]
    else:
        check_finite(values, name, entry.times)
        observed = finite.sum(axis=0).tolist()
    if min(observed, default=0) < min_observed or not len(values):
        raise ValueError(
            f"`{name}` must hold at least {max(min_observed, 1)} observed value(s) in each feature "
            "(a nested list is a list of series: pass one of several features as an array). "
            f"{received} with {observed} observed"
        )


def _read_axes(entries):
    if all(entry.times is None for entry in entries):
        return [None] * len(entries)
    from ._time_steps import read_axes

    return read_axes([entry.times for entry in entries], [entry.name for entry in entries])


class _Array:
    """Gives the result of one series back as the array it is."""

    single, ids = True, None

    def future(self, arrays, times):
        return arrays[0]

    def aligned(self, arrays):
        return arrays[0]


class _Several:
    """Gives results back as a list, or as a dict by key, of what each series came as."""

    single = False

    def __init__(self, containers, keys):
        self._containers = containers
        self.ids = keys

    def future(self, arrays, times):
        parts = zip(self._containers, arrays, times, strict=True)
        return self._collected([one.future([array], [index]) for one, array, index in parts])

    def aligned(self, arrays):
        parts = zip(self._containers, arrays, strict=True)
        return self._collected([one.aligned([array]) for one, array in parts])

    def _collected(self, results):
        return results if self.ids is None else dict(zip(self.ids, results, strict=True))
