"""From a series' own units to the network's and back, at any moment from the past alone."""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from .transforms import Transform

# A value this many spreads beyond the recent ones is taken for an outlier, once so many are known.
_FENCE_SPREADS = 3.0
_FENCE_KNOWN = 5
_SHORTEST_LEVEL = 3
_SHORTEST_SCALE = 24
_LARGEST_INPUT = 10.0
_ROUNDING = 1e-13
_SMALLEST_UNIT = 0.01


class Units(NamedTuple):
    """What a codec needs to know of each series, `(series, features)` or `(features,)`."""

    location: np.ndarray
    scale: np.ndarray


class Encoded(NamedTuple):
    """What a codec makes of each step, in float64."""

    inputs: tf.Tensor  # (series, steps, num_inputs)
    anchor: tf.Tensor  # (series, steps, features)
    scale: tf.Tensor  # (series, steps, features)

    def decode(self, outputs):
        """The values that a network's outputs mean, `(series, steps, features)`."""
        return self.anchor + self.scale * tf.cast(outputs, "float64")


SCALING_NAMES = ("running", "global", "whole_series")


def make_codec(scaling, transform, season, num_features):
    if scaling == "running":
        return RunningCodec(transform, season, num_features)
    return FixedCodec(scaling, transform, season, num_features)


class _Codec:
    """Reads a series step by step through a window over its last values.

    Args:
        transform: The name of a `Transform`, or None.
        season: Integer `m`, steps in a season; 0 for none.
        num_features: Integer.

    Attributes:
        lookback: The values before a step that its encoding depends on.
        first: The first step of a series that the network reads.
        num_inputs: What the network is fed at each step.
        causal: Whether `units` depend on a series' beginning alone.
    """

    first = 0
    causal = True
    scaling = "running"

    def __init__(self, transform, season, num_features):
        self.transform = Transform(transform)
        self.season = season
        self.num_features = num_features

    def fill(self, values):
        """Each missing value replaced by the one a season before it, `(time, features)`.

        In the first season it is the last value, and before anything was observed the first one.
        """
        missing = np.isnan(values)
        if not missing.any():
            return values
        filled = values.copy()
        first = np.take_along_axis(values, missing.argmin(axis=0)[None], axis=0)[0]
        filled[0] = np.where(missing[0], first, values[0])
        season = self.season or 1
        filled[:season] = _carry(filled[:season])
        padding = -len(values) % season
        seasons = np.pad(filled, [(0, padding), (0, 0)], constant_values=np.nan)
        seasons = _carry(seasons.reshape(-1, season, values.shape[1]))
        return seasons.reshape(-1, values.shape[1])[: len(values)]

    def clean(self, window, count):
        """`window` without the first `outlook` values, which say what is an outlier."""
        return window[:, self.outlook :]

    # Before the lookback, values that `clean` compares the others with.
    outlook = 0


