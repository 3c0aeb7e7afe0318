from itertools import pairwise
from typing import NamedTuple

import keras
import numpy as np

from ..._arguments import positive_integer
from ._read_series import read_series


class PackedSeries(NamedTuple):
    """Chunks of series for training with carried state, in the order of training.

    `x`, `y` and `weight` have the shape `(chunks, rows, steps, features)` and Keras's floatx;
    `reset` has the shape `(chunks, rows)` and is boolean.
    """

    x: np.ndarray
    y: np.ndarray
    weight: np.ndarray
    reset: np.ndarray


def pack_series(series, batch_size, bptt_steps):
    """Lays series of unequal length into rows of equal chunks that continue one another.

    Row `i` of chunk `t + 1` continues row `i` of chunk `t`, so a recurrent state carried from
    chunk to chunk sees each series whole, while gradients reach back `bptt_steps` at most. A
    series begins at the start of a chunk, where `reset` says so, and its end is padded to whole
    chunks with weight zero. When a row has finished its series it takes the next one; the longest
    series go first, which leaves little padding. With more rows than series, the longest series
    are cut into contiguous segments, each of which begins anew; rows that even then have nothing
    to do stay empty.

    Within a series, `y[t]` is the value that follows `x[t]`. A missing target has weight zero and
    a missing input is replaced by the last value observed before it, zero at the start; `x` and
    `y` hold no NaN.

    Args:
        series: Array `(time,)` or `(time, features)`, or a list of such; NaN where missing.
        batch_size: Positive integer, the number of rows.
        bptt_steps: Positive integer, the steps in a chunk.

    Returns:
        A named tuple `x`, `y`, `weight` of shape `(chunks, rows, steps, features)` and `reset`
        of shape `(chunks, rows)`.

    Raises:
        ValueError: `batch_size` or `bptt_steps` is not a positive integer, a series is empty, has
            fewer than two observed values or infinite ones, or the features differ in number.
        TypeError: a series does not hold numbers.

    Example:

    >>> packed = kerazoo.models.pack_series([np.arange(6.0), np.arange(10.0, 13.0)], 2, 3)
    >>> packed.x[:, 0, :, 0]  # (chunks, steps) of the first row
    array([[0., 1., 2.],
           [3., 4., 0.]], dtype=float32)
    >>> packed.y[:, 0, :, 0]
    array([[1., 2., 3.],
           [4., 5., 0.]], dtype=float32)
    >>> packed.reset
    array([[ True,  True],
           [False, False]])
    """
    batch_size = positive_integer("batch_size", batch_size)
    bptt_steps = positive_integer("bptt_steps", bptt_steps)
    arrays, _ = read_series(series)
    largest = np.finfo(keras.config.floatx()).max
    for name, array in arrays.items():
        if np.nanmax(np.abs(array)) > largest:
            raise ValueError(
                f"`{name}` must stay within {largest:.3g}, the range of {keras.config.floatx()}. "
                f"Received: a value of {np.nanmax(np.abs(array)):.3g}"
            )
    segments = _cut([_pairs(array) for array in arrays.values()], batch_size, bptt_steps)
    rows = _queue(segments, batch_size, bptt_steps)
    chunks = max(_chunks(row, bptt_steps) for row in rows)

    shape = (chunks, batch_size, bptt_steps, segments[0].x.shape[1])
    x, y, weight = (np.zeros(shape, keras.config.floatx()) for _ in range(3))
    reset = np.zeros(shape[:2], bool)
    reset[0] = True
    for i, row in enumerate(rows):
        chunk = 0
        for segment in row:
            reset[chunk, i] = True
            for part in _split(segment, bptt_steps):
                steps = len(part.x)
                x[chunk, i, :steps] = part.x
                y[chunk, i, :steps] = part.y
                weight[chunk, i, :steps] = part.weight
                chunk += 1
    return PackedSeries(x, y, weight, reset)


def forward_fill(values):
    """Each missing value of `(time, features)` replaced by the last observed one, else zero."""
    observed = np.isfinite(values)
    last = np.maximum.accumulate(np.where(observed, np.arange(len(values))[:, None], -1), axis=0)
    filled = np.take_along_axis(values, np.maximum(last, 0), axis=0)
    return np.where(last >= 0, filled, 0.0)


class _Segment(NamedTuple):
    x: np.ndarray
    y: np.ndarray
    weight: np.ndarray

    def between(self, start, stop):
        return _Segment(*(part[start:stop] for part in self))


def _pairs(values):
    """Inputs, the values that follow them, and the weights of those."""
    targets = values[1:]
    observed = np.isfinite(targets)
    return _Segment(forward_fill(values)[:-1], np.where(observed, targets, 0.0), observed)


def _split(segment, steps):
    return [segment.between(i, i + steps) for i in range(0, len(segment.x), steps)]


def _chunks(row, steps):
    return sum(-(-len(segment.x) // steps) for segment in row)


def _cut(segments, rows, steps):
    """Cuts the longest into more and more parts of whole chunks, until every row has one."""
    chunks = [-(-len(segment.x) // steps) for segment in segments]
    parts = [1] * len(segments)
    while sum(parts) < rows:
        longest = max(range(len(parts)), key=lambda i: chunks[i] / parts[i])
        if parts[longest] == chunks[longest]:
            break
        parts[longest] += 1
    cut = []
    for segment, size, count in zip(segments, chunks, parts, strict=True):
        bounds = [round(i * size / count) * steps for i in range(count + 1)]
        cut += [segment.between(a, b) for a, b in pairwise(bounds)]
    return cut


def _queue(segments, rows, steps):
    """The longest segment that waits goes to the row that is free first."""
    queues = [[] for _ in range(rows)]
    for segment in sorted(segments, key=lambda s: len(s.x), reverse=True):
        min(queues, key=lambda row: _chunks(row, steps)).append(segment)
    return queues
