import datetime
import decimal

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from pandas.testing import assert_frame_equal, assert_index_equal, assert_series_equal

from kerazoo.models.forecasting._series_set import read_series, read_values

NAN = np.nan
NEXT = np.array([[7.0], [8.0], [9.0]])  # a forecast of three steps

FREQUENCIES = [
    *("MS", "ME", "BMS", "BME", "2MS", "QS", "QE", "YS", "YE", "YS-APR", "B", "D", "2D", "W-SUN"),
    *("2W-WED", "h", "3h", "36h", "15min", "7s", "10ms", "250us"),
    pd.DateOffset(months=1),
]


def dates(freq, periods=40, **kwargs):
    start = "2023-12-18 06:00" if isinstance(freq, str) else "2023-12-15"
    return pd.date_range(start, periods=periods, freq=freq, **kwargs)


def without_freq(index):
    index = index.copy()
    index.freq = None
    return index


def future(series, steps=NEXT, **kwargs):
    found = read_series(series, **kwargs)
    return found.future([steps] * len(found.values))


# Numbers


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(5,), (5, 2)])
@pytest.mark.parametrize("kind", [np.array, pd.Series, pd.DataFrame])
def test_floats_stay_what_they_are_and_are_not_copied(kind, shape, dtype):
    if kind is pd.Series and len(shape) == 2:
        pytest.skip("a Series has one column")
    series = kind(np.arange(np.prod(shape)).reshape(shape).astype(dtype))
    found = read_series(series)
    (values,) = found.values
    assert values.dtype == dtype
    assert values.shape == (5, np.size(series) // 5)
    assert np.shares_memory(values, series.to_numpy() if kind is not np.array else series)
    assert found.single
    assert found.names == ["series"]


@pytest.mark.parametrize(
    "series",
    [
        [1, None, 3],
        (1.0, NAN, 3.0),
        np.array([1, NAN, 3], ">f8"),
        np.array([1, NAN, 3], "float16"),
        np.array([1, None, decimal.Decimal(3)], object),
        np.array([np.int8(1), pd.NA, 3.0], object),
        np.ma.masked_array([1, 2**60 + 1, 3], [False, True, False]),
        np.ma.masked_array([1.0, np.inf, 3.0], [False, True, False]),
        np.ma.masked_array(np.array([1, "two", 3], object), [False, True, False]),
        pd.Series([1, None, 3], dtype="Int64"),
        pd.Series([1, None, 3], dtype="Float64"),
        pd.Series([1, None, 3], dtype="uint8[pyarrow]"),
        pd.Series([1, None, 3], dtype=object),
        pd.Series([1, NAN, 3], dtype="Sparse[float]"),
        pd.array([1, None, 3], dtype="Int64"),
        pd.DataFrame({"y": pd.array([1, None, 3], dtype="Float64")}),
    ],
)
def test_other_numbers_become_float64(series):
    (values,) = read_series(series).values
    assert values.dtype == np.float64
    assert_array_equal(values, [[1.0], [NAN], [3.0]])
    assert_array_equal(read_values(series, "y"), values)


def test_masked_and_nullable_float32_stay_float32():
    masked = np.ma.masked_array(np.ones(3, "float32"), [True, False, False])
    assert_array_equal(read_series(masked).values[0], np.float32([[NAN], [1], [1]]), strict=True)
    nullable = pd.Series([None, 1, 1], dtype="Float32")
    assert_array_equal(read_series(nullable).values[0], np.float32([[NAN], [1], [1]]), strict=True)


def test_columns_of_several_dtypes():
    frame = pd.DataFrame({"a": [1, 2], "b": pd.array([None, 3], "Int64"), "c": [0.5, 1.5]})
    assert_array_equal(read_series(frame).values[0], [[1, NAN, 0.5], [2, 3, 1.5]])


def test_read_only_arrays():
    series = np.arange(4.0)
    series.flags.writeable = False
    assert_array_equal(read_series([series, series]).values[1][:, 0], series)
    values = read_values(series, "y")
    values[0] = 1  # `read_values` gives an array of its own
    assert series[0] == 0


@pytest.mark.parametrize(
    ("series", "received"),
    [
        (["1", "2"], "dtype <U1"),
        (np.array([1, "a"], object), r"'a' \(str\) at time 1"),
        (np.array([1, True], object), r"True \(bool\) at time 1"),
        ([1, True], "a boolean"),
        (np.array([True, False]), "dtype bool"),
        (pd.Series([True, None], dtype="boolean"), "dtype boolean"),
        (pd.Series(["a", "b"]), "dtype str"),
        (pd.Series(["a", "b"], dtype="category"), "dtype category"),
        (np.array([1j, 2]), "dtype complex128"),
        (np.array(["2020-01", "2020-02"], "M8[D]"), r"dtype datetime64\[D\]"),
        (pd.Series(pd.date_range("2020", periods=2)), r"dtype datetime64"),
        ([1.0, datetime.date(2020, 1, 1)], r"\(date\) at time 1"),
        ([1.0, pd.NaT], r"\(NaTType\) at time 1"),
        ("data.csv", "dtype <U8"),
    ],
)
def test_what_is_no_number_is_refused(series, received):
    with pytest.raises(TypeError, match=rf"`series` must hold real numbers.*{received}"):
        read_series(series)
    with pytest.raises(TypeError, match=rf"`series\['a'\]` must hold real numbers.*{received}"):
        read_series({"a": series})


@pytest.mark.parametrize(
    "merged",
    [
        np.array([2**53, 2**53 + 1]),
        np.array([-(2**53) - 1, 0]),
        np.array([2**64 - 1, 0], "uint64"),
        [2**70 + 1, 0],
        np.ma.masked_array([2**53 + 1, 1], [False, True]),
        pd.Series([2**53 + 1, None], dtype="Int64"),
    ],
)
def test_integers_that_float64_would_merge(merged):
    with pytest.raises(ValueError, match=r"`series` must hold numbers that float64 can tell apart"):
        read_series(merged)
    exact = np.array([2**53, -(2**53), 2**60])
    assert_array_equal(read_series(exact).values[0][:, 0].astype("int64"), exact)


def test_infinite_values_are_named_by_their_time():
    series = pd.Series([1.0, NAN, -np.inf], pd.date_range("2020", periods=3, freq="MS"))
    with pytest.raises(ValueError, match=r"`series\['b'\]` must be finite.* at time 2020-03-01$"):
        read_series({"a": [1.0], "b": series})
    with pytest.raises(ValueError, match=r"`x` must be finite.* at time 2$"):
        read_series(series.to_numpy(), name="x")


def test_too_few_values_are_named():
    many = [np.ones(3)] * 2000
    many[1234] = np.array([1.0, NAN, NAN])
    assert len(read_series(many).values) == 2000
    with pytest.raises(ValueError, match=r"`series\[1234\]` must hold at least 2 observed.*\[1\]"):
        read_series(many, min_observed=2)
    for empty in (np.full(3, NAN), np.empty(0), np.empty((3, 0)), pd.Series([], dtype=float)):
        with pytest.raises(ValueError, match=r"`series\['Y12'\]` must hold at least 1 observed"):
            read_series({"Y1": [1.0], "Y12": empty})


# Containers


def test_arrays_give_arrays():
    found = read_series([np.arange(3.0), [4.0, 5.0]])
    assert found.names == ["series[0]", "series[1]"]
    assert not found.single
    assert found.times(0) is None
    assert found.columns is None
    assert [array.shape for array in found.values] == [(3, 1), (2, 1)]
    results = found.future([NEXT, NEXT[:2]])
    assert isinstance(results, list)
    assert results[0] is NEXT
    assert len(results[1]) == 2
    assert found.aligned(found.values)[0] is found.values[0]
    single = read_series(np.ones((4, 2)))
    assert single.future([np.ones((3, 2))]).shape == (3, 2)
    assert single.single


def test_dicts_give_dicts():
    index = pd.period_range("2020", periods=3, freq="Q")
    found = read_series(
        {np.str_("a"): [1.0, 2.0], np.int64(7): pd.Series([1.0, 2.0, 3.0], index, name="sales")}
    )
    assert found.names == ["series['a']", "series[7]"]
    result = found.future([NEXT, NEXT])
    assert list(result) == ["a", 7]
    assert result["a"] is NEXT
    after = pd.period_range("2020Q4", periods=3, freq="Q")
    assert_series_equal(result[7], pd.Series([7.0, 8.0, 9.0], after, name="sales"))
    assert_series_equal(found.aligned(found.values)[7], pd.Series([1.0, 2, 3], index, name="sales"))


def test_a_nested_list_is_a_list_of_series():
    assert [len(v) for v in read_series([[1.0, 2.0], (3.0, 4.0, 5.0)]).values] == [2, 3]
    assert len(read_series([1, 2, np.float64(3), np.array(4.0)]).values) == 1


@pytest.mark.parametrize(
    "make",
    [
        lambda: (np.ones(3) for _ in range(2)),
        lambda: {1.0, 2.0},
        lambda: np.array([np.ones(2), np.ones(3)], object),
        lambda: pd.Series([1.0, 2.0]).groupby([0, 1]),
        lambda: pd.DataFrame({"unique_id": [1, 2], "y": [1.0, 2.0]}).groupby("unique_id"),
        lambda: [[np.ones(2), np.ones(3)]],
        lambda: [[1.0], {"a": [1.0]}],
        lambda: {"a": {"b": [1.0]}},
        lambda: object(),
        lambda: __import__("tensorflow").data.Dataset.from_tensor_slices(np.ones(3)),
    ],
)
def test_what_is_no_series_says_how_to_pass_several(make):
    with pytest.raises(TypeError, match=r"`series.*; several series go in a list or a dict"):
        read_series(make())


@pytest.mark.parametrize(
    ("series", "message"),
    [
        ([], "`series` must hold at least one series"),
        ({}, "`series` must hold at least one series"),
        (3.0, r"`series` must have shape \(time,\) or \(time, features\)"),
        ([1.0, np.ones(3)], r"`series\[0\]` must have shape .* of shape \(\)"),
        (np.ones((2, 3, 1)), r"must have shape .*several series go in a list or a dict"),
        ([np.ones(3), np.ones((3, 2))], "must have the same number of features.*\\[1, 2\\]"),
    ],
)
def test_shapes_that_are_refused(series, message):
    with pytest.raises(ValueError, match=message):
        read_series(series)


def test_the_number_of_features_is_checked():
    with pytest.raises(ValueError, match=r"`x\[1\]` must have 1 feature.* of shape \(4, 2\)"):
        read_series([np.ones(3), np.ones((4, 2))], 1, "x")


# Times


@pytest.mark.parametrize("unit", ["s", "us", "ns"])
@pytest.mark.parametrize("freq", FREQUENCIES)
def test_dates_are_told_from_the_dates_alone(freq, unit):
    index = dates(freq)
    if unit == "s" and freq in ("10ms", "250us"):
        pytest.skip("shorter than a second")
    index = index.as_unit(unit).rename("when")
    series = pd.Series(np.arange(37.0), without_freq(index[:37]), name="load")
    assert series.index.freq is None
    result = future(series)
    assert_series_equal(
        result, pd.Series([7.0, 8.0, 9.0], index[37:], name="load"), check_freq=False
    )


@pytest.mark.parametrize("tz", [None, "Europe/Berlin"])
@pytest.mark.parametrize("freq", FREQUENCIES)
def test_gaps_become_missing_values(freq, tz):
    index = dates(freq, tz=tz)[:37]
    full = pd.Series(np.arange(37.0), index)
    rows = np.sort(np.random.default_rng(0).permutation(37)[:25])
    rows[:2] = 0, 1  # one pair of neighbours at least
    some = full.iloc[rows].set_axis(without_freq(index[rows]))
    found = read_series(some)
    expected = some.reindex(index[: rows[-1] + 1])  # pandas' own way to fill gaps
    assert_array_equal(found.values[0][:, 0], expected)
    assert_index_equal(found.times(0), expected.index, check_freq=False)
    assert_series_equal(found.aligned(found.values), some)
    after = dates(freq, tz=tz)[rows[-1] + 1 :][:3]
    assert_index_equal(found.future([NEXT[: len(after)]]).index, without_freq(after))


@pytest.mark.parametrize("freq", ["MS", "W-SUN", "2h", "C", "SME", "bh", "WOM-3FRI"])
def test_a_known_frequency_is_kept(freq):
    index = pd.date_range("2020-01-01", periods=13, freq=freq)
    result = future(pd.Series(np.arange(10.0), index[:10]))
    assert_index_equal(result.index, index[10:])
    assert result.index.freq == index.freq
    one = pd.Series([1.0], index[:1])
    assert_index_equal(future(one).index, index[1:4])


@pytest.mark.parametrize("freq", ["M", "Q", "Y-MAR", "W-TUE", "D", "h", "2M", "15min"])
def test_periods(freq):
    index = pd.period_range("2020-01-01", periods=23, freq=freq, name="when")
    full = pd.Series(np.arange(20.0), index[:20])
    some = full.drop(index[[3, 4, 11]])
    found = read_series(some)
    assert_array_equal(found.values[0][:, 0], some.reindex(index[:20]))
    assert_index_equal(found.times(0), index[:20])
    assert_index_equal(found.future([NEXT]).index, index[20:])
    assert_index_equal(future(full[:1]).index, index[1:4])


@pytest.mark.parametrize("dtype", ["int64", "int8", "uint16", "float64", "Int64", "int32[pyarrow]"])
def test_whole_numbers_are_times(dtype):
    index = pd.Index([10, 15, 25, 30], dtype=dtype, name="year")
    series = pd.Series([1.0, 2.0, 4.0, 5.0], index)
    found = read_series(series)
    assert_array_equal(found.values[0][:, 0], [1, 2, NAN, 4, 5])
    assert found.future([NEXT]).index.tolist() == [35, 40, 45]
    if "pyarrow" not in dtype:
        assert found.future([NEXT]).index.dtype == dtype
        assert_series_equal(found.aligned(found.values), series)
    assert found.position(0, 25) == 4 == len(found.times(0)[found.times(0) <= 25])


def test_small_integers_grow():
    assert future(pd.Series([1.0, 2.0], pd.Index([120, 125], dtype="int8"))).index.tolist() == [
        *(130, 135, 140)
    ]


def test_a_range_counts_rows():
    assert future(pd.Series([1.0, 2.0])).index.equals(pd.RangeIndex(2, 5))
    later = pd.Series(np.arange(9.0))[4:]
    assert_index_equal(future(later).index, pd.RangeIndex(9, 12), exact=True)
    assert_index_equal(future(later[:1]).index, pd.RangeIndex(5, 8), exact=True)
    with pytest.raises(ValueError, match=r"`series` must be sorted by time\. Received: 7 after 8"):
        read_series(later[::-1])


def test_hours_when_the_clocks_change():
    index = pd.date_range("2024-10-26 20:00", periods=12, freq="h", tz="Europe/Berlin")
    assert index.tz_localize(None).duplicated().any()
    some = pd.Series(np.arange(9.0), index[:9]).drop(index[[4]])
    found = read_series(some)
    assert_array_equal(found.values[0][:, 0], [0, 1, 2, 3, NAN, 5, 6, 7, 8])
    assert_index_equal(found.future([NEXT]).index, without_freq(index[9:]))
    with pytest.raises(
        ValueError, match=r"must have each time once .*`tz_localize`.*2024-10-27 02:00:00 twice"
    ):
        read_series(pd.Series(np.arange(9.0), index[:9].tz_localize(None)))


def test_days_when_the_clocks_change():
    local = pd.date_range("2024-03-28", periods=8, freq="D", tz="Europe/Berlin")
    series = pd.Series(np.arange(5.0), without_freq(local[:5]))
    assert_index_equal(future(series).index, without_freq(local[5:]))
    # Days of universal time are 24 hours in Berlin, too.
    universal = pd.date_range("2024-03-28", periods=8, freq="D", tz="UTC").tz_convert(local.tz)
    series = pd.Series(np.arange(5.0), without_freq(universal[:5]))
    assert_index_equal(future(series).index, universal[5:], check_freq=False)


def test_a_local_time_that_the_clocks_leave_out_or_show_twice():
    index = pd.date_range("2024-03-26 02:30", periods=3, freq="D", tz="Europe/Berlin")
    result = future(pd.Series(np.arange(3.0), index))
    assert list(result.index.strftime("%d %H:%M")) == ["29 02:30", "30 02:30", "31 03:00"]
    index = pd.date_range("2024-10-22 02:30", periods=3, freq="D", tz="Europe/Berlin")
    result = future(pd.Series(np.arange(3.0), index))
    assert list(result.index.strftime("%d %H:%M %z"))[1:] == ["26 02:30 +0200", "27 02:30 +0100"]


@pytest.mark.parametrize(
    ("index", "message"),
    [
        (
            pd.to_datetime(["2020-01-01", "2020-02-01", "2020-02-01"]),
            "each time once.*2020-02-01 t",
        ),
        (pd.to_datetime(["2020-02-01", "2020-01-01", "2020-03-01"]), "sorted.*2020-01-01 after 20"),
        (
            pd.DatetimeIndex(map(pd.Timestamp, ["2020-01-01", "2020-01-02", "2020-01-03 05:00"])),
            "regular.*01-03 05:00",
        ),
        (pd.to_datetime(["2020-01-01", "2020-03-01", "2020-06-01"]), "regular.*2020-06-01 after 2"),
        (pd.to_datetime(["2020-01-01", "2020-01-02", "2200-01-03"]), "most of its.*2200-01-03"),
        (pd.to_datetime(["2020-01-01", None, "2020-03-01"]), "none of them missing.*NaT.*row 1"),
        (pd.date_range("2020", periods=3, freq="MS")[::-1], "sorted.*2020-02-01 after 2020-03-01"),
        (pd.PeriodIndex(["2020-01", "2020-01", "2020-02"], freq="M"), "each time once.*2020-01 tw"),
        (pd.PeriodIndex(["2020-02", "2020-01", "2020-03"], freq="M"), "sorted.*2020-01 after"),
        (pd.Index([2000, 2002, 2005]), "regular.*2005 after 2002"),
        (pd.Index([2000, 2000, 2005]), "each time once.*2000 twice"),
        (pd.Index([2, 1, 0], dtype="uint8"), "sorted.*1 after 2"),
        (pd.Index([0.0, 0.5, 1.0]), "whole numbers.*0.5 as the time of row 1"),
    ],
)
def test_times_that_are_refused(index, message):
    series = pd.Series([1.0, 2.0, 3.0], index)
    with pytest.raises(ValueError, match=rf"`series` must .*{message}"):
        read_series(series)
    with pytest.raises(ValueError, match=rf"`series\['b'\]` must .*{message}"):
        read_series({"a": [1.0], "b": series})
    frame = pd.DataFrame({"unique_id": "b", "ds": index, "y": series.to_numpy()})
    with pytest.raises(ValueError, match=rf"`series\['b'\]` must .*{message}"):
        read_series(frame)


@pytest.mark.parametrize(
    ("index", "message"),
    [
        (["2020-01", "2020-02"], "`pd.to_datetime`"),
        ([datetime.date(2020, 1, 1), datetime.date(2020, 2, 1)], "`pd.to_datetime`"),
        ([True, False], "bool"),
        (pd.MultiIndex.from_product([["a"], [1, 2]], names=["unique_id", "ds"]), "`reset_index`"),
    ],
)
def test_an_index_of_no_times(index, message):
    with pytest.raises(TypeError, match=f"`series` must have dates, periods or whole.*{message}"):
        read_series(pd.Series([1.0, 2.0], index))


def test_one_value_tells_no_step():
    one = pd.Series([1.0], pd.to_datetime(["2020-05-01"]))
    found = read_series(one)
    assert_array_equal(found.values[0], [[1.0]])
    assert_series_equal(found.aligned(found.values), one)
    with pytest.raises(ValueError, match=r"`series` must have two times or more.*2020-05-01"):
        found.future([NEXT])
    others = pd.Series(np.arange(9.0), without_freq(dates("MS", 9)))
    result = future({"others": others, "one": one})["one"]
    assert_index_equal(result.index, pd.to_datetime(["2020-06-01", "2020-07-01", "2020-08-01"]))
    years = {"one": pd.Series([1.0], [1990]), "others": pd.Series([1.0, 2, 3], [1980, 1985, 1990])}
    assert future(years)["one"].index.tolist() == [1995, 2000, 2005]


def test_short_series_take_the_step_of_the_others():
    def series(*days):
        return pd.Series(np.ones(len(days)), pd.to_datetime([f"2024-07-{d:02d}" for d in days]))

    business = series(1, 2, 3, 4, 5, 8, 9)
    found = read_series([business, series(2, 3, 4), series(3, 5), series(1, 4, 8), series(5, 6)])
    assert [len(values) for values in found.values] == [7, 3, 3, 6, 2]
    after = [list(one.index.day) for one in found.future([NEXT] * 5)]
    assert after == [[10, 11, 12], [5, 8, 9], [8, 9, 10], [9, 10, 11], [7, 8, 9]]
    # Months do not make a quarterly series one with gaps.
    quarters = pd.Series(np.ones(4), without_freq(dates("QS", 4)))
    months = pd.Series(np.ones(40), without_freq(dates("MS")))
    assert len(read_series([months, months, quarters]).values[2]) == 4
    numbers = [pd.Series(np.ones(len(i)), i) for i in ([1, 2, 3], [1, 3], [1, 3, 6], [1, 3, 5])]
    assert [len(values) for values in read_series(numbers).values] == [3, 3, 6, 3]


@pytest.mark.parametrize(
    "when", ["2023-05", "2023-05-17", pd.Timestamp("2023-05-01"), "2022", "2030-01-01", "2020"]
)
@pytest.mark.parametrize("tz", [None, "Europe/Berlin"])
def test_position_is_that_of_pandas(when, tz):
    index = pd.date_range("2022-01", periods=40, freq="MS", tz=tz)
    if tz and isinstance(when, pd.Timestamp):
        when = when.tz_localize(tz)
    series = pd.Series(np.arange(40.0), index)
    assert read_series(series).position(0, when) == len(series.loc[:when])
    some = series.drop(index[3])
    assert read_series(some).position(0, when) == len(series.loc[:when])


def test_positions_of_other_kinds():
    months = pd.date_range("2022-01", periods=40, freq="MS")
    for index in (months, months.to_period(), months.tz_localize("Europe/Berlin")):
        found = read_series(pd.Series(np.arange(40.0), index))
        assert found.position(0, pd.Period("2022-03", "M")) == 3
        assert found.position(0, 12) == found.position(0, np.int64(12)) == 12
        if getattr(index, "tz", None) is None:
            assert found.position(0, datetime.date(2022, 3, 1)) == 3
            assert found.position(0, np.datetime64("2022-03-01")) == 3
        for wrong in ("garbage", 3.5, True, None, pd.NaT, [1], pd.Timestamp("2022", tz="UTC")):
            if isinstance(wrong, pd.Timestamp) and not hasattr(index, "tz"):
                continue
            if isinstance(wrong, pd.Timestamp) and index.tz is not None:
                continue
            with pytest.raises(ValueError, match="`start` must be a time as the series has them"):
                found.position(0, wrong, "start")
    found = read_series([np.ones(3), pd.Series(np.ones(3))])
    assert found.position(0, 2) == found.position(1, 2) == 2
    with pytest.raises(ValueError, match=r"`start` must be an integer, as `series\[0\]` has no t"):
        found.position(0, "2020", "start")


# Frames


def frame(**columns):
    return pd.DataFrame(columns, pd.date_range("2020", periods=3, freq="MS", name="when"))


AFTER = pd.date_range("2020-04", periods=3, freq="MS", name="when")


def test_a_frame_of_features_is_matched_by_name():
    data = frame(load=[1.0, 2, 3], temp=[4.0, 5, 6])
    found = read_series(data, 2)
    assert found.columns == ("load", "temp")
    assert found.single
    permuted = read_series(data[["temp", "load"]], 2, columns=found.columns)
    assert_array_equal(permuted.values[0], found.values[0])
    result = permuted.future([np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])])
    assert_frame_equal(result, pd.DataFrame({"temp": [2.0, 4, 6], "load": [1.0, 3, 5]}, AFTER))
    assert_frame_equal(permuted.aligned(permuted.values), data[["temp", "load"]])
    with pytest.raises(ValueError, match=r"missing \['temp'\], unknown \['tmp'\]"):
        read_series(data.rename(columns={"temp": "tmp"}), 2, columns=("load", "temp"))
    several = read_series([data, data[["temp", "load"]]])  # the first gives the names
    assert_array_equal(several.values[0], several.values[1])
    assert_array_equal(read_series(data.to_numpy(), 2, columns=("temp", "load")).values[0], data)
    assert read_series(pd.DataFrame(np.ones((3, 2)))).columns is None


