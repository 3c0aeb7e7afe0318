"""Against values computed by hand, statsmodels, and simulated futures."""

import numpy as np
import pytest
from statsmodels.tsa.ar_model import AutoReg

from kerazoo.models.forecasting import LinearAutoregression

NAN = np.nan


def test_equals_statsmodels():
    rng = np.random.default_rng(0)
    series = np.cumsum(rng.normal(size=120)) + 3
    ours = LinearAutoregression(lags=[1, 2, 7]).fit(series)
    theirs = AutoReg(series, lags=[1, 2, 7]).fit()
    np.testing.assert_allclose(ours.coefficients[:, 0], theirs.params, rtol=1e-7)
    np.testing.assert_allclose(ours.forecast(30, series)[:, 0], theirs.forecast(30), rtol=1e-7)
    freedom = 120 - 7 - 4
    assert ours.residual_variance[0] == pytest.approx(np.sum(theirs.resid**2) / freedom)


def test_after_a_transform():
    growth = 100 * 1.1 ** np.arange(20.0)
    model = LinearAutoregression(1, transform="log").fit(growth)
    np.testing.assert_allclose(
        model.forecast(5, growth)[:, 0], 100 * 1.1 ** np.arange(20.0, 25.0), rtol=1e-8
    )


@pytest.mark.parametrize("transform", ["log", "log1p", "sqrt"])
def test_bias_adjustment_gives_the_mean_of_simulated_futures(transform):
    rng = np.random.default_rng(0)
    z = np.zeros(400)
    for t in range(2, 400):
        z[t] = 0.4 + 0.5 * z[t - 1] + 0.3 * z[t - 2] + 0.4 * rng.normal()
    z = np.abs(z)
    inverse = {"log": np.exp, "log1p": np.expm1, "sqrt": np.square}[transform]
    series = inverse(z)
    model = LinearAutoregression(2, transform).fit(series)
    c, a1, a2 = model.coefficients[:, 0]
    noise = np.sqrt(model.residual_variance[0]) * rng.normal(size=(8, 200_000))
    before, last = np.full(200_000, z[-2]), np.full(200_000, z[-1])
    means, medians = [], []
    for shock in noise:
        before, last = last, c + a1 * last + a2 * before + shock
        value = inverse(last if transform == "log" else np.maximum(last, 0))
        means.append(value.mean())
        medians.append(np.median(value))
    np.testing.assert_allclose(model.forecast(8, series)[:, 0], means, rtol=0.01)
    plain = LinearAutoregression(2, transform, bias_adjustment=False).fit(series)
    np.testing.assert_allclose(plain.forecast(8, series)[:, 0], medians, rtol=0.01)


def test_leaves_out_what_is_missing():
    sine = np.sin(0.3 * np.arange(60))
    gaps = sine.copy()
    gaps[[10, 25]] = NAN
    model = LinearAutoregression(2).fit([gaps, sine[:30]])
    np.testing.assert_allclose(model.coefficients[:, 0], [0, 2 * np.cos(0.3), -1], atol=1e-10)


def test_series_shorter_than_the_largest_lag_add_no_equations():
    sine = np.sin(0.3 * np.arange(60))
    alone, beside = (LinearAutoregression(4).fit(s) for s in ([sine], [sine, [1.0, 2.0], [3.0]]))
    np.testing.assert_allclose(alone.forecast(9, sine), beside.forecast(9, sine), atol=1e-9)


def test_each_feature_has_its_own_coefficients():
    t = np.arange(60)
    both = np.stack([np.sin(0.3 * t), np.sin(0.7 * t)], axis=1)
    model = LinearAutoregression(2).fit(both)
    np.testing.assert_allclose(model.coefficients[1], 2 * np.cos([0.3, 0.7]), atol=1e-10)
    future = np.stack([np.sin(0.3 * np.arange(60, 70)), np.sin(0.7 * np.arange(60, 70))], axis=1)
    np.testing.assert_allclose(model.forecast(10, both), future, atol=1e-8)


