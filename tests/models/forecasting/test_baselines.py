"""The baselines against values computed by hand and against statsmodels."""

import numpy as np
import pytest
from statsmodels.tsa.ar_model import AutoReg

from kerazoo.models.forecasting import LinearAutoregression, SeasonalNaive


def test_seasonal_naive_by_hand():
    forecast = SeasonalNaive(3).forecast(5, np.arange(1.0, 8.0))
    np.testing.assert_array_equal(forecast[:, 0], [5, 6, 7, 5, 6])
    np.testing.assert_array_equal(SeasonalNaive().forecast(2, [3.0, 9.0])[:, 0], [9, 9])


def test_seasonal_naive_takes_a_missing_value_from_the_season_before():
    nan = np.nan
    forecast = SeasonalNaive(3).forecast(3, [1.0, 2.0, 3.0, nan, 5.0, nan])
    np.testing.assert_array_equal(forecast[:, 0], [1, 5, 3])


def test_seasonal_naive_of_several_series_and_features():
    forecasts = SeasonalNaive(2).forecast(2, [np.arange(8.0).reshape(4, 2), np.ones((3, 2))])
    np.testing.assert_array_equal(forecasts[0], [[4, 5], [6, 7]])
    np.testing.assert_array_equal(forecasts[1], np.ones((2, 2)))


def test_linear_autoregression_equals_statsmodels():
    rng = np.random.default_rng(0)
    series = np.cumsum(rng.normal(size=120)) + 3
    ours = LinearAutoregression(lags=[1, 2, 7]).fit(series)
    theirs = AutoReg(series, lags=[1, 2, 7]).fit()
    np.testing.assert_allclose(ours.coefficients[:, 0], theirs.params, rtol=1e-7)
    np.testing.assert_allclose(ours.forecast(30, series)[:, 0], theirs.forecast(30), rtol=1e-7)


def test_linear_autoregression_after_a_transform():
    growth = 100 * 1.1 ** np.arange(20.0)
    model = LinearAutoregression(1, transform="log").fit(growth)
    np.testing.assert_allclose(
        model.forecast(5, growth)[:, 0], 100 * 1.1 ** np.arange(20.0, 25.0), rtol=1e-8
    )


def test_linear_autoregression_leaves_out_what_is_missing():
    sine = np.sin(0.3 * np.arange(60))
    gaps = sine.copy()
    gaps[[10, 25]] = np.nan
    model = LinearAutoregression(2).fit([gaps, sine[:30]])
    np.testing.assert_allclose(model.coefficients[:, 0], [0, 2 * np.cos(0.3), -1], atol=1e-10)


def test_linear_autoregression_gives_each_feature_its_own_coefficients():
    t = np.arange(60)
    both = np.stack([np.sin(0.3 * t), np.sin(0.7 * t)], axis=1)
    model = LinearAutoregression(2).fit(both)
    np.testing.assert_allclose(model.coefficients[1], 2 * np.cos([0.3, 0.7]), atol=1e-10)
    future = np.stack([np.sin(0.3 * np.arange(60, 70)), np.sin(0.7 * np.arange(60, 70))], axis=1)
    np.testing.assert_allclose(model.forecast(10, both), future, atol=1e-8)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: SeasonalNaive(0), "`season_length`"),
        (lambda: SeasonalNaive(4).forecast(2, [1.0, 2.0]), "`context`"),
        (lambda: SeasonalNaive(1).forecast(0, [1.0, 2.0]), "`horizon`"),
        (lambda: LinearAutoregression([]), "`lags`"),
        (lambda: LinearAutoregression([0, 1]), "`lags`"),
        (lambda: LinearAutoregression(2.0), "`lags`"),
        (lambda: LinearAutoregression(True), "`lags`"),
        (lambda: LinearAutoregression(1).fit([np.arange(9.0), np.ones((9, 2))]), "features"),
        (lambda: LinearAutoregression(1, transform="exp"), "`transform`"),
        (lambda: LinearAutoregression(3).fit([1.0, 2.0, 3.0]), "`series`"),
        (lambda: LinearAutoregression(3).forecast(1, [1.0, 2.0]), "call `fit`"),
        (lambda: LinearAutoregression(2).fit(np.arange(9.0)).forecast(1, [1.0]), "`context`"),
        (
            lambda: LinearAutoregression([5]).fit(np.arange(9.0)).forecast(1, [1.0, 2.0]),
            "`context`",
        ),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()
