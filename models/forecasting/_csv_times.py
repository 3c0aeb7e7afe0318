"""The times of a CSV file: read, put on a regular grid, and written back as they came."""

import re
from typing import NamedTuple

import numpy as np

_OFFSET = r"(Z|[+-]\d{2}:?\d{2})"
_ISO_DATE = re.compile(
    rf"\d{{4}}-\d{{2}}(-\d{{2}}([T ]\d{{2}}:\d{{2}}(:\d{{2}}(\.\d+)?)?\s?{_OFFSET}?)?)?", re.ASCII
)
_TIME_WITH_OFFSET = re.compile(rf".*:\d{{2}}(?:\.\d+)?\s?{_OFFSET}", re.ASCII)
_QUARTER = re.compile(r"(\d{4})(-?Q)([1-4])", re.ASCII)
_WHOLE = re.compile(r"-?\d{1,15}", re.ASCII)
# Whole numbers of so many digits are dates where all of them can be.
_DIGITS = {4: "%Y", 6: "%Y%m", 8: "%Y%m%d"}
# What an error suggests where it fits every row.
_DAYS = ("%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y/%m/%d", "%Y-%m-%d")
_CLOCKS = ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p")
_OTHER_FORMATS = (
    *(day + clock for day in _DAYS for clock in _CLOCKS),
    *("%d.%m.%y", "%d/%m/%y", "%m/%d/%y", "%d %b %Y", "%d-%b-%Y", "%d %B %Y", "%b %d, %Y"),
    *("%b %Y", "%B %Y", "%b-%Y", "%b-%y", "%m/%Y", "%m.%Y", "%Y/%m", "%YM%m", "%Y.%m.%d"),
)
_MONTHS = {1: "month", 3: "quarter", 12: "year"}
_SECONDS = {604800: "week", 86400: "day", 3600: "hour", 60: "minute", 1: "second"}


class Times(NamedTuple):
    """The time of each row, and how the file writes one."""

    index: object  # pandas DatetimeIndex, or of whole numbers
    write: callable  # such an index -> list of str


class Grid(NamedTuple):
    """Regular times: `coordinates` of the rows are multiples of `step` apart."""

    coordinates: np.ndarray
    step: int
    period: str  # "hour", "2 hours", "month", ...: what lies between two times
    index_from: callable  # first time, count -> pandas index


def read_times(texts, lines, column, time_format=None, utc=False):
    """The times in `texts`: ISO 8601, quarters, years, whole numbers, or as `time_format` says."""
    import pandas

    for text, line in zip(texts, lines, strict=True):
        if not text:
            raise ValueError(f"line {line} has no time in column {column!r}")
    _check_offsets(texts, lines, column, utc)
    if time_format:
        return _formatted(texts, lines, column, time_format, utc)
    if all(map(_WHOLE.fullmatch, texts)):
        return _whole_numbers(texts)
    quarters = [_QUARTER.fullmatch(text) for text in texts]
    if all(quarters):
        index = pandas.to_datetime([f"{q[1]}-{3 * int(q[3]) - 2:02}-01" for q in quarters])
        sign = quarters[0][2]
        return Times(index, lambda index: [f"{t.year}{sign}{t.quarter}" for t in index])
    iso = [text if _ISO_DATE.fullmatch(text) else None for text in texts]
    index = pandas.to_datetime(iso, format="ISO8601", errors="coerce", utc=utc)
    if index.hasnans:
        raise _no_dates(texts, lines, column, index)
    return Times(index, _iso_writer(max(texts, key=len)))


