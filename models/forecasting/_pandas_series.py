"""Series in pandas objects: how each is read, and given back with other values."""

import numpy as np
import pandas as pd

from ._read_values import read_floats
from ._series_set import SEVERAL, Entry
from ._time_steps import read_axis

ID, TIME = "unique_id", "ds"  # the columns of long frames, as in statsforecast and neuralforecast


def read_pandas(data, name, num_features, columns, single):
    """Entries, the container that gives results back, and the names of several features.

    Args:
        data: pandas Series or DataFrame.
        name: String, what errors call it.
        num_features: Integer or None.
        columns: Tuple of strings, the names of the features, in order; or None.
        single: Boolean, whether a frame of several series is refused.
    """
    if isinstance(data, pd.Series):
        entry = Entry(read_floats(data, name, SEVERAL), name, data.index)
        return [entry], _Column(data), columns
    if data.empty:
        raise ValueError(f"`{name}` must hold values. Received: a frame of shape {data.shape}")
    labels = data.columns
    texts = labels.map(str)
    if not texts.is_unique:
        twice = texts[texts.duplicated()][0]
        raise ValueError(f"`{name}` must have each column once. Received: {twice!r} twice")
    if ID in data.index.names:
        raise ValueError(
            f"`{name}` must have `{ID}` as a column, not as its index: call `reset_index()`. "
            f"Received: an index of {list(data.index.names)}"
        )
    if ID in labels or TIME in labels:
        return _read_dated(data, name, num_features, columns, single)
    if num_features == 1 and len(labels) > 1 and not single:
        return (*_read_wide(data, name), columns)
    features, columns = _features(list(labels), name, num_features, columns)
    entry = Entry(_values(data, features, name), name, data.index)
    return [entry], _Table(data, features), columns


def _read_dated(data, name, num_features, columns, single):
    """A frame whose times are a column, and which holds many series where it has ids."""
    if TIME not in data.columns:
        raise ValueError(
            f"`{name}` must have the time of each row in a column `{TIME}`. "
            f"Received: columns {list(data.columns)}"
        )
    labels = [label for label in data.columns if label not in (ID, TIME)]
    features, columns = _features(labels, name, num_features, columns)
    values, times = _values(data, features, name), pd.Index(data[TIME])
    if ID not in data.columns:
        return [Entry(values, name, times)], _DatedTable(data, features), columns
    if single:
        raise ValueError(
            f"`{name}` must be one series: pass a frame with `{ID}` by itself, not in a list or a "
            f"dict. Received: columns {list(data.columns)}"
        )
    codes, ids = pd.factorize(data[ID])
    if (codes < 0).any():
        raise ValueError(
            f"`{name}` must have a `{ID}` in each row. Received: none in row {codes.argmin()}"
        )
    order = None
    if (np.diff(codes) < 0).any():
        order = np.argsort(codes, kind="stable")
        codes, values, times = codes[order], values[order], times[order]
    bounds = np.searchsorted(codes, np.arange(len(ids) + 1)).tolist()
    parts = [slice(*bounds[i : i + 2]) for i in range(len(ids))]
    entries = [
        Entry(values[part], f"{name}[{key!r}]", times[part])
        for part, key in zip(parts, ids.tolist(), strict=True)
    ]
    return entries, _DatedTable(data, features, order, bounds[:-1]), columns


def _read_wide(data, name):
    """A frame with a column a series, which begins and ends with its first and last value."""
    values = _values(data, list(data.columns), name)
    axis = read_axis(data.index, name)
    observed = ~np.isnan(values)
    begins = observed.argmax(axis=0).tolist()
    ends = (len(values) - observed[::-1].argmax(axis=0)).tolist()
    spans = [slice(*span) for span in zip(begins, ends, strict=True)]
    axes = {span: axis.part(*span) for span in set(zip(begins, ends, strict=True))}
    entries = [
        Entry(values[span, j : j + 1], f"{name}[{label!r}]", axes[span.start, span.stop])
        for j, (label, span) in enumerate(zip(data.columns.tolist(), spans, strict=True))
    ]
    return entries, _WideTable(data, spans)