def test_what_lies_before_the_first_observed_value_equals_it():
    model = LinearAutoregression([1, 3]).fit(np.random.default_rng(0).normal(size=50))
    known = model.forecast(4, [5.0, 5.0, 5.0, 6.0])
    np.testing.assert_allclose(model.forecast(4, [5.0, 6.0]), known)
    np.testing.assert_allclose(model.forecast(4, [NAN, NAN, 5.0, 6.0]), known)


def test_a_constant_forecasts_itself():
    for level in (0.0, 5.0, 1e9):
        constant = np.full(30, level)
        forecast = LinearAutoregression(4).fit(constant).forecast(6, constant)
        np.testing.assert_array_equal(forecast[:, 0], level)


def test_a_large_offset_costs_no_digits():
    values = np.cumsum(np.random.default_rng(0).integers(-3, 4, size=80)).astype("float64")
    near, far = (LinearAutoregression(3).fit(v).forecast(9, v) for v in (values, values + 2.0**30))
    np.testing.assert_allclose(far - 2.0**30, near, atol=1e-4)


def test_float32_is_read_as_float64():
    values = np.random.default_rng(0).normal(size=60).cumsum().astype("float32")
    model = LinearAutoregression(3).fit(values)
    expected = LinearAutoregression(3).fit(values.astype("float64"))
    np.testing.assert_array_equal(model.coefficients, expected.coefficients)
    (found,) = model._forecast_origins([values[:, None]], [[60]], 5)
    np.testing.assert_allclose(found[0], expected.forecast(5, values.astype("float64")), rtol=1e-9)


@pytest.mark.parametrize("transform", [None, "sqrt"])
def test_from_many_origins_equals_fits_to_what_was_known(transform):
    rng = np.random.default_rng(0)
    values = 20 + np.cumsum(rng.normal(size=(70, 2)), axis=0)
    values[rng.random(values.shape) < 0.05] = NAN
    values[:2] = NAN
    model, origins = LinearAutoregression([1, 4], transform), [1, 3, 30, 31, 47, 70]
    (found,) = model._forecast_origins([values], [origins], 6)
    assert np.isnan(found[:2]).all()
    for origin, forecast in zip(origins[2:], found[2:], strict=True):
        alone = LinearAutoregression([1, 4], transform).fit(values[:origin])
        np.testing.assert_allclose(forecast, alone.forecast(6, values[:origin]), rtol=1e-8)
    assert model.coefficients is None


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: LinearAutoregression([]), "`lags`"),
        (lambda: LinearAutoregression([0, 1]), "`lags`"),
        (lambda: LinearAutoregression(2.0), "`lags`"),
        (lambda: LinearAutoregression(True), "`lags`"),
        (lambda: LinearAutoregression(1).fit([np.arange(9.0), np.ones((9, 2))]), "features"),
        (lambda: LinearAutoregression(1, transform="exp"), "`transform`"),
        (lambda: LinearAutoregression(1, bias_adjustment=1), "`bias_adjustment`"),
        (lambda: LinearAutoregression(1, "log").fit([1.0, 0.0, 2.0]), "`series` must be above 0"),
        (lambda: LinearAutoregression(3).fit([1.0, 2.0, 3.0]), "`series`"),
        (lambda: LinearAutoregression(1).fit([[1.0], [2.0]]), "`series`"),
        (lambda: LinearAutoregression(3).forecast(1, [1.0, 2.0]), "call `fit`"),
        (lambda: LinearAutoregression(2).fit(np.arange(9.0)).forecast(1, [NAN]), "`context`"),
        (
            lambda: LinearAutoregression(1).fit(9.0 ** np.arange(9)).forecast(999, [1.0]),
            "grows beyond float64",
        ),
        (
            lambda: LinearAutoregression(1, "log").fit(9.0 ** np.arange(9)).forecast(999, [1.0]),
            "too large for float64",
        ),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()
