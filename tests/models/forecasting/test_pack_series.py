import itertools

import numpy as np
import pytest
from forecasting_cases import NAN, few_examples
from hypothesis import given, settings
from hypothesis import strategies as st

from kerazoo.models import PackedSeries, pack_series


def unequal(lengths, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=length) for length in lengths]


def pairs_in_order(packed):
    """What each row shows, read chunk by chunk: one list of (input, target) pairs a series."""
    found = []
    for row in range(packed.x.shape[1]):
        for chunk in range(packed.x.shape[0]):
            if packed.reset[chunk, row]:
                found.append([])
            for x, y, w in zip(
                packed.x[chunk, row], packed.y[chunk, row], packed.weight[chunk, row], strict=True
            ):
                if w[0]:
                    found[-1].append((x[0], y[0]))
    return sorted(found, key=len)


def pairs_of(series):
    return list(itertools.pairwise(series))


def test_every_series_is_shown_whole_in_order_and_once():
    series = unequal([48, 331, 100, 77, 60, 200, 150])
    packed = pack_series(series, batch_size=3, bptt_steps=20)
    assert packed.x.shape == packed.y.shape == packed.weight.shape
    assert packed.x.shape[1:] == (3, 20, 1)
    assert packed.reset.shape == packed.x.shape[:2]
    assert isinstance(packed, PackedSeries)
    expected = sorted((pairs_of(one) for one in series), key=len)
    assert pairs_in_order(packed) == expected


def test_rows_are_filled_evenly():
    lengths = [48, 331, 100, 77, 60, 200, 150]
    packed = pack_series(unequal(lengths), batch_size=3, bptt_steps=20)
    # 52 chunks of work in 3 rows: nothing fits into fewer than 18.
    chunks = sum(-(-(length - 1) // 20) for length in lengths)
    assert len(packed.x) == -(-chunks // 3)


def test_more_rows_than_series_cuts_into_contiguous_segments():
    series = np.arange(100.0)
    packed = pack_series(series, batch_size=4, bptt_steps=5)
    segments = pairs_in_order(packed)
    assert len(segments) == 4
    joined = sorted(pair for segment in segments for pair in segment)
    assert joined == pairs_of(series)
    for segment in segments:
        assert all(b[0] == a[1] for a, b in itertools.pairwise(segment))


def test_rows_with_nothing_to_do_stay_empty():
    packed = pack_series([1.0, 2.0, 3.0], batch_size=5, bptt_steps=4)
    assert packed.x.shape == (1, 5, 4, 1)
    assert packed.weight.sum() == 2
    assert packed.reset.all()


def test_missing_values_feed_the_last_observed_and_have_no_weight():
    nan = np.nan
    packed = pack_series([nan, 1.0, nan, nan, 4.0, 5.0], batch_size=1, bptt_steps=5)
    np.testing.assert_array_equal(packed.x.ravel(), [0, 1, 1, 1, 4])
    np.testing.assert_array_equal(packed.weight.ravel(), [1, 0, 0, 1, 1])
    np.testing.assert_array_equal(packed.y.ravel(), [1, 0, 0, 4, 5])


def test_a_segment_begins_with_the_last_value_observed_before_it():
    series = np.arange(1.0, 10.0)
    series[3:5] = np.nan
    packed = pack_series(series, batch_size=2, bptt_steps=4)
    np.testing.assert_array_equal(packed.x[0, 1, :, 0], [3, 6, 7, 8])


def test_features_have_weights_of_their_own():
    series = np.arange(8.0).reshape(4, 2)
    series[2, 1] = np.nan
    packed = pack_series(series, batch_size=1, bptt_steps=3)
    np.testing.assert_array_equal(packed.weight[0, 0], [[1, 1], [1, 0], [1, 1]])


@pytest.mark.parametrize(
    ("series", "dtype"),
    [
        (np.arange(5), "float64"),
        (np.arange(5, dtype="float32"), "float32"),
        ([np.arange(5, dtype="float32"), np.arange(5.0)], "float64"),
    ],
)
def test_dtypes(series, dtype):
    packed = pack_series(series, batch_size=1, bptt_steps=2)
    assert packed.x.dtype == packed.y.dtype == packed.weight.dtype == dtype


def test_large_offsets_lose_no_digits():
    packed = pack_series(1e9 + np.arange(20.0), 1, 19)
    np.testing.assert_array_equal(packed.y.ravel() - 1e9, np.arange(1.0, 20.0))
    packed = pack_series(2**40 + np.arange(20), 1, 19)
    np.testing.assert_array_equal(packed.x.ravel() - 2.0**40, np.arange(19.0))


@settings(few_examples, max_examples=60)
@given(
    st.lists(st.integers(2, 60), min_size=1, max_size=8),
    st.integers(1, 9),
    st.integers(1, 25),
    st.integers(0, 99),
)
def test_every_observed_value_is_a_target_once(lengths, rows, steps, seed):
    rng = np.random.default_rng(seed)
    series = unequal(lengths, seed)
    for one in series:
        one[rng.uniform(size=len(one)) < 0.2] = NAN
        one[:2] = 0.5, -0.5
    packed = pack_series(series, rows, steps)
    assert np.isfinite(packed.x).all()
    assert np.isfinite(packed.y).all()
    expected = np.concatenate([one[1:][np.isfinite(one[1:])] for one in series])
    np.testing.assert_array_equal(np.sort(packed.y[packed.weight == 1]), np.sort(expected))
    assert set(np.unique(packed.weight)) <= {0.0, 1.0}
    # A row that is not reset goes on where its last chunk ended.
    ends, begins = packed.y[:-1, :, -1, 0], packed.x[1:, :, 0, 0]
    goes_on = ~packed.reset[1:] & (packed.weight[:-1, :, -1, 0] == 1)
    busy = packed.weight[1:].any(axis=(2, 3))
    np.testing.assert_array_equal(ends[goes_on & busy], begins[goes_on & busy])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1.0, 2.0], 0, 5), "`batch_size`"),
        (([1.0, 2.0], 1, 2.5), "`bptt_steps`"),
        (([1.0, 2.0], True, 5), "`batch_size`"),
        (([], 1, 5), "`series`"),
        (([np.arange(3.0), np.ones((3, 2))], 1, 5), "same number of features"),
        (([np.arange(3.0), [1.0]], 1, 5), r"`series\[1\]` must hold at least 2 observed"),
    ],
)
def test_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        pack_series(*arguments)
