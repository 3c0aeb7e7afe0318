"""Chunks against each series encoded whole and alone."""

import itertools
import tracemalloc

import numpy as np
import pytest
from forecasting_cases import NAN, few_examples, several_features, waves
from hypothesis import given, settings
from hypothesis import strategies as st

from kerazoo.models.forecasting._chunks import Chunks
from kerazoo.models.forecasting.codec import Units, make_codec


def chunks_of(values, rows, steps, scaling="running", season=0, transform=None, **arguments):
    values = [np.asarray(one, "float64").reshape(len(one), -1) for one in values]
    codec = make_codec(scaling, transform, season, values[0].shape[1])
    if scaling == "running":
        filled = [codec.fill(one[first_observed(one) :]) for one in values]
        units = [codec.units(codec.transform.apply(one[:1])) for one in filled]
        units = [Units(*(part.reshape(-1) for part in one)) for one in units]
    else:
        units = [Units(np.full(one.shape[1], 5.0), np.full(one.shape[1], 2.0)) for one in values]
    return Chunks(codec, values, units, rows, steps, **arguments), values, units


def first_observed(values):
    return int(np.isfinite(values).any(axis=1).argmax())


def read(chunks):
    """All that an epoch of chunks holds, `(chunks, rows, ...)`."""
    epoch = chunks.dataset().take(chunks.num_chunks)
    inputs, y, weight = zip(*epoch.as_numpy_iterator(), strict=True)
    names = ("x", "reset", "scale")
    return {name: np.stack([one[name] for one in inputs]) for name in names} | {
        "y": np.stack(y),
        "weight": np.stack(weight),
    }


def by_row(found):
    """The chunks of each row one after the other, `(rows, time, ...)`."""
    rows = len(found["x"][0])
    names = ("x", "y", "scale", "weight")
    return {n: found[n].swapaxes(0, 1).reshape(rows, -1, found[n].shape[-1]) for n in names}


def whole(codec, values, units):
    """Inputs, targets and scales of one series, encoded at once and in its own units."""
    values = values[first_observed(values) :]
    filled = codec.fill(values)
    before = np.repeat(filled[:1], codec.outlook + codec.lookback, axis=0)
    window = codec.transform.apply(np.concatenate([before, filled]))[None]
    count = np.array([len(values)], "int32")
    encoded = codec.encode(codec.clean(window, count), count, *(u[None] for u in units))
    unit = codec.loss_unit(codec.transform.apply(values), units)
    first = codec.first
    target = codec.transform.apply(values)[1:]
    y = (target - np.asarray(encoded.anchor)[0, :-1]) / unit
    # The first value of a feature that begins later has nothing before it.
    begins = np.isfinite(values).argmax(axis=0)
    y[np.arange(1, len(values))[:, None] <= begins] = NAN
    scale = np.broadcast_to(np.asarray(encoded.scale)[0, :-1] / unit, y.shape)
    return np.asarray(encoded.inputs)[0, first:-1], y[first:], scale[first:]


CASES = [
    {},
    {"season": 5},
    {"season": 7, "transform": "log"},
    {"scaling": "global"},
    {"scaling": "global", "season": 4},
]


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize(("features", "case"), [(1, case) for case in CASES] + [(2, {"season": 5})])
def test_every_step_of_every_series_is_there_once(features, case, shuffle):
    series = several_features(waves([50, 33, 80, 21]), features)
    series[1][:4] = NAN
    series[2][[12, 13, 40]] = NAN
    series[3][-5:] = NAN
    if features > 1:
        series[0][:9, 1] = NAN
    # As many rows as series, so that none is cut, and none is wanted twice.
    chunks, values, units = chunks_of(series, 3, 11, shuffle=shuffle, **case)
    found = read(chunks)
    assert found["x"].shape[1:3] == found["y"].shape[1:3] == (3, 11)
    rows = by_row(found)
    starts = [(row, 11 * chunk) for chunk, row in zip(*np.nonzero(found["reset"]), strict=True)]
    factor = found["weight"].size / (len(series) * features)
    matched = []
    for one, unit in zip(values, units, strict=True):
        x, y, scale = whole(chunks._codec, one, unit)
        for start in starts:
            row, begin = start
            part = {name: rows[name][row, begin : begin + len(x)] for name in rows}
            if len(part["x"]) < len(x) or not np.allclose(part["x"], x, rtol=1e-9, atol=1e-9):
                continue
            matched.append(start)
            observed = np.isfinite(y)
            np.testing.assert_allclose(part["y"][observed], y[observed], rtol=1e-9, atol=1e-9)
            np.testing.assert_allclose(part["scale"], scale, rtol=1e-9)
            expected = np.where(observed, factor / np.maximum(observed.sum(axis=0), 1), 0)
            np.testing.assert_allclose(part["weight"], expected, rtol=1e-6)
            break
    assert sorted(matched) == sorted(set(matched))
    assert len(matched) == len(series) == len(starts)
    np.testing.assert_allclose(found["weight"].mean(), 1, rtol=1e-6)
    assert np.isfinite(found["x"]).all()
    assert np.isfinite(found["y"]).all()


