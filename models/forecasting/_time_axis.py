"""The times of a series, read from the index of a pandas object."""

import datetime

import numpy as np
import pandas as pd

from ..._arguments import wrong
from ._read_values import time_in_words


class TimeAxis:
    """When the rows of one series were observed.

    Attributes:
        index: pandas index, a time for each row as it came in, sorted and each once.
        step: What lies between two times: a pandas offset or an integer. None where a single row
            tells none.
        positions: Array of integers, the place of each row among the regular times. None where no
            time is missing.
    """

    def __init__(self, index, step, positions=None):
        self.index, self.step, self.positions = index, step, positions
        if positions is not None and positions[-1] == len(positions) - 1:
            self.positions = None

    @property
    def end(self):
        """What the times that follow depend on, hashable."""
        return self.index[-1], self.step, self.index.dtype, type(self.index), self.index.name

    @property
    def has_numbers(self):
        """Whether the times are whole numbers, such as years."""
        return has_numbers(self.index)

    def position(self, when, name):
        """How many regular times lie at or before `when`, a label or a date."""
        times = self.times()
        dated = isinstance(times, (pd.DatetimeIndex, pd.PeriodIndex))
        last = when
        try:
            if dated and isinstance(when, (datetime.date, np.datetime64)):
                last = pd.Timestamp(when)  # pandas slices by no plain `date`
            if isinstance(when, pd.Period) and isinstance(times, pd.DatetimeIndex):
                last = when.end_time.tz_localize(times.tz)
            if (isinstance(when, (bool, np.bool_)) or pd.isna(last)) is not False:
                raise TypeError
            if isinstance(when, str) and not dated:
                raise TypeError  # pandas 3 finds a text to lie after all numbers
            return int(times.slice_indexer(end=last).stop)
        except (TypeError, ValueError, KeyError) as error:
            wanted = f"a time as the series has them, such as {time_in_words(times[0])}"
            raise wrong(name, wanted, when) from error

    def __len__(self):
        return len(self.index) if self.positions is None else int(self.positions[-1]) + 1

    def __getitem__(self, row):
        return self.index[row]

    def part(self, begin, end):
        """The times of the rows from `begin` on, before `end`."""
        positions = self.positions
        if positions is not None:
            positions = positions[begin:end] - positions[begin]
        return TimeAxis(self.index[begin:end], self.step, positions)

    def regular(self, rows):
        """Values `(rows, features)` at all regular times, NaN where there is no row."""
        if self.positions is None:
            return rows
        values = np.full((len(self), rows.shape[1]), np.nan, rows.dtype)
        values[self.positions] = rows
        return values

    def rows(self, values):
        """Values of all regular times at those of the rows that came in."""
        return values if self.positions is None else values[self.positions]

    def times(self):
        """All regular times, as a pandas index of the kind that came in."""
        if self.positions is None:
            return self.index
        return self._count_on(self.index[:1], len(self) - 1, first=0)

    def following(self, horizon, name):
        """The times of the `horizon` steps after the last one."""
        if self.step is None:
            raise ValueError(
                f"`{name}` must have two times or more, or an index with a frequency, for its "
                f"forecast to have times. Received: {name} of one time, "
                f"{time_in_words(self.index[0])}"
            )
        return self._count_on(self.index[-1:], horizon, first=1)

    def _count_on(self, one, steps, first):
        """The times from `first` to `steps` steps after that of an index of one."""
        if isinstance(one, pd.PeriodIndex):
            times = pd.period_range(one[0] + first, periods=steps + 1 - first, freq=one.freq)
        elif isinstance(one, pd.DatetimeIndex):
            times = _dates(one[0], steps + 1, self.step)[first:].as_unit(one.unit)
            if one.freq is None:
                times.freq = None
        elif isinstance(one, pd.RangeIndex):
            begin = one[0] + first * self.step
            times = pd.RangeIndex(begin, one[0] + (steps + 1) * self.step, self.step)
        else:
            numbers = int(one[0]) + self.step * np.arange(first, steps + 1)
            times = pd.Index(numbers)
            if all((same_dtype := times.astype(one.dtype)) == times):  # int8 may be too small
                times = same_dtype
        return times.rename(one.name)


def has_numbers(index):
    """Whether whole numbers are times, such as years; a RangeIndex only counts rows."""
    if not isinstance(index, pd.Index) or isinstance(index, pd.RangeIndex):
        return False
    return pd.api.types.is_any_real_numeric_dtype(index.dtype)


def _dates(first, number, step):
    """`number` dates from `first` on, as pandas' `date_range`."""
    try:
        dates = pd.date_range(first, periods=number, freq=step)
    except ValueError:
        if first.tz is None:
            raise
        # A local time that a change of clocks leaves out becomes the next there is; of one that it
        # shows twice, the later is taken.
        local = pd.date_range(first.tz_localize(None), periods=number, freq=step)
        dates = local.tz_localize(
            first.tz, ambiguous=np.zeros(number, bool), nonexistent="shift_forward"
        )
    if dates[0] != first:
        raise ValueError(
            f"The times of a series must lie on their frequency, {step}. "
            f"Received: {time_in_words(first)}"
        )
    return dates