def on_regular_times(index, values, lines, rows, column, most_missing):
    """Series by name on regular times, NaN where a time is missing, with notes and the period.

    Args:
        index: The time of each row, `values` its value, `lines` its line in the file.
        rows: Dict of the rows of each series by its name.
        column: Name of the column of times.
        most_missing: Fraction of a series' times that may be missing.
    """
    import pandas

    for own in rows.values():
        _check_order(index[own], [lines[row] for row in own], column)
    grid = _grid(index, rows, column)
    series, gaps = {}, []
    for name, own in rows.items():
        whose = f" of {name!r}" if len(rows) > 1 else ""
        coordinates = grid.coordinates[own]
        positions, remainders = np.divmod(coordinates - coordinates[0], grid.step)
        if remainders.any():
            row = own[remainders.argmax()]
            raise ValueError(
                f"line {lines[row]}: the time {index[row]} in column {column!r} does not fit a "
                f"regular step of one {grid.period} from {index[own[0]]} on"
            )
        count = int(positions[-1]) + 1
        jump = int(np.diff(positions, prepend=-1).argmax())
        if count - len(own) > most_missing * count:
            raise ValueError(
                f"too many gaps{whose}: {count - len(own)} of {count} times are missing, if there "
                f"is one each {grid.period}; the longest gap ends on line {lines[own[jump]]} with "
                f"{index[own[jump]]}"
            )
        if count > len(own):
            first = own[int((np.diff(positions, prepend=-1) > 1).argmax())]
            gaps.append((count - len(own), lines[first]))
        regular = np.full(count, np.nan)
        regular[positions] = values[own]
        series[name] = pandas.Series(regular, grid.index_from(index[own[0]], count), name=name)
    notes = []
    if gaps:
        missing, several = sum(count for count, _ in gaps), len(rows) > 1
        notes.append(
            f"{missing} times are missing{f' in {len(gaps)} series' if several else ''}, the first "
            f"before line {gaps[0][1]}: they become missing values"
        )
    return series, notes, grid.period


def _check_offsets(texts, lines, column, utc):
    found = [_TIME_WITH_OFFSET.fullmatch(text) for text in texts]
    offsets = [one[1] if one else "" for one in found]
    first = dict(zip(reversed(offsets), reversed(lines), strict=True))
    if len(first) == 1 or (utc and "" not in first):
        return
    ordered = sorted(first, key=first.get)
    seen = ", ".join(f"{offset or 'none'} on line {first[offset]}" for offset in ordered[:2])
    if "" in first:
        raise ValueError(f"some times in column {column!r} have no UTC offset, others do: {seen}")
    raise ValueError(
        f"the times in column {column!r} have several UTC offsets, as across a clock change "
        f"({seen}): pass --utc to read them as UTC"
    )


def _formatted(texts, lines, column, time_format, utc):
    import pandas

    try:
        index = pandas.to_datetime(texts, format=time_format, errors="coerce", utc=utc)
    except ValueError as error:
        raise ValueError(f"--time-format {time_format!r} is no format of times: {error}") from error
    if index.hasnans:
        row = int(index.isna().argmax())
        raise ValueError(
            f"line {lines[row]}: {texts[row]!r} in column {column!r} does not fit "
            f"--time-format {time_format!r}"
        )
    return Times(index, lambda index: list(index.strftime(time_format)))


def _whole_numbers(texts):
    import pandas

    lengths = {len(text) for text in texts}
    time_format = _DIGITS.get(max(lengths)) if len(lengths) == 1 else None
    if time_format:
        index = pandas.to_datetime(texts, format=time_format, errors="coerce")
        # The years that nanoseconds reach.
        if not index.hasnans and index.year.min() >= 1678 and index.year.max() <= 2261:
            return Times(index, lambda index: list(index.strftime(time_format)))
    return Times(pandas.Index([int(text) for text in texts]), lambda index: list(map(str, index)))


def _iso_writer(example):
    if len(example) <= len("2024-01-31"):
        time_format = "%Y-%m-%d"[: 5 if len(example) == len("2024-01") else None]
        return lambda index: list(index.strftime(time_format))
    timespec = "auto" if re.search(r"\d{2}:\d{2}:\d{2}", example) else "minutes"

    def write(index):
        texts = [time.isoformat(sep=example[10], timespec=timespec) for time in index]
        return [re.sub(r"\+00:00$", "Z", t) for t in texts] if example.endswith("Z") else texts

    return write