@settings(few_examples, max_examples=40)
@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=6),
    st.integers(1, 7),
    st.integers(1, 20),
    st.booleans(),
    st.integers(0, 9),
)
def test_all_series_weigh_the_same(lengths, rows, steps, shuffle, seed):
    rng = np.random.default_rng(seed)
    series = waves([length + 1 for length in lengths], seed)
    for one in series:
        one[2:][rng.uniform(size=len(one) - 2) < 0.3] = NAN
    chunks, *_ = chunks_of(series, rows, steps, shuffle=shuffle)
    counts = [np.isfinite(one[1:]).sum() for one in series]
    assert chunks.num_targets == sum(counts)
    weight = np.stack([chunk["weight"] for chunk in chunks._read()])
    each = weight.size / len(series)
    expected = np.repeat([each / count for count in counts], counts)
    np.testing.assert_allclose(np.sort(weight[weight > 0]), np.sort(expected), rtol=1e-5)


def test_only_the_last_values_count():
    series = waves([50, 30, 9])  # the longest goes into the first row
    series[1][-2] = NAN
    chunks, values, units = chunks_of(series, 3, 16, last=4)
    found = read(chunks)
    assert chunks.num_targets == 4 + 4 + 3
    row = by_row(found)
    for i, length in enumerate([50, 30, 9]):
        (where,) = np.nonzero(row["weight"][i, :, 0])
        expected = np.arange(length - 5, length - 1)
        np.testing.assert_array_equal(where, np.delete(expected, 2) if i == 1 else expected)
    # What precedes them is read all the same, and sets the unit of the loss.
    x, _, _ = whole(chunks._codec, values[0], units[0])
    np.testing.assert_allclose(row["x"][0, :49], x, rtol=1e-9, atol=1e-9)
    known = series[0][:46]
    naive = np.abs(np.diff(known)).mean()
    expected = (series[0][46] - series[0][45]) / naive
    np.testing.assert_allclose(row["y"][0, 45, 0], expected, rtol=1e-9)


def test_what_is_held_out_changes_no_unit():
    series = waves([50])
    changed = series[0].copy()
    changed[-4:] *= 100
    before, after = (read(chunks_of([one], 1, 16, last=4)[0]) for one in (series[0], changed))
    np.testing.assert_array_equal(before["scale"].ravel()[:45], after["scale"].ravel()[:45])
    np.testing.assert_array_equal(before["y"].ravel()[:44], after["y"].ravel()[:44])


def test_large_offsets_lose_no_digits():
    near, far = (
        read(chunks_of(waves([60]), 1, 60)[0]),
        read(chunks_of([waves([60])[0] + 1e9], 1, 60)[0]),
    )
    np.testing.assert_allclose(near["x"], far["x"], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(near["y"], far["y"], rtol=1e-5, atol=1e-5)


def test_a_series_of_one_value_has_no_targets():
    chunks, *_ = chunks_of([np.ones(1), np.ones(1)], 2, 5)
    assert chunks.num_targets == 0
    chunks, *_ = chunks_of([np.ones(1), np.arange(3.0)], 2, 5)
    assert chunks.num_targets == 2
    assert np.count_nonzero(read(chunks)["weight"]) == 2


def peak_memory(series, length):
    """Bytes that some chunks of an epoch take, beside the values themselves."""
    one = np.random.default_rng(0).normal(size=(length, 1))
    units = [Units(np.ones(1), np.ones(1))] * series
    values = [one] * series  # views, as of a user's own arrays
    tracemalloc.start()
    chunks = Chunks(make_codec("running", None, 12, 1), values, units, 32, 48, shuffle=True)
    for _ in itertools.islice(chunks._read(), 5):
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_memory_beyond_the_data_is_of_a_few_chunks():
    small = peak_memory(300, 120)
    assert small < 2e6
    # Ten times as many cost some numbers each, and ten times as long ones nothing.
    assert peak_memory(3000, 120) - small < 2700 * 600
    assert peak_memory(300, 1200) < 1.2 * small
