"""The codecs against their formulas written out in NumPy, one step and one window at a time."""

import numpy as np
import pytest
import tensorflow as tf
from forecasting_cases import NAN, few_examples
from hypothesis import given
from hypothesis import strategies as st

from kerazoo.models.forecasting._array_library import numpy_library
from kerazoo.models.forecasting.codec import FixedCodec, RunningCodec, make_codec

SEASONS = [0, 1, 2, 5, 12]


def encoded(codec, values, clean=False):
    """What a codec makes of a whole series, `(time, ...)` each."""
    values = np.asarray(values, "float64").reshape(len(values), -1)
    filled = codec.fill(values)
    before = np.repeat(filled[:1], codec.outlook + codec.lookback, axis=0)
    window = np.concatenate([before, filled])[None]
    count = np.array([len(values)], "int32")
    window = codec.clean(window, count) if clean else window[:, codec.outlook :]
    ones = np.ones((1, values.shape[1]))
    return [np.asarray(part)[0] for part in codec.encode(window, count, filled[:1], ones)]


class Formulas:
    """`RunningCodec` of one series without missing values, as its docstring puts it."""

    def __init__(self, y, season):
        self.y, self.m = y, season or 1
        self.width = max(self.m, 3)
        self.memory = max(2 * self.m, 24)

    def level(self, t):
        return self.y[max(0, t - self.width + 1) : t + 1].mean(axis=0)

    def anchor(self, t):
        if self.m == 1 or t + 1 < self.m:
            return self.y[t]
        return self.level(t) + self.y[t + 1 - self.m] - self.level(t + 1 - self.m)

    def scale(self, t):
        errors = [
            np.abs(self.y[u] - self.anchor(u - 1))
            for u in range(max(1, t - self.memory + 1), t + 1)
        ]
        return np.mean(errors, axis=0) if errors else 0 * self.y[0]

    def inputs(self, t):
        y, m, level = self.y, self.m, self.level(t)
        none = 0 * y[0]
        if m == 1:
            parts = [y[t] - level, y[t] - y[max(t - 1, 0)]]
        else:
            last_season = y[t + 1 - m] if t + 1 >= m else y[0]
            parts = [
                y[t] - level,
                last_season - level,
                last_season - self.level(t + 1 - m) if t + 1 >= m else none,
                y[t - m] - self.level(t - m) if t + 1 > m else none,
            ]
        z = np.concatenate([part / self.scale(t) for part in parts])
        return z / np.sqrt(1 + (z / 10) ** 2)


@pytest.mark.parametrize("season", SEASONS)
def test_running_codec_is_its_formulas(season):
    y = 100 + 3 * np.random.default_rng(0).normal(size=(90, 2)).cumsum(axis=0)
    inputs, anchor, scale = encoded(RunningCodec(None, season, 2), y)
    expected = Formulas(y, season)
    for t in (0, 1, 2, 3, 4, 5, 10, 11, 12, 13, 14, 23, 24, 25, 40, 89):
        np.testing.assert_allclose(anchor[t], expected.anchor(t), rtol=1e-12, err_msg=f"{t}")
        np.testing.assert_allclose(scale[t], expected.scale(t), rtol=1e-9, err_msg=f"{t}")
        if t > 0:
            np.testing.assert_allclose(inputs[t], expected.inputs(t), rtol=1e-9, atol=1e-10)
    np.testing.assert_array_equal(inputs[0], 0)  # nothing is known of the scale


@pytest.mark.parametrize("season", SEASONS)
@pytest.mark.parametrize("value", [0.0, 1e-3, -5.0, 0.1, 1e9, 1e100])
def test_a_constant_is_its_own_anchor(season, value):
    inputs, anchor, scale = encoded(RunningCodec(None, season, 1), np.full(70, value), clean=True)
    np.testing.assert_array_equal(anchor, value)
    np.testing.assert_array_equal(inputs, 0)
    np.testing.assert_array_equal(scale, 0)


@pytest.mark.parametrize("season", SEASONS)
@pytest.mark.parametrize("seed", [6, 24, 33])
def test_what_stands_still_has_no_scale(season, seed):
    """Rounding must not pass for a scale: the network would see noise in units of noise."""
    rng = np.random.default_rng(seed)
    y = np.concatenate([rng.normal(size=50), np.full(80, 0.3), rng.normal(size=9)]) * 1.7 + 0.1
    inputs, anchor, scale = encoded(RunningCodec(None, season, 1), y)
    still = slice(50 + 4 * 12, 130)
    np.testing.assert_array_equal(scale[still], 0)
    np.testing.assert_array_equal(inputs[still], 0)
    np.testing.assert_allclose(anchor[still], y[-10], rtol=1e-14)
    assert (scale[131:] > 0).all()


