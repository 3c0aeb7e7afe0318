"""Reads one or many time series from a CSV file, or says in one sentence why it cannot.

The text is read here rather than by `pandas.read_csv`, which turns what it does not understand
into text, a longer row into an index, and names neither the line nor the value.
"""

import csv
import functools
import math
import re
from typing import NamedTuple

import numpy as np

from ._csv_times import on_regular_times, read_times

MOST_MISSING = 0.5  # of a series' times
LEAST_OBSERVED = 3  # values of a series
_SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
_MISSING = {"", "na", "n/a", "#n/a", "<na>", "nan", "null", "none"}
_PLAIN_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_INFINITE = re.compile(r"[+-]?inf(inity)?", re.IGNORECASE)


class Table(NamedTuple):
    """The series of a file, each a pandas Series on regular times, NaN where a value is missing."""

    series: dict  # by id; without ids by the column's name
    write_times: callable  # pandas index -> list of str, as the file writes its times
    period: str  # what lies between two times: "hour", "month", "2 hours", "step", ...
    notes: list  # what a user should know, a sentence each


def read_csv(path, time, column, id=None, separator=",", decimal=None, time_format=None, utc=False):
    """The series in `column` of a file with a header, by the times in `time`.

    Args:
        path: The file, in UTF-8.
        time, column, id: Names of columns; `id` says whose value it is, None: one series.
        separator: One character.
        decimal: "." or ","; the other one, a space or an apostrophe may then separate thousands.
            None: ".", and what could be meant otherwise is an error.
        time_format: Format of the times for `strptime`. None: ISO 8601, quarters such as 2024Q1,
            years, or whole numbers.
        utc: Whether times of several UTC offsets are read as UTC.

    Raises:
        ValueError: the file, its rows, times or values are not as they must be.
    """
    wanted = [time, column] if id is None else [time, column, id]
    fields, lines = _read_columns(path, wanted, separator)
    values = _read_numbers(fields[column], lines, column, decimal)
    times = read_times(fields[time], lines, time, time_format, utc)
    rows = {column: np.arange(len(lines))} if id is None else _rows_by_id(fields[id], lines, id)
    series, notes, period = on_regular_times(times.index, values, lines, rows, time, MOST_MISSING)
    for name, one in series.items():
        _check_observed(one, "" if id is None else f" of {id} {name!r}", column)
    constant = [name for name, one in series.items() if one.min() == one.max()]
    if len(constant) == len(series):
        raise ValueError(
            f"column {column!r} never changes: there is nothing to learn from a constant"
        )
    if constant:
        notes.append(f"{len(constant)} series never change, the first {id} {constant[0]!r}")
    ending = [name for name, one in series.items() if np.isnan(one.iloc[-1])]
    if ending:
        whose = f" of {len(ending)} series" if id else ""
        notes.append(f"the last values{whose} are missing: the forecast begins after their times")
    return Table(series, times.write, period, notes)


def _read_columns(path, wanted, separator):
    """The texts of some columns by name, and each row's line in the file."""
    for name in wanted:
        if wanted.count(name) > 1:
            raise ValueError(f"one column cannot be two things: {name!r} was given twice")
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, delimiter=separator)
            rows = [(reader.line_num, [f.strip() for f in row]) for row in reader]
    except FileNotFoundError:
        raise ValueError(f"there is no file {str(path)!r}") from None
    except OSError as error:
        raise ValueError(f"{str(path)!r} cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(
            f"{str(path)!r} is no CSV file in UTF-8 ({error}): save it as 'CSV UTF-8'"
        ) from error
    rows = [(line, row) for line, row in rows if any(row)]
    if not rows:
        raise ValueError(f"{str(path)!r} is empty")
    header = rows[0][1]
    _check_header(header, wanted, separator)
    for line, row in rows[1:]:
        if len(row) < len(header) or any(row[len(header) :]):
            raise ValueError(
                f"line {line} has {len(row)} fields and the header {len(header)}: quote texts and "
                f"numbers that hold the separator {separator!r}"
            )
    if len(rows) < 3:
        found = "no row" if len(rows) == 1 else "only one row"
        raise ValueError(f"{str(path)!r} has {found} below its header")
    fields = {name: [row[header.index(name)] for _, row in rows[1:]] for name in wanted}
    return fields, [line for line, _ in rows[1:]]


