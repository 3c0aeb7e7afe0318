"""Which row reads what: every step once, in order, resets exactly where a segment begins."""

import itertools

import numpy as np
import pytest
from forecasting_cases import few_examples
from hypothesis import given, settings
from hypothesis import strategies as st

from kerazoo.models.forecasting._row_queues import cut, fill_rows, sensible_rows

lengths = st.lists(st.integers(0, 60), min_size=1, max_size=12)


def read_by_row(parts, rows):
    """Of each row the parts it reads, one after the other."""
    parts = list(parts)
    assert all(len(chunk) == rows for chunk in parts)
    return [[chunk[row] for chunk in parts if chunk[row] is not None] for row in range(rows)]


@settings(few_examples, max_examples=100)
@given(lengths, st.integers(0, 5), st.integers(1, 9), st.integers(1, 25), st.booleans())
def test_every_step_is_read_once_and_in_order(lengths, first, rows, steps, shuffle):
    segments = cut(lengths, first, rows, steps)
    rng = np.random.default_rng(0) if shuffle else None
    chunks, parts = fill_rows(segments, rows, steps, rng)
    parts = list(parts)
    assert len(parts) == chunks
    seen = []
    for row in read_by_row(parts, rows):
        for before, part in itertools.pairwise([None, *row]):
            assert 0 < part.stop - part.start <= steps
            follows = before and (before.series, before.stop) == (part.series, part.start)
            # A segment may by chance follow on the one before it; else a row goes on or begins.
            assert part.begins or follows
            seen += [(part.series, t) for t in range(part.start, part.stop)]
    expected = [(i, t) for i, length in enumerate(lengths) for t in range(first, length)]
    assert sorted(seen) == expected
    begins = sum(part.begins for chunk in parts for part in chunk if part)
    assert begins == len(segments)
    # No row is idle before it has read all that is its own.
    for row in range(rows):
        busy = [chunk[row] is not None for chunk in parts]
        assert busy == sorted(busy, reverse=True)


@settings(few_examples, max_examples=50)
@given(lengths, st.integers(1, 9), st.integers(1, 25))
def test_shuffling_takes_as_many_chunks(lengths, rows, steps):
    segments = cut(lengths, 0, rows, steps)
    in_order, _ = fill_rows(segments, rows, steps)
    for seed in range(3):
        assert fill_rows(segments, rows, steps, np.random.default_rng(seed))[0] == in_order


def test_shuffling_changes_the_order_and_is_seeded():
    segments = cut([20] * 30, 0, 3, 10)

    def order(rng):
        _, parts = fill_rows(segments, 3, 10, rng)
        return [part.series for chunk in parts for part in chunk]

    rng = np.random.default_rng(0)
    first = order(rng)
    assert order(rng) != first
    assert order(np.random.default_rng(0)) == first
    plain = [part.series for chunk in fill_rows(segments, 3, 10)[1] for part in chunk]
    assert plain != first


def test_rows_are_filled_evenly():
    lengths = [47, 330, 99, 76, 59, 199, 149]
    chunks, _ = fill_rows(cut(lengths, 0, 3, 20), 3, 20)
    # 52 chunks of work in 3 rows: nothing fits into fewer than 18.
    assert chunks == -(-sum(-(-length // 20) for length in lengths) // 3)


def test_one_long_series_is_cut_for_every_row():
    chunks, parts = fill_rows(cut([1000], 0, 8, 10), 8, 10)
    assert chunks == 13  # 100 chunks of work
    rows = read_by_row(parts, 8)
    assert [row[0].begins for row in rows] == [True] * 8
    assert sum(part.begins for row in rows for part in row) == 8


@pytest.mark.parametrize(
    ("lengths", "steps", "rows"),
    [
        ([100], 48, 1),
        ([100_000], 48, 32),  # one long series is cut: 100,000 steps an epoch in one row took 27 s
        ([10_000], 48, 10),
        ([100] * 5, 48, 5),
        ([100] * 3003, 48, 256),
        ([5], 48, 1),
    ],
)
def test_sensible_rows(lengths, steps, rows):
    assert sensible_rows(lengths, steps) == rows