def test_a_frame_of_one_column_is_one_series():
    data = frame(load=[1.0, 2, 3])
    for num_features in (None, 1):
        assert_frame_equal(
            future(data, num_features=num_features), frame(load=[7.0, 8, 9]).set_axis(AFTER)
        )


def test_a_wide_frame_has_a_column_a_series():
    data = frame(a=[1.0, 2, 3], b=[NAN, 2, 3])
    found = read_series(data, num_features=1)
    assert found.names == ["series['a']", "series['b']"]
    assert found.columns is None
    assert [len(values) for values in found.values] == [3, 2]
    assert np.shares_memory(found.values[1], data.to_numpy())
    expected = pd.DataFrame({"a": NEXT[:, 0], "b": NEXT[:, 0]}, AFTER)
    assert_frame_equal(found.future([NEXT, NEXT]), expected)
    assert_frame_equal(found.aligned(found.values), data)
    assert len(read_series(data).values) == len(read_series(data, 2).values) == 1
    assert found.times(1).tolist() == data.index[1:].tolist()


def test_a_wide_frame_whose_series_end_at_different_times():
    data = frame(a=[1.0, NAN, 3], b=[NAN, 2, NAN])
    found = read_series(data, num_features=1)
    result = found.future([NEXT, NEXT])
    assert_series_equal(result["a"], pd.Series(NEXT[:, 0], AFTER, name="a"))
    assert_series_equal(result["b"], pd.Series(NEXT[:, 0], AFTER.shift(-1), name="b"))
    assert_frame_equal(found.aligned(found.values), data)


