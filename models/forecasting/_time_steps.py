"""Tells the step between the times of a series, and finds those that are missing."""

from collections import Counter

import numpy as np
import pandas as pd

from ._read_values import time_in_words
from ._time_axis import TimeAxis, has_numbers

_LAST_OF_ANY_MONTH = np.timedelta64(27, "D")  # its 28th day


def read_axes(indices, names):
    """The `TimeAxis` of each index; None stays None.

    A series tells its own step: the shortest between two of its times, of which the others must be
    multiples. The step that most series have is taken for one that fits it without a gap (Monday to
    Wednesday, where the others have business days), that is too short to tell its own (fewer than
    three times), or that is not regular without it.

    Raises:
        TypeError: an index that holds no times.
        ValueError: times that are missing, not sorted, not unique or not regular.
    """
    axes, errors, seen = [], {}, {}
    for i, (index, name) in enumerate(zip(indices, names, strict=True)):
        if id(index) not in seen:  # the columns of a table share one
            read = index is not None and not isinstance(index, TimeAxis)
            try:
                seen[id(index)] = read_axis(index, name) if read else index
            except ValueError as error:
                errors[i] = error
        axes.append(seen.get(id(index)))
    for has_kind in (_has_dates, has_numbers):
        members = [i for i, index in enumerate(indices) if has_kind(index)]
        told = Counter(axes[i].step for i in members if axes[i] and _tells_step(indices[i]))
        for step, _ in told.most_common(1):
            for i in members:
                axes[i] = _with_step(axes[i], indices[i], step)
    for i, error in errors.items():
        if axes[i] is None:
            raise error
    return axes


def read_axis(index, name):
    """The `TimeAxis` of one index, from nothing but itself."""
    if isinstance(index, pd.RangeIndex) and (index.step > 0 or len(index) < 2):
        return TimeAxis(index, abs(index.step))
    index = _times(index, name)
    if isinstance(index, pd.DatetimeIndex):
        if index.freq is not None and index.freq.n > 0:
            return TimeAxis(index, index.freq)
        _check_order(_instants(index), index, name)
        return _inferred(index, name)
    gaps = _check_order(_numbers(index), index, name)
    if isinstance(index, pd.PeriodIndex):
        step, unit = index.freq, index.freq.n
    else:
        step = unit = int(gaps.min()) if len(gaps) else None
    return TimeAxis(index, step, _regular(gaps, unit, index, name))


def _times(index, name):
    """An index of dates, periods or whole numbers, or an error that says how to get one."""
    wanted = f"`{name}` must have dates, periods or whole numbers as its times"
    if isinstance(index, pd.MultiIndex):
        raise TypeError(
            f"{wanted}: turn an index of several levels into the columns `unique_id` and `ds` with "
            f"`reset_index`. Received: levels {list(index.names)}"
        )
    if isinstance(index.dtype, pd.ArrowDtype) and index.dtype.kind in "Miuf":
        index = pd.Index(index.to_numpy(index.dtype.numpy_dtype), name=index.name)
    if index.hasnans:
        row = int(index.isna().argmax())
        raise ValueError(
            f"{wanted}, none of them missing. Received: {index[row]} as the time of row {row}"
        )
    if isinstance(index, (pd.DatetimeIndex, pd.PeriodIndex)):
        return index
    if pd.api.types.is_integer_dtype(index.dtype):
        return index
    if pd.api.types.is_float_dtype(index.dtype):
        part = index.to_numpy("float64") % 1 != 0
        if not part.any():
            return index
        received = f"{index[part.argmax()]} as the time of row {int(part.argmax())}"
        raise ValueError(f"{wanted}. Received: {received}")
    first = f"{index[0]!r} ({index.dtype})" if len(index) else f"{index.dtype}"
    raise TypeError(
        f"{wanted}: turn text into dates with `pd.to_datetime`, or drop the times with "
        f"`reset_index(drop=True)`. Received: {first}"
    )


def _instants(index):
    """Dates as NumPy's, in universal time: an hour is an hour when the clocks change."""
    return (index if index.tz is None else index.tz_convert(None)).to_numpy()


def _local(index):
    """Dates as NumPy's, as the clocks show them: midnight to midnight is a day."""
    return (index if index.tz is None else index.tz_localize(None)).to_numpy()


def _check_order(numbers, index, name):
    """What lies between neighbours, as integers, all above zero."""
    gaps = np.diff(numbers).astype("int64")
    if len(gaps) and gaps.min() <= 0:
        row = int((gaps <= 0).argmax()) + 1
        time, before = (time_in_words(index[r]) for r in (row, row - 1))
        if gaps[row - 1] == 0:
            hint = ""
            if isinstance(index, pd.DatetimeIndex) and index.tz is None:
                hint = " (where clocks were put back, give the times their zone by `tz_localize`)"
            raise ValueError(f"`{name}` must have each time once{hint}. Received: {time} twice")
        raise ValueError(f"`{name}` must be sorted by time. Received: {time} after {before}")
    return gaps


