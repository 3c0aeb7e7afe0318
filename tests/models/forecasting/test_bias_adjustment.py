"""Forecasts under a transform are means, of series whose mean is known."""

import keras
import numpy as np
import pytest
from forecasting_cases import make, waves
from speed import slow_but

from kerazoo.models import StatefulLSTMForecaster


def fitted(series, transform, bias_adjustment=True, epochs=20, **arguments):
    keras.utils.set_random_seed(0)
    model = StatefulLSTMForecaster(
        (4,), transform=transform, bias_adjustment=bias_adjustment, **arguments
    )
    model.compile(keras.optimizers.Adam(0.01))
    model.fit(series, epochs=epochs, bptt_steps=50, verbose=0)
    return model


@pytest.mark.slow
def test_independent_lognormal_values():
    """Mean exp(s**2 / 2), median 1: 39 % apart for s = 0.8."""
    rng = np.random.default_rng(0)
    series = [np.exp(0.8 * rng.normal(size=200)) for _ in range(20)]
    truth = np.exp(0.32)
    mean, median = (
        np.mean(fitted(series, "log", adjusted).forecast(6, series)) for adjusted in (True, False)
    )
    np.testing.assert_allclose(mean, truth, rtol=0.12)
    assert median < 0.85 * truth


@pytest.mark.slow
def test_random_walks_of_logs():
    """`E y[t + h] = y[t] exp(h s**2 / 2)`, and so growing with the horizon."""
    rng = np.random.default_rng(0)
    s = 0.25
    series = [np.exp(s * rng.normal(size=150).cumsum()) for _ in range(30)]
    model = fitted(series, "log")
    ratio = [f[:, 0] / one[-1] for f, one in zip(model.forecast(12, series), series, strict=True)]
    found = np.exp(np.mean(np.log(ratio), axis=0))
    np.testing.assert_allclose(found, np.exp(s**2 / 2 * np.arange(1, 13)), rtol=0.12)


@pytest.mark.slow
def test_squares():
    """Of `y = z**2` with z normal around 2: mean 4 + s**2."""
    rng = np.random.default_rng(0)
    series = [np.maximum(2 + 0.9 * rng.normal(size=200), 0) ** 2 for _ in range(20)]
    found = np.mean(fitted(series, "sqrt").forecast(6, series))
    np.testing.assert_allclose(found, np.mean(series), rtol=0.1)


@pytest.mark.parametrize("transform", slow_but("log1p", of=["log1p", "sqrt"]))
def test_never_below_the_range(transform):
    falling = np.linspace(30, 0, 40) ** 1.5
    model = make(transform=transform)
    model.fit(falling, verbose=0)
    for context in (falling, falling[:5], np.zeros(9)):
        assert (model.forecast(30, context) >= 0).all()
    assert np.nanmin(model.predict(falling)) >= 0


@pytest.mark.slow
def test_a_constant_stays_a_constant():
    """Its errors are zero, and say nothing of a variance."""
    for transform in ("log", "log1p", "sqrt"):
        model = make(transform=transform)
        model.fit(np.full(50, 3.0), verbose=0)
        np.testing.assert_allclose(model.forecast(9, np.full(30, 7.0)), 7.0, rtol=1e-12)


@pytest.mark.slow
def test_the_variance_is_measured_in_fit_and_only_where_it_is_used():
    series = waves([60, 45])
    for arguments, measured in (
        ({"transform": "log"}, True),
        ({"transform": "log", "bias_adjustment": False}, False),
        ({}, False),
    ):
        model = make(**arguments)
        model.fit(series, verbose=0)
        assert (model._record.variance is not None) == measured


@pytest.mark.slow
def test_mean_exceeds_median_by_half_the_variance():
    series = waves([60, 45])
    model = make(transform="log")
    model.fit(series, verbose=0)
    mean = model.forecast(9, series[0])
    variance, model._record.variance = model._record.variance, None
    median = model.forecast(9, series[0])
    assert variance.shape[0] >= 9
    read = model._reader.resume(model.warm_up(series[0]))
    expected = median * np.exp(variance[:9] * read.spread**2 / 2)
    np.testing.assert_allclose(mean, expected, rtol=1e-9)


@pytest.mark.slow
def test_a_runaway_forecast_is_an_error_not_infinite():
    model = make(transform="log")
    model.fit(waves([60]), verbose=0)
    rising = np.exp(np.linspace(0, 300, 40))
    model.network.head.set_weights([np.full((8, 1), 0.0), np.full(1, 3e4)])
    with pytest.raises(ValueError, match="too large for float64"):
        model.forecast(30, rising)