def test_a_wide_frame_with_gaps():
    data = frame(a=[1.0, 2, 3], b=[NAN, 2, 3]).set_axis(
        pd.to_datetime(["2020-01", "2020-02", "2020-05"])
    )
    found = read_series(data, num_features=1)
    assert_array_equal(found.values[1][:, 0], [2, NAN, NAN, 3])
    assert_frame_equal(found.aligned(found.values), data)


@pytest.mark.parametrize("shuffled", [False, True])
def test_a_long_frame(shuffled):
    data = pd.DataFrame(
        {
            "y": np.arange(6.0),
            "ds": pd.to_datetime([f"2020-0{m}-01" for m in (1, 2, 3, 4, 5, 7)]),
            "unique_id": pd.Categorical(["x", "x", "x", "a", "a", "a"], categories=["a", "x", "z"]),
        },
        index=list("pqrstu"),
    )
    if shuffled:
        data = data.iloc[[3, 0, 1, 4, 2, 5]]
    found = read_series(data, num_features=1)
    names = ["series['a']", "series['x']"] if shuffled else ["series['x']", "series['a']"]
    assert found.names == names
    assert not found.single
    by_name = dict(zip(found.names, found.values, strict=True))
    assert_array_equal(by_name["series['a']"][:, 0], [3, 4, NAN, 5])
    assert_frame_equal(found.aligned(found.values), data)
    result = found.future([NEXT, NEXT + 10])
    after = {"x": ["2020-04", "2020-05", "2020-06"], "a": ["2020-08", "2020-09", "2020-10"]}
    first, second = (name[8] for name in names)
    expected = pd.DataFrame(
        {
            "y": [7.0, 8, 9, 17, 18, 19],
            "ds": pd.to_datetime(after[first] + after[second]).as_unit(data["ds"].dt.unit),
            "unique_id": pd.Categorical([first] * 3 + [second] * 3, categories=["a", "x", "z"]),
        }
    )
    assert_frame_equal(result, expected)