def _inferred(index, name):
    """The axis of sorted dates, with the step that they tell."""
    if len(index) < 2:
        return TimeAxis(index, None)
    local = _local(index)
    days, gaps = local.astype("datetime64[D]"), np.diff(local)
    if gaps.min() >= np.timedelta64(1, "D") and (local - days == local[0] - days[0]).all():
        step, gaps, unit = _calendar_step(days)
    else:
        instants = _instants(index)
        gaps = np.diff(instants).astype("int64")
        unit = gaps.min()
        step = _clock_step(pd.Timedelta(unit, np.datetime_data(instants.dtype)[0]))
    return TimeAxis(index, step, _regular(gaps, unit, index, name))


def _calendar_step(days):
    """The step of dates one day or more apart, the gaps between them and the shortest, counted."""
    gaps = np.diff(days).astype("int64")
    if gaps.min() >= 28:
        months = days.astype("datetime64[M]")
        offset = _day_of_month(days, months)
        counted = np.diff(months).astype("int64")
        if offset is not None and counted.min() > 0:
            unit = int(counted.min())
            return offset(unit), counted, unit
    if gaps.min() == 1 and np.is_busday(days).all():
        counted = np.busday_count(days[:-1], days[1:])
        if (counted < gaps).any():
            return pd.offsets.BusinessDay(), counted, 1
    unit = int(gaps.min())
    return pd.offsets.Day(unit), gaps, unit


def _day_of_month(days, months):
    """The offset, given a number of months, that keeps the place of all these days in theirs."""
    first, last = months.astype(days.dtype), (months + 1).astype(days.dtype) - 1
    places = (
        (pd.offsets.MonthBegin, first),
        (pd.offsets.MonthEnd, last),
        (pd.offsets.BusinessMonthBegin, np.busday_offset(first, 0, "forward")),
        (pd.offsets.BusinessMonthEnd, np.busday_offset(last, 0, "backward")),
        (lambda n: pd.DateOffset(months=n), first + min(days[0] - first[0], _LAST_OF_ANY_MONTH)),
    )
    return next((offset for offset, expected in places if (days == expected).all()), None)


def _clock_step(step):
    offsets = pd.offsets
    for offset in (offsets.Hour, offsets.Minute, offsets.Second, offsets.Milli, offsets.Micro):
        number, rest = divmod(step, pd.Timedelta(offset(1)))
        if not rest:
            return offset(number)
    return offsets.Nano(step.value)


def _regular(gaps, unit, index, name):
    """The position of each row among regular times `unit` apart; None where none is missing."""
    if not len(gaps) or (gaps == unit).all():
        return None
    off = gaps % unit != 0
    if off.any():
        row = int(off.argmax()) + 1
        time, before = (time_in_words(index[r]) for r in (row, row - 1))
        raise ValueError(
            f"`{name}` must be regular in time: the shortest step between two of its times divides "
            "the others, in hours, days, business days or months (`resample` makes it so, and "
            "`reset_index(drop=True)` drops the times). "
            f"Received: {time} after {before}"
        )
    positions = np.concatenate([[0], np.cumsum(gaps // unit)]).astype("int64")
    if positions[-1] > _longest(index):
        row = int(gaps.argmax()) + 1
        before, time = (time_in_words(index[r]) for r in (row - 1, row))
        raise ValueError(
            f"`{name}` must have most of its times. Received: {len(index)} of "
            f"{int(positions[-1]) + 1}, with none between {before} and {time}"
        )
    return positions


def _has_dates(index):
    return isinstance(index, pd.DatetimeIndex)


def _tells_step(index):
    return len(index) > 2 or getattr(index, "freq", None) is not None


def _with_step(axis, index, step):
    """The axis with the step that most have, where that fits and the times tell no other."""
    if axis is not None and (axis.step == step or getattr(index, "freq", None) is not None):
        return axis
    positions = _positions(index, step)
    if positions is None:
        return axis
    if axis is not None and len(index) > 2 and positions[-1] >= len(positions):
        return axis
    return TimeAxis(index, step, positions)


def _positions(index, step):
    """The place of each time among those `step` apart from the first on; None if that fails."""
    if not (index.is_monotonic_increasing and index.is_unique):
        return None
    if has_numbers(index):
        numbers = _numbers(index)
        found, rest = np.divmod(numbers - numbers[0], step)
        fits = not rest.any()
    else:
        if isinstance(step, pd.offsets.Tick) and (index[-1] - index[0]) / step > _longest(index):
            return None
        try:
            found = pd.date_range(index[0], index[-1], freq=step).get_indexer(index)
        except ValueError:  # a time that a change of clocks leaves out
            return None
        fits = found.min() >= 0
    return found.astype("int64") if fits and found[-1] <= _longest(index) else None


def _numbers(index):
    """Whole numbers, or periods counted in their unit, as NumPy's."""
    if isinstance(index, pd.PeriodIndex):
        return index.astype("int64").to_numpy()
    return index.to_numpy("float64" if index.dtype.kind == "f" else "int64")


def _longest(index):
    """How many regular times a series may have: else one wrong date would fill the memory."""
    return 100 + 10 * len(index)
