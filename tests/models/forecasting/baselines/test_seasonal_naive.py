import numpy as np
import pytest

from kerazoo.models.forecasting import SeasonalNaive

NAN = np.nan


def test_by_hand():
    forecast = SeasonalNaive(3).forecast(5, np.arange(1.0, 8.0))
    np.testing.assert_array_equal(forecast[:, 0], [5, 6, 7, 5, 6])
    np.testing.assert_array_equal(SeasonalNaive().forecast(2, [3.0, 9.0])[:, 0], [9, 9])


def test_a_missing_value_is_taken_from_the_season_before():
    forecast = SeasonalNaive(3).forecast(3, [1.0, 2.0, 3.0, NAN, 5.0, NAN])
    np.testing.assert_array_equal(forecast[:, 0], [1, 5, 3])


@pytest.mark.parametrize(
    ("context", "expected"),
    [
        ([7.0], [7, 7, 7, 7, 7]),
        ([1.0, 2.0], [2, 2, 1, 2, 2]),  # the steps of the season at 3 and 4 were never seen
        ([NAN, 2.0, NAN, 4.0, NAN, NAN], [4, 4, 4, 2, 4]),
    ],
)
def test_a_step_of_the_season_never_observed_has_the_last_value(context, expected):
    forecast = SeasonalNaive(4).forecast(5, np.array(context))
    np.testing.assert_array_equal(forecast[:, 0], expected)


def test_several_series_and_features():
    forecasts = SeasonalNaive(2).forecast(2, [np.arange(8.0).reshape(4, 2), np.ones((3, 2))])
    np.testing.assert_array_equal(forecasts[0], [[4, 5], [6, 7]])
    np.testing.assert_array_equal(forecasts[1], np.ones((2, 2)))
    assert list(SeasonalNaive().forecast(1, {"a": [1.0, 2.0], "b": [3.0]})) == ["a", "b"]


@pytest.mark.parametrize("season_length", [1, 3, 7])
def test_from_many_origins_equals_forecasts_of_what_was_known(season_length):
    rng = np.random.default_rng(0)
    values = np.where(rng.random((40, 2)) < 0.3, NAN, rng.normal(size=(40, 2)))
    values[0] = 1.0
    naive, origins = SeasonalNaive(season_length), [1, 2, 9, 30, 40]
    (found,) = naive._forecast_origins([values], [origins], 9)
    for origin, forecast in zip(origins, found, strict=True):
        np.testing.assert_array_equal(forecast, naive.forecast(9, values[:origin]))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: SeasonalNaive(0), "`season_length`"),
        (lambda: SeasonalNaive(1).forecast(0, [1.0, 2.0]), "`horizon`"),
        (lambda: SeasonalNaive(1).forecast(1, [NAN, NAN]), "`context`"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()