def test_a_long_frame_of_features():
    data = pd.DataFrame(
        {
            "temp": [1.0, 2, 3, 4],
            "unique_id": [1, 1, 2, 2],
            "ds": [5, 6, 6, 7],
            "load": [5, 6, 7, 8],
        }
    )
    found = read_series(data, 2, columns=("load", "temp"))
    assert_array_equal(found.values[1], [[7.0, 3.0], [8.0, 4.0]])
    assert_frame_equal(found.aligned(found.values), data.astype({"load": float}))
    result = found.future([np.array([[10.0, 20.0]])] * 2)
    expected = {"temp": [20.0, 20], "unique_id": [1, 2], "ds": [7, 8], "load": [10.0, 10]}
    assert_frame_equal(result, pd.DataFrame(expected))


@pytest.mark.parametrize("dtype", ["Int64", "period[M]", "datetime64[ns, Europe/Berlin]", "int16"])
def test_the_dtype_of_dates_stays(dtype):
    times = [1, 2, 3] if "nt" in dtype else pd.date_range("2020", periods=3, freq="MS")
    if "Berlin" in dtype:
        times = times.tz_localize("Europe/Berlin")
    elif "period" in dtype:
        times = times.to_period("M")
    data = pd.DataFrame({"ds": pd.Series(times).astype(dtype), "y": [1.0, 2, 3]})
    result = future(data)
    assert result["ds"].dtype == dtype
    assert list(result) == ["ds", "y"]
    assert_frame_equal(read_series(data).aligned([NEXT]), data.assign(y=NEXT))
    assert future(data.assign(unique_id=4))["unique_id"].tolist() == [4, 4, 4]