def test_a_season_that_repeats_itself_is_its_own_anchor():
    season = np.random.default_rng(0).normal(size=7)
    inputs, anchor, scale = encoded(RunningCodec(None, 7, 1), np.tile(season, 12))
    np.testing.assert_allclose(anchor[40:-1, 0], np.tile(season, 12)[41:], rtol=1e-12)
    np.testing.assert_array_equal(scale[40:], 0)
    np.testing.assert_array_equal(inputs[40:], 0)


@pytest.mark.parametrize("season", [0, 7])
def test_where_reading_begins_changes_nothing(season):
    """Of a window that begins later, the same numbers to the last digit."""
    codec = RunningCodec(None, season, 1)
    y = np.random.default_rng(0).normal(size=(400, 1)).cumsum(axis=0)
    whole = encoded(codec, y)
    part = codec.encode(
        y[None, 399 - codec.lookback :], np.array([400], "int32"), y[:1], np.ones((1, 1))
    )
    for a, b in zip(whole, part, strict=True):
        np.testing.assert_array_equal(a[-1], np.asarray(b)[0, 0])


# Outliers


def cleaned(codec, values):
    values = np.asarray(values, "float64")[:, None]
    before = np.repeat(values[:1], codec.outlook + codec.lookback, axis=0)
    window = np.concatenate([before, values])[None]
    return codec.clean(window, np.array([len(values)]))[0, codec.lookback :, 0]


@pytest.mark.parametrize("season", [0, 12, 30])
def test_outliers_are_moved_to_the_fence(season):
    codec = RunningCodec(None, season, 1)
    rng = np.random.default_rng(0)
    y = rng.normal(size=150)
    y[[3, 4, 20, 90, 91, 149]] += [50, -1e9, 3e4, -1e4, 9, 1e300]
    expected = y.copy()
    for t in range(5, len(y)):
        past = np.sort(y[max(0, t - max(season, 12)) : t])
        reach = 3 * (past[-2] - past[1])
        expected[t] = np.clip(y[t], past[1] - reach, past[-2] + reach)
    np.testing.assert_allclose(cleaned(codec, y), expected, rtol=1e-12)
    np.testing.assert_array_equal(cleaned(codec, y)[[3, 4]], y[[3, 4]])  # too little is known


@pytest.mark.parametrize("codec", [RunningCodec(None, 12, 1), FixedCodec(None, None, 12, 1)])
def test_what_is_no_outlier_stays(codec):
    trend = np.arange(100.0) + np.tile(np.arange(12.0), 9)[:100]
    np.testing.assert_array_equal(cleaned(codec, trend), trend)
    np.testing.assert_array_equal(cleaned(codec, np.full(60, 3.0)), 3.0)


def test_a_change_of_level_is_followed():
    y = np.random.default_rng(0).normal(size=80)
    y[50:] += 1000
    np.testing.assert_array_equal(cleaned(RunningCodec(None, 0, 1), y)[62:], y[62:])


# Missing values


def filled_one_by_one(values, season):
    filled = values.copy()
    for feature in filled.T:
        observed = np.flatnonzero(np.isfinite(feature))
        if np.isnan(feature[0]):
            feature[0] = feature[observed[0]]
        for t in range(1, len(feature)):
            if np.isnan(feature[t]):
                feature[t] = feature[t - season] if t >= season else feature[t - 1]
    return filled


@few_examples
@given(st.integers(1, 40), st.integers(0, 12), st.integers(0, 99), st.floats(0, 0.95))
def test_gaps_hold_the_value_a_season_before(length, season, seed, missing):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(length, 2))
    values[rng.uniform(size=values.shape) < missing] = NAN
    values[rng.integers(length)] = 1.0
    found = RunningCodec(None, season, 2).fill(values)
    np.testing.assert_array_equal(found, filled_one_by_one(values, season or 1))


def test_without_gaps_nothing_is_copied():
    values = np.ones((9, 1))
    assert RunningCodec(None, 3, 1).fill(values) is values


