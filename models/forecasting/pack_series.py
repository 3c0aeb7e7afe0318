from typing import NamedTuple

import numpy as np

from ..._arguments import positive_integer
from ._row_queues import cut, fill_rows
from ._series_set import read_series


class PackedSeries(NamedTuple):
    """Chunks of series for training with carried state, in the order of training.

    `x`, `y` and `weight` have the shape `(chunks, rows, steps, features)` and the series' dtype;
    `reset` has the shape `(chunks, rows)` and is boolean. `pack_series` returns one.

    Example:

    >>> packed = kerazoo.models.pack_series(np.arange(9.0), batch_size=1, bptt_steps=4)
    >>> packed.x.shape, packed.reset.ravel().tolist()
    ((2, 1, 4, 1), [True, False])
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
    `y` hold no NaN. No digit is lost: `x` and `y` are float64 unless all series are float32. Keras
    casts them to float32 in `fit`, so take off a large offset before.

    Args:
        series: One or several series, as `StatefulLSTMForecaster` takes them; NaN where missing.
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
           [3., 4., 0.]])
    >>> packed.y[:, 0, :, 0]
    array([[1., 2., 3.],
           [4., 5., 0.]])
    >>> packed.reset
    array([[ True,  True],
           [False, False]])
    """
    batch_size = positive_integer("batch_size", batch_size)
    bptt_steps = positive_integer("bptt_steps", bptt_steps)
    values = read_series(series, min_observed=2).values
    segments = cut([len(one) - 1 for one in values], 0, batch_size, bptt_steps)
    chunks, parts = fill_rows(segments, batch_size, bptt_steps)

    shape = (chunks, batch_size, bptt_steps, values[0].shape[1])
    dtype = np.result_type(*{one.dtype for one in values})
    x, y, weight = (np.zeros(shape, dtype) for _ in range(3))
    reset = np.zeros(shape[:2], bool)
    reset[0] = True
    filled = [forward_fill(one) for one in values]
    for chunk, row_parts in enumerate(parts):
        for row, part in enumerate(row_parts):
            if part is None:
                continue
            target = values[part.series][part.start + 1 : part.stop + 1]
            observed = np.isfinite(target)
            to = chunk, row, slice(part.stop - part.start)
            x[to] = filled[part.series][part.start : part.stop]
            y[to] = np.where(observed, target, 0.0)
            weight[to] = observed
            reset[chunk, row] |= part.begins
    return PackedSeries(x, y, weight, reset)


def forward_fill(values):
    """Each missing value of `(time, features)` replaced by the last observed one, else zero."""
    observed = np.isfinite(values)
    last = np.maximum.accumulate(np.where(observed, np.arange(len(values))[:, None], -1), axis=0)
    filled = np.take_along_axis(values, np.maximum(last, 0), axis=0)
    return np.where(last >= 0, filled, 0.0)