DATED = {"ds": [1, 2, 3], "y": [1.0, 2, 3]}


@pytest.mark.parametrize(
    ("data", "num_features", "message"),
    [
        (frame(a=[1.0, 2, 3]).reset_index(), 2, "'when'"),
        (frame(a=[1.0, 2, 3]).reset_index(), 1, "'when'"),
        (frame(a=[1.0, 2, 3], b=["x", "y", "z"]), None, r"`series\['b'\]`"),
        (frame(a=[1.0, 2, 3], b=["x", "y", "z"]), 1, r"`series\['b'\]`"),
        (frame(a=[1.0, 2, 3], b=[True, False, True]), 2, r"`series\['b'\]`"),
        (frame(a=[1.0, 2, 3], b=[1.0, 2, 3]), 3, r"3 column.*\['a', 'b'\]"),
        (frame(a=[1.0, 2, 3], b=[NAN, NAN, NAN]), 1, r"`series\['b'\]` must hold at least 1 obs"),
        (
            frame(a=[1.0, np.inf, 3], b=[1.0, 2, 3]),
            1,
            r"`series\['a'\]` must be finite.*2020-02-01",
        ),
        (frame(a=[1.0, 2, 3]).iloc[:0], 1, "must hold values"),
        (frame(), None, "must hold values"),
        (pd.DataFrame(np.ones((2, 2)), columns=["a", "a"]), 2, "each column once.*'a' twice"),
        (pd.DataFrame({"unique_id": [1, 1], "y": [1.0, 2]}), 1, "a column `ds`"),
        (pd.DataFrame({"ds": [1, 2]}), None, "must hold at least 1 observed"),
        (pd.DataFrame({**DATED, "price": [1.0, 2, 3]}), 1, r"1 column.*\['y', 'price'\]"),
        (
            pd.DataFrame({**DATED, "unique_id": ["a", None, "a"]}),
            1,
            "`unique_id` in each row.*row 1",
        ),
        (pd.DataFrame(DATED, index=pd.Index(["a"] * 3, name="unique_id")), 1, "`reset_index"),
        ([pd.DataFrame({**DATED, "unique_id": "a"})], 1, r"`series\[0\]` must be one series"),
        ([frame(a=[1.0, 2, 3], b=[1.0, 2, 3])], 1, r"`series\[0\]` must have 1 column"),
    ],
)
def test_frames_that_are_refused(data, num_features, message):
    with pytest.raises((TypeError, ValueError), match=message):
        read_series(data, num_features)