class RunningCodec(_Codec):
    """Level, season and scale of the last values, and a naive forecast to start from.

    With `y` the transformed series, `m` its season and means over what exists of each window:

    `level[t] = mean of the last max(m, 3) values`
    `anchor[t] = y[t + 1 - m] + level[t] - level[t + 1 - m]`, or `y[t]` without a season
    `scale[t] = mean of |y - anchor before it| over the last max(2 m, 24) values`

    The network sees, in units of the scale, the last value and the one a season before the next
    relative to the level, and how far the values a season before the last and the next lay from
    theirs (without a season: the last value relative to the level, and its step). Where the scale
    is zero the forecast is the anchor.
    """

    def __init__(self, transform, season, num_features):
        super().__init__(transform, season, num_features)
        m = self._m = season or 1
        self._level = max(m, _SHORTEST_LEVEL)
        self._scale = max(2 * m, _SHORTEST_SCALE)
        self.lookback = self._scale + self._level + m + 1
        self.outlook = max(m, 12)
        self.num_inputs = num_features * (4 if m > 1 else 2)

    def units(self, filled):
        """Of a whole filled series: all is relative to its first value."""
        return Units(filled[0], np.ones_like(filled[0]))

    def loss_unit(self, values, units):
        """One unit of the loss: the mean error of the naive forecast, `(features,)`.

        Of seasons that repeat themselves that is nothing, next to which the errors of the first
        season would be infinite: at least a share of the mean step, and that step itself where no
        season is over.
        """
        step, season = _mean_difference(values, 1), _mean_difference(values, self._m)
        unit = np.where(np.isnan(season), step, np.fmax(season, _SMALLEST_UNIT * step))
        return np.where(unit > 0, unit, 1.0)

    def clean(self, window, count):
        """Outliers moved to the fence around the values before them.

        The fence lies three spreads outside the second smallest and the second largest of the last
        `outlook` values, so that one outlier does not hide the next.
        """
        w = self.outlook
        values = window[:, w:]
        known = count[:, None] - np.arange(window.shape[1])[::-1]  # (rows, time), up to each value
        exists = known[..., None] > 0
        past = slice(0, -1)
        lower = _second_smallest(np.where(exists, window, np.inf)[:, past], w)
        upper = -_second_smallest(np.where(exists, -window, np.inf)[:, past], w)
        enough = known[:, w:, None] > _FENCE_KNOWN
        lower, upper = np.where(enough, lower, 0.0), np.where(enough, upper, 0.0)
        reach = _FENCE_SPREADS * (upper - lower)
        return np.where(reach > 0, np.clip(values, lower - reach, upper + reach), values)

    def encode(self, window, count, location, scale, lib=tf):
        """Of clean windows, `(series, lookback + steps, features)` in float64.

        Args:
            window: Before its start a series has its first value.
            count: `(series,)`, the values of each series up to the window's end.
            location: `(series, features)`, the series' first value.
            scale: Not used.
            lib: TensorFlow, or `numpy_library` for NumPy arrays.
        """
        m, width, memory = self._m, self._level, self._scale
        y = window - location[:, None]
        # (series, time, 1): how many values the series has up to each, below one before its start
        ago = lib.range(lib.shape(y)[1] - 1, -1, -1, dtype=count.dtype)
        known = count[:, None, None] - ago[:, None]
        level = _running_sum(y, width, lib) / _between(known[:, width:], 1, width, lib)
        until = None if m == 1 else 1 - m
        # What the same season was, of the step that follows
        lag, lag_level = y[:, width + 1 : until], level[:, 1:until]
        last_season = y[:, width:-m] - level[:, :-m]
        y, level, known = y[:, width + m :], level[:, m:], known[:, width + m :]
        # In this order, so that a series that stands still is its own anchor to the last digit
        anchor = lib.where(known < m, y, lag + (level - lag_level)) if m > 1 else y
        error = y[:, 1:] - anchor[:, :-1]
        begin = memory + 1
        known = known[:, begin:]
        scale = _running_sum(lib.abs(error), memory, lib)
        # What rounding leaves of an exact forecast is no scale.
        rounding = _ROUNDING * _running_sum(lib.abs(y[:, 1:]), memory, lib)
        scale = lib.where(scale > rounding, scale / _between(known - 1, 1, memory, lib), 0.0)
        y, level, anchor = (one[:, begin:] for one in (y, level, anchor))
        if m > 1:
            lag, season = lag[:, begin:], lag[:, begin:] - lag_level[:, begin:]
            season = lib.where(known < m, lib.zeros_like(season), season)
            last_season = last_season[:, begin:]
            last_season = lib.where(known <= m, lib.zeros_like(season), last_season)
            differences = lib.concat([y - level, lag - level, season, last_season], axis=-1)
        else:
            differences = lib.concat([y - level, error[:, memory:]], axis=-1)
        scales = lib.tile(scale, (1, 1, self.num_inputs // self.num_features))
        inputs = lib.math.divide_no_nan(differences, scales)
        # At most `_LARGEST_INPUT`, and unchanged far below
        inputs = inputs * lib.math.rsqrt(1.0 + lib.square(inputs / _LARGEST_INPUT))
        return Encoded(inputs, anchor + location[:, None], scale)


class FixedCodec(_Codec):
    """The same location and scale at every step: of the whole series, of all, or none.

    `z[t] = (y[t] - y[t - m] - location) / scale` is what the network sees and predicts. Before a
    feature was observed the network sees 0.

    Args:
        scaling: "whole_series", "global" or None; the codec only uses the units that it is given.
    """

    def __init__(self, scaling, transform, season, num_features):
        super().__init__(transform, season, num_features)
        self.scaling = scaling
        self.causal = scaling != "whole_series"
        self.lookback = self.first = season
        self.num_inputs = num_features

    def units_of(self, differences):
        """Mean and standard deviation of the observed values of a list of differenced series.

        A constant series keeps the scale 1: it has no other.
        """
        values = np.concatenate(differences)
        # Relative to the largest, whose square may be beyond float64.
        largest = np.nanmax(np.abs(values), axis=0)
        values = values / np.where(largest > 0, largest, 1.0)
        spread = np.nanstd(values, axis=0)
        scale = np.where(spread > 1e-12, spread * largest, 1.0)
        return Units(np.nanmean(values, axis=0) * largest, scale)

    def fill(self, values):
        """Without a season, what precedes the first observed value stays missing."""
        filled = super().fill(values)
        if self.season or not np.isnan(values[0]).any():
            return filled
        seen = np.maximum.accumulate(np.isfinite(values), axis=0)
        return np.where(seen, filled, np.nan)

    def difference(self, values):
        if not self.season:
            return values
        return values[self.season :] - values[: -self.season]

    def loss_unit(self, values, units):
        return units.scale

    def encode(self, window, count, location, scale, lib=tf):
        """Of windows `(series, lookback + steps, features)` in float64."""
        location, scale = location[:, None], scale[:, None]
        y = window[:, self.season :]
        anchor = lib.broadcast_to(location, lib.shape(y))
        if self.season:
            y = y - window[:, : -self.season]
            anchor = anchor + window[:, 1 : (1 - self.season) or None]
        z = (y - location) / scale
        z = lib.where(lib.math.is_nan(z), lib.zeros_like(z), z)
        return Encoded(z, anchor, lib.broadcast_to(scale, lib.shape(y)))


def _mean_difference(values, lag):
    """Of values that lie `lag` steps apart, where both are known; NaN where there are none."""
    steps = np.abs(values[lag:] - values[:-lag])
    count = np.isfinite(steps).sum(axis=0)
    return np.where(count > 0, np.nansum(steps, axis=0) / np.maximum(count, 1), np.nan)


def _carry(values):
    """Each NaN of `(steps, ...)` replaced by what precedes it on the first axis, if anything."""
    steps = np.arange(len(values)).reshape(-1, *[1] * (values.ndim - 1))
    last = np.maximum.accumulate(np.where(np.isnan(values), 0, steps), axis=0)
    return np.take_along_axis(values, last, axis=0)


def _second_smallest(x, width):
    """Of each `width` values in a row on the second axis, the second smallest.

    From the two smallest of windows of 1, 2, 4, ... values: any width is a sum of those.
    """
    windows = x.shape[1] - width + 1
    pair, span = (x, np.full_like(x, np.inf)), 1
    found, offset = None, 0
    while offset < width:
        if width & span:
            part = tuple(one[:, offset : offset + windows] for one in pair)
            found = part if found is None else _two_smallest(found, part)
            offset += span
        shorter, later = (
            tuple(one[:, cut] for one in pair) for cut in (slice(-span), slice(span, None))
        )
        pair, span = _two_smallest(shorter, later), 2 * span
    return found[1]


def _two_smallest(a, b):
    """The smallest and the second smallest of what two windows hold."""
    first = np.minimum(a[0], b[0])
    return first, np.minimum(np.maximum(a[0], b[0]), np.minimum(a[1], b[1]))


def _running_sum(x, width, lib):
    """Sums of `width` values along the steps, one fewer than there are windows.

    Each adds the same values in the same order, wherever `x` begins: differences of one long sum
    would leave its rounding errors, which where a series stands still are all there is.
    """
    block, size = x[:, 1:], 1  # sums of `size` values
    sums = lib.shape(x)[1] - width
    begin, total = 0, 0.0
    while size <= width:
        if width & size:
            total = total + block[:, begin : begin + sums]
            begin += size
        block, size = block[:, :-size] + block[:, size:], 2 * size
    return total


def _between(count, low, high, lib):
    return lib.cast(lib.clip_by_value(count, low, high), "float64")