def _check_header(header, wanted, separator):
    missing = [name for name in wanted if name not in header]
    for other, word in _SEPARATORS.items():
        if missing and set(wanted) <= {f.strip(' "') for f in separator.join(header).split(other)}:
            flag = "tab" if other == "\t" else f'"{other}"'
            raise ValueError(f"the columns are separated by a {word}: pass --separator {flag}")
    if missing:
        columns = ", ".join(map(repr, header[:20])) + (", ..." if len(header) > 20 else "")
        raise ValueError(f"there is no column {missing[0]!r}; the columns are {columns}")
    for name in wanted:
        if header.count(name) > 1:
            raise ValueError(f"there are {header.count(name)} columns {name!r}: rename one")


def _rows_by_id(texts, lines, column):
    rows = {}
    for row, text in enumerate(texts):
        if text.lower() in _MISSING:
            raise ValueError(f"line {lines[row]} has no id in column {column!r}")
        rows.setdefault(text, []).append(row)
    return {name: np.array(own) for name, own in rows.items()}


def _read_numbers(texts, lines, column, decimal):
    """The numbers as float64, NaN where one is missing."""
    values = np.full(len(texts), np.nan)
    for row, text in enumerate(texts):
        if text.lower() in _MISSING:
            continue
        value = math.inf if _INFINITE.fullmatch(text) else _number(text, decimal)
        if value is None or math.isinf(value):
            what = "no number" if value is None else "infinite"
            raise ValueError(
                f"line {lines[row]}: {text!r} in column {column!r} is {what}"
                f"{_advice(text, decimal) if value is None else ''}"
            )
        values[row] = value
    if decimal is None:
        _check_dots(texts, lines, column)
    return values


def _number(text, decimal):
    """A float, or None where the text is no number with this decimal sign."""
    if decimal is not None:
        if _grouped(decimal).fullmatch(text):
            text = re.sub(rf"[^\d{decimal}+-]", "", text)
        elif decimal == "," and "." in text:
            return None
        text = text.replace(decimal, ".")
    return float(text) if _PLAIN_NUMBER.fullmatch(text) else None


@functools.cache
def _grouped(decimal):
    """Numbers with a sign between thousands, such as 1.234,5 where `decimal` is a comma."""
    sign = r"['\u2019 \u00a0\u202f" + ("," if decimal == "." else ".") + "]"
    return re.compile(rf"[+-]?\d{{1,3}}({sign}\d{{3}})+([{decimal}]\d*)?", re.ASCII)


def _advice(text, decimal):
    if decimal == "," and re.search(r"\d\.\d", text):
        return ': with --decimal "," a dot separates thousands'
    if decimal is None and re.search(r"\d,\d", text):
        comma_is_last = text.rfind(",") > text.rfind(".")
        sign = "," if comma_is_last else "."
        return f': pass --decimal "{sign}" if that is its decimal sign'
    if decimal is None and any(_grouped(sign).fullmatch(text) for sign in ".,"):
        return ": pass --decimal with its decimal sign, if it has a sign between thousands"
    return ""


def _check_dots(texts, lines, column):
    """1.234 among whole numbers below 1000 is one thousand and more, or a little above one."""
    dotted = [i for i, text in enumerate(texts) if "." in text]
    thousands = re.compile(r"[+-]?[1-9]\d{0,2}\.\d{3}", re.ASCII)
    small = re.compile(r"[+-]?\d{1,3}", re.ASCII)
    whole = [text for text in texts if text.isdigit()]
    if (
        dotted
        and whole
        and all(thousands.fullmatch(texts[i]) for i in dotted)
        and all(small.fullmatch(text) for text in whole)
    ):
        i = dotted[0]
        raise ValueError(
            f"line {lines[i]}: {texts[i]!r} in column {column!r} can be read in two ways: pass "
            '--decimal "." if the dot is a decimal sign, --decimal "," if it separates thousands'
        )


def _check_observed(series, whose, column):
    observed, missing = int(series.notna().sum()), int(series.isna().sum())
    if observed == 0:
        raise ValueError(f"all values{whose} in column {column!r} are missing")
    if observed < LEAST_OBSERVED:
        raise ValueError(
            f"column {column!r} has {observed} value(s){whose}: at least "
            f"{LEAST_OBSERVED} are needed"
        )
    if missing > MOST_MISSING * len(series):
        raise ValueError(
            f"{missing} of {len(series)} values{whose} in column {column!r} are missing: more than "
            "half is too many"
        )