def test_an_empty_long_frame():
    with pytest.raises(ValueError, match="must hold values"):
        read_series(pd.DataFrame({"unique_id": [], "ds": [], "y": []}))


def test_a_long_frame_is_not_copied():
    n = 300_000  # a loop over its rows would show
    data = pd.DataFrame(
        {"unique_id": np.repeat(np.arange(300), 1000), "ds": np.tile(np.arange(1000), 300)}
    )
    data["y"] = np.arange(float(n))
    found = read_series(data, 1)
    assert len(found.values) == 300
    assert np.shares_memory(found.values[200], data["y"].to_numpy())


def test_ids_are_what_the_user_calls_several_series():
    wide = pd.DataFrame({"x": [1.0, 2.0], "y": [3.0, 4.0]})
    long = pd.DataFrame({"unique_id": [2, 1, 2], "ds": [1, 1, 2], "y": [5.0, 6.0, 7.0]})
    assert read_series(wide, 1).ids == ["x", "y"]
    assert read_series(long).ids == [2, 1]
    assert read_series({"a": [1.0], 3: [2.0]}).ids == ["a", 3]
    for one in ([1.0, 2.0], [[1.0], [2.0]], wide["x"], long.drop(columns="unique_id").iloc[:1]):
        assert read_series(one).ids is None
