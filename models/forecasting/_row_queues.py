"""Which row of a batch reads which part of which series, and in what order."""

import heapq
import itertools
from typing import NamedTuple

import numpy as np


class Part(NamedTuple):
    """What a row reads in one chunk: `start, ..., stop - 1` of a series, each with its target."""

    series: int
    start: int
    stop: int
    begins: bool


def cut(lengths, first, rows, steps):
    """Segments that rows read from end to end, an array `(segments, 3)` of series, start, stop.

    A series is one segment; with more rows than series the longest are cut into more and more parts
    of whole chunks, until every row has one.

    Args:
        lengths: The steps of each series that have a target.
        first: The first step that is read.
        rows, steps: Of a chunk.
    """
    stops = np.array(lengths, "int64")
    (series,) = np.nonzero(stops > first)
    segments = np.column_stack([series, np.full(len(series), first), stops[series]])
    if 0 < len(segments) < rows:
        segments = np.array(_cut_longest(segments.tolist(), rows, steps))
    return segments


def fill_rows(segments, rows, steps, rng=None):
    """How many chunks there are, and an iterator of them: the `Part` of each row, None for nothing.

    The longest segment that waits goes to the row that is free first. With a NumPy generator
    `rng`, segments of as many chunks change places and each row takes its own in a random order, so
    that the number of chunks stays the same.
    """
    chunks = _num_chunks(segments[:, 2] - segments[:, 1], steps)
    order = np.arange(len(segments)) if rng is None else rng.permutation(len(segments))
    order = order[np.argsort(-chunks[order], kind="stable")]
    queues = [[] for _ in range(rows)]
    free = [(0, row) for row in range(rows)]
    for segment in order:
        load, row = free[0]
        queues[row].append(int(segment))
        heapq.heapreplace(free, (load + int(chunks[segment]), row))
    if rng is not None:
        for queue in queues:
            rng.shuffle(queue)
    parts = (
        itertools.chain.from_iterable(_split(*segments[segment], steps) for segment in queue)
        for queue in queues
    )
    return max(load for load, _ in free), itertools.zip_longest(*parts)


def sensible_rows(lengths, steps):
    """Rows for `batch_size=None`: one a series, at most 256.

    Fewer series are cut into as many rows as leave each some 20 chunks, at most 32.
    """
    chunks = sum(_num_chunks(length, steps) for length in lengths)
    return max(min(len(lengths), 256), min(chunks // 20, 32))


def _cut_longest(segments, rows, steps):
    chunks = [_num_chunks(stop - start, steps) for _, start, stop in segments]
    parts = [1] * len(segments)
    while sum(parts) < rows:
        longest = max(range(len(parts)), key=lambda i: chunks[i] / parts[i])
        if parts[longest] == chunks[longest]:
            break
        parts[longest] += 1
    found = []
    for (series, start, stop), size, count in zip(segments, chunks, parts, strict=True):
        bounds = [start + round(i * size / count) * steps for i in range(count + 1)]
        found += [(series, a, min(b, stop)) for a, b in itertools.pairwise(bounds)]
    return found


def _num_chunks(length, steps):
    return -(-length // steps)


def _split(series, start, stop, steps):
    for begin in range(start, stop, steps):
        yield Part(int(series), begin, min(begin + steps, int(stop)), begin == start)