def _no_dates(texts, lines, column, iso):
    """The error of times that are not ISO 8601, with the format that fits them if one is known."""
    import pandas

    first_wrong = texts[int(iso.isna().argmax())]
    fitting, best = [], iso
    for time_format in _OTHER_FORMATS:
        if pandas.isna(pandas.to_datetime(first_wrong, format=time_format, errors="coerce")):
            continue
        found = pandas.to_datetime(texts, format=time_format, errors="coerce")
        if not found.hasnans:
            fitting.append(time_format)
        if found.isna().sum() < best.isna().sum():
            best = found
    if fitting:
        flags = " or ".join(f'--time-format "{one}"' for one in fitting[:2])
        return ValueError(
            f"the times in column {column!r}, such as {first_wrong!r}, are not written like "
            f"2024-01-31: pass {flags}"
        )
    row = int(best.isna().argmax())
    return ValueError(
        f"line {lines[row]}: {texts[row]!r} in column {column!r} is no time like 2024-01-31 or "
        "2024-01-31 13:00; of others, --time-format says how they are written"
    )


def _check_order(times, lines, column):
    later = np.asarray(times[1:] > times[:-1])
    if later.all():
        return
    i = int(later.argmin())
    if times[i] == times[i + 1]:
        raise ValueError(
            f"lines {lines[i]} and {lines[i + 1]} have the same time {times[i]} in column "
            f"{column!r}: several series need --id, and the hour that a clock change repeats a "
            "UTC offset"
        )
    raise ValueError(
        f"line {lines[i + 1]}: the time {times[i + 1]} in column {column!r} comes after "
        f"{times[i]}: sort the file from the oldest to the newest"
    )


def _grid(index, rows, column):
    """The coarsest of months, weekdays or a fixed step that the times are on."""
    import pandas

    def step_of(coordinates):
        steps = [np.diff(coordinates[own]) for own in rows.values()]
        steps, counts = np.unique(np.concatenate(steps), return_counts=True)
        if not len(steps):
            raise ValueError(f"column {column!r} has no two times of one series")
        return int(steps[counts.argmax()])

    if not isinstance(index, pandas.DatetimeIndex):
        whole = index.to_numpy()
        step = step_of(whole)

        def whole_from(first, count):
            return pandas.RangeIndex(first, first + count * step, step)

        return Grid(whole, step, "step" if step == 1 else f"step of {step}", whole_from)

    def dates_by(offset):
        return lambda first, count: pandas.date_range(first, periods=count, freq=offset)

    local = index.tz_localize(None)
    same_clock = (local == local.normalize() + (local[0] - local[0].normalize())).all()
    same_day = (local.day == local[0].day).all() and local[0].day <= 28
    if same_clock and (same_day or local.is_month_end.all()):
        months = np.asarray(12 * local.year + local.month)
        step = step_of(months)
        offset = pandas.offsets.MonthEnd(step)
        if same_day:
            by_day = pandas.DateOffset(months=step)
            offset = pandas.offsets.MonthBegin(step) if local[0].day == 1 else by_day
        return Grid(months, step, _MONTHS.get(step, f"{step} months"), dates_by(offset))
    days = local.normalize().to_numpy().astype("datetime64[D]")
    nanoseconds = local.to_numpy().astype("datetime64[ns]").astype("int64")
    step = step_of(nanoseconds)
    a_week = len(days) > 5 and days.max() - days.min() >= np.timedelta64(7, "D")
    if same_clock and step == 86400 * 10**9 and np.is_busday(days).all() and a_week:
        weekdays = np.busday_count("1970-01-01", days)
        return Grid(weekdays, 1, "weekday", dates_by(pandas.offsets.BusinessDay()))
    length, word = next(
        ((s, w) for s, w in _SECONDS.items() if step % (s * 10**9) == 0), (1e-9, "nanosecond")
    )
    several = round(step / (length * 1e9))
    period = word if several == 1 else f"{several} {word}s"
    return Grid(nanoseconds, step, period, dates_by(pandas.Timedelta(step, "ns")))