def test_fixed_codec_holds_back_what_was_not_observed():
    values = np.array([[NAN, 1.0], [NAN, NAN], [3.0, 2.0], [NAN, 4.0]])
    codec = FixedCodec(None, None, 0, 2)
    expected = [[NAN, 1.0], [NAN, 1.0], [3.0, 2.0], [3.0, 4.0]]
    np.testing.assert_array_equal(codec.fill(values), expected)
    z = codec.encode(codec.fill(values)[None], np.array([4]), np.ones((1, 2)), np.ones((1, 2)))
    np.testing.assert_array_equal(z.inputs.numpy()[0], [[0, 0], [0, 0], [2, 1], [2, 3]])


# The unit of the loss, and the fixed units


def test_unit_of_the_loss_is_the_naive_error():
    values = np.array([[1.0, 5.0], [4.0, 5.0], [NAN, 5.0], [5.0, 5.0], [7.0, NAN]])
    # |4 - 1|, |7 - 5|, and of what never changes 1
    np.testing.assert_array_equal(RunningCodec(None, 0, 2).loss_unit(values, None), [2.5, 1])
    # |5 - 4| two steps later
    np.testing.assert_array_equal(RunningCodec(None, 2, 2).loss_unit(values, None), [1, 1])
    # No season is over: the mean step
    np.testing.assert_allclose(RunningCodec(None, 9, 2).loss_unit(values, None), [2.5, 1])
    # One that repeats itself: a hundredth of it
    season = np.tile([0.1, 0.7, 0.2], 9)[:, None]
    step = np.abs(np.diff(season, axis=0)).mean()
    np.testing.assert_allclose(RunningCodec(None, 3, 1).loss_unit(season, None), [step / 100])


@pytest.mark.parametrize("season", [0, 3])
def test_fixed_codec_is_its_formula(season):
    y = np.random.default_rng(0).normal(size=(30, 2))
    location, scale = np.array([[1.0, -2.0]]), np.array([[3.0, 0.5]])
    codec = FixedCodec("global", None, season, 2)
    window = np.concatenate([np.repeat(y[:1], codec.lookback, axis=0), y])[None]
    found = codec.encode(window, np.array([30]), location, scale)
    t = np.arange(codec.first, 29)
    last = y[t] - y[t - season] if season else y[t]
    np.testing.assert_allclose(found.inputs.numpy()[0][t], (last - location) / scale, rtol=1e-12)
    z = (y[t + 1] - (y[t + 1 - season] if season else 0) - location) / scale
    decoded = found.anchor.numpy()[0][t] + found.scale.numpy()[0][t] * z
    np.testing.assert_allclose(decoded, y[t + 1], rtol=1e-12)


def test_fixed_units():
    rng = np.random.default_rng(0)
    parts = [rng.normal(3, 2, size=(n, 1)) for n in (20, 30)]
    parts[0][4] = NAN
    units = FixedCodec("global", None, 0, 1).units_of(parts)
    everything = np.concatenate(parts)
    np.testing.assert_allclose(units.location, [np.nanmean(everything)])
    np.testing.assert_allclose(units.scale, [np.nanstd(everything)])
    for factor in (1e-200, 1e150):  # the square of neither fits into float64
        units = FixedCodec("global", None, 0, 1).units_of([everything * factor])
        np.testing.assert_allclose(units.scale, [np.nanstd(everything) * factor])
    assert FixedCodec("global", None, 0, 1).units_of([np.full((5, 1), 7.0)]).scale == 1


def test_make_codec():
    assert isinstance(make_codec("running", None, 0, 1), RunningCodec)
    assert {name: make_codec(name, None, 0, 1).causal for name in ("global", None)} == {
        "global": True,
        None: True,
    }
    assert not make_codec("whole_series", None, 0, 1).causal


@pytest.mark.parametrize("scaling", ["running", "global"])
@pytest.mark.parametrize("season", [0, 4, 12])
def test_numpy_encodes_as_tensorflow_does(scaling, season):
    """Training reads what the one makes, and forecasts what the other makes."""
    codec, rng = make_codec(scaling, None, season, 2), np.random.default_rng(0)
    window = 100 + rng.normal(size=(5, codec.lookback + 30, 2)).cumsum(axis=1)
    window[1] = 7.0
    count = np.array([2, 10, 40, 90, 200], "int32")
    arguments = window, count, window[:, 0], np.ones((5, 2))
    expected = codec.encode(*map(tf.constant, arguments))
    for one, other in zip(codec.encode(*arguments, numpy_library), expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-14, atol=0)