def _features(labels, name, num_features, columns):
    """The labels of a frame's values in the order of the features, and the names of several."""
    if num_features is not None and len(labels) != num_features and columns is None:
        hint = " (a frame with a column for each series has its times as its index)"
        raise ValueError(
            f"`{name}` must have {num_features} column(s) of values"
            f"{hint if num_features == 1 and len(labels) > 1 else ''}. Received: {labels}"
        )
    if len(labels) > 1 and columns is None and labels != list(range(len(labels))):
        columns = tuple(map(str, labels))
    if columns is None or len(columns) < 2:
        return labels, None
    by_name = {str(label): label for label in labels}
    missing = [column for column in columns if column not in by_name]
    unknown = [column for column in by_name if column not in columns]
    if missing or unknown:
        raise ValueError(
            f"`{name}` must have the columns {list(columns)}, in any order. "
            f"Received: {list(by_name)}, missing {missing}, unknown {unknown}"
        )
    return [by_name[column] for column in columns], columns


def _values(data, features, name):
    """The columns `features` of a frame as floats `(rows, features)`."""
    types = data.dtypes
    for label in features:
        if types[label].kind == "M" or isinstance(types[label], pd.PeriodDtype):
            raise TypeError(
                f"`{name}` must hold numbers; the times of its rows go into the index, by "
                f"`set_index({label!r})`, or into a column `{TIME}`. "
                f"Received: column {label!r} of dtype {types[label]}"
            )
    if len(features) == 1:
        return read_floats(data[features[0]], f"{name}[{features[0]!r}]", SEVERAL)
    if features != list(data.columns):
        data = data[features]
    return read_floats(data, name, SEVERAL)


class _Column:
    """A pandas Series of one series."""

    single, ids = True, None

    def __init__(self, data):
        self._data = data

    def future(self, arrays, times):
        return pd.Series(arrays[0][:, 0], times[0], name=self._data.name)

    def aligned(self, arrays):
        return self.future(arrays, [self._data.index])


class _Table:
    """A frame of one series, with a column a feature."""

    single, ids = True, None

    def __init__(self, data, features):
        self._data = data
        self._places = [features.index(label) for label in data.columns]

    def future(self, arrays, times):
        return pd.DataFrame(arrays[0][:, self._places], times[0], columns=self._data.columns)

    def aligned(self, arrays):
        return self.future(arrays, [self._data.index])


class _WideTable:
    """A frame with a column a series."""

    single = False

    def __init__(self, data, spans):
        self._data, self._spans = data, spans
        self.ids = data.columns.tolist()

    def future(self, arrays, times):
        columns = self._data.columns
        if all(index is times[0] for index in times):
            return pd.DataFrame(np.concatenate(arrays, axis=1), times[0], columns=columns)
        parts = zip(columns, arrays, times, strict=True)
        return {label: pd.Series(array[:, 0], index, name=label) for label, array, index in parts}

    def aligned(self, arrays):
        values = np.full(self._data.shape, np.nan, np.result_type(*arrays))
        for j, (span, array) in enumerate(zip(self._spans, arrays, strict=True)):
            values[span, j] = array[:, 0]
        return pd.DataFrame(values, self._data.index, columns=self._data.columns)


class _DatedTable:
    """A frame with the times in a column, and many series below one another where it has ids."""

    def __init__(self, data, features, order=None, starts=(0,)):
        self._data, self._features = data, features
        self._order, self._starts = order, list(starts)
        self.single = ID not in data.columns
        self.ids = None if self.single else self._first_rows[ID].tolist()

    @property
    def _first_rows(self):
        return self._data.iloc[self._starts if self._order is None else self._order[self._starts]]

    def future(self, arrays, times):
        found = pd.Series(times[0].append(times[1:]))
        if found.dtype != self._data[TIME].dtype:  # such as integers that may be missing
            found = found.astype(self._data[TIME].dtype)
        known = {TIME: found}
        if not self.single:
            lengths = [len(array) for array in arrays]
            known[ID] = self._first_rows[ID].repeat(lengths).reset_index(drop=True)
        return self._table(known, np.concatenate(arrays), pd.RangeIndex(len(found)))

    def aligned(self, arrays):
        values = np.concatenate(arrays)
        if self._order is not None:
            found = np.empty_like(values)
            found[self._order] = values
            values = found
        return self._table(self._data, values, self._data.index)

    def _table(self, known, values, index):
        """A frame with the user's columns, those of the features holding `values`."""
        places = {label: i for i, label in enumerate(self._features)}
        columns = {
            label: values[:, places[label]] if label in places else known[label]
            for label in self._data.columns
        }
        return pd.DataFrame(columns, index)
