"""The scale of a series has no meaning: constants, shifts, factors, spikes and large offsets."""

import keras
import numpy as np
import pytest
from forecasting_cases import NAN, few_examples, make
from hypothesis import given, settings
from hypothesis import strategies as st
from speed import slow_but

from kerazoo.models import StatefulLSTMForecaster
from kerazoo.models.forecasting import mase


def seasonal(length=132, seed=0):
    rng = np.random.default_rng(seed)
    return 10 + 3 * np.sin(np.arange(length) * np.pi / 6) + 0.3 * rng.normal(size=length)


@pytest.fixture(scope="module", params=slow_but(12, of=[0, 12]))
def trained(request):
    keras.utils.set_random_seed(0)
    model = StatefulLSTMForecaster((8,), seasonal_difference=request.param)
    model.compile(keras.optimizers.Adam(0.01))
    model.fit(seasonal()[:120], epochs=10, verbose=0)
    return model


@settings(few_examples, max_examples=20)
@given(
    st.floats(-9, 9),
    st.one_of(st.just(0.0), st.floats(-9, 9)),
    st.booleans(),
    st.integers(1, 70),
    st.integers(0, 999),
)
def test_shift_and_scale(trained, k, c, negative, length, seed):
    rng = np.random.default_rng(seed)
    y = rng.normal(size=length).cumsum() + 5
    y[1:][rng.uniform(size=length - 1) < rng.choice([0.0, 0.3])] = NAN
    k, c = 10.0**k, 10.0**c * (-1 if negative else 1)
    expected, found = trained.forecast(7, y), trained.forecast(7, k * y + c)
    # A large offset leaves fewer digits to what is added to it.
    digits = 1e-6 + 1e-12 * abs(c) / k
    np.testing.assert_allclose((found - c) / k, expected, rtol=0, atol=30 * digits)
    expected, found = trained.predict(y), trained.predict(k * y + c)
    np.testing.assert_allclose((found - c) / k, expected, rtol=0, atol=30 * digits)


@settings(few_examples, max_examples=20)
@given(
    st.floats(-1e100, 1e100, allow_nan=False, allow_subnormal=False),
    st.integers(1, 60),
    st.integers(0, 99),
)
def test_a_constant_forecasts_itself(trained, value, length, seed):
    series = np.full(length, value)
    rng = np.random.default_rng(seed)
    series[rng.uniform(size=length) < 0.3] = NAN
    series[rng.integers(length)] = value
    np.testing.assert_array_equal(trained.forecast(12, series), value)
    state = trained.warm_up(series)
    for x in (value, NAN, value):
        prediction, state = trained.step(x, state)
        assert prediction == value
    predicted = trained.predict(series)
    assert set(predicted[np.isfinite(predicted)]) <= {value}


def test_a_constant_feature_forecasts_itself():
    model = make(num_features=2)
    series = np.stack([seasonal(60), np.full(60, 0.1)], axis=1)
    forecast = model.forecast(5, series)
    np.testing.assert_array_equal(forecast[:, 1], 0.1)
    assert (np.abs(np.diff(forecast[:, 0])) > 0).all()


def test_what_does_not_move_any_more_forecasts_itself(trained):
    series = np.concatenate([seasonal(40), np.full(60, 1.7)])
    np.testing.assert_allclose(trained.forecast(5, series), 1.7, rtol=1e-14)


def test_a_season_that_repeats_itself_goes_on():
    keras.utils.set_random_seed(0)
    model = StatefulLSTMForecaster((8,), seasonal_difference=12)
    model.compile(keras.optimizers.Adam(0.01))
    season = np.random.default_rng(0).normal(size=12)
    history = model.fit(1e6 * np.tile(season, 9), epochs=3, verbose=0).history["loss"]
    assert np.isfinite(history).all()
    for factor in (1.0, 1e6, 1e-6):
        found = model.forecast(24, factor * np.tile(season, 9))[:, 0]
        np.testing.assert_allclose(found, factor * np.tile(season, 2), rtol=1e-9)


@pytest.mark.parametrize("length", [1, 2, 3, 5, 11, 13])
def test_a_series_shorter_than_a_season(length):
    """The naive forecast, to which a network that was not trained adds nothing."""
    model = make(seasonal_difference=12)
    series = seasonal(length)
    forecast = model.forecast(5, series)
    assert np.isfinite(forecast).all()
    np.testing.assert_array_equal(model.forecast(5, series[:1]), series[0])
    head = [np.zeros_like(w) for w in model.network.head.get_weights()]
    model.network.head.set_weights(head)
    if length < 12:
        np.testing.assert_allclose(model.forecast(12 - length, series), series[-1], rtol=1e-12)


@pytest.mark.parametrize("spike", [1e4, -1e4, 1e9])
def test_a_spike_in_the_context(trained, spike):
    """Fault 15: from 1.6 to 22.9 with whole-series scaling."""
    series = seasonal()
    context, future = series[:120], series[120:]
    without = mase(future, trained.forecast(12, context), context, season_length=12)
    for where in (0, 1, 20, 60, 84):
        spiked = context.copy()
        spiked[where] += spike
        found = mase(future, trained.forecast(12, spiked), context, season_length=12)
        assert found < 2 * without, (where, without, found)


@pytest.mark.parametrize("where", [100, 110, 117])
def test_a_spike_has_no_size(trained, where):
    """Among the last values it costs what the fence lets through, however large it is."""
    spiked = seasonal()
    forecasts = []
    for spike in (1e3, 1e9):
        spiked[where] = spike
        forecasts.append(trained.forecast(12, spiked))
    np.testing.assert_array_equal(*forecasts)


@pytest.mark.slow
@pytest.mark.parametrize("where", [20, 80])
def test_a_spike_in_training(where):
    """Its one huge target counts no more than its size in units of the naive error."""
    series = seasonal()
    scores = []
    for spike in (0.0, 1e4):
        spiked = series[:120].copy()
        spiked[where] += spike
        keras.utils.set_random_seed(0)
        model = StatefulLSTMForecaster((8,), seasonal_difference=12)
        model.compile(keras.optimizers.Adam(0.01), "mae")
        model.fit(spiked, epochs=3, verbose=0)
        forecast = model.forecast(12, series[:120])
        scores.append(mase(series[120:], forecast, series[:120], season_length=12))
    assert scores[1] < 2 * scores[0], scores


def test_large_offsets_lose_no_digits(trained):
    near = trained.forecast(12, seasonal())
    far = trained.forecast(12, seasonal() + 1e9)
    np.testing.assert_allclose(far - 1e9, near, atol=1e-5)


def test_float32_is_read_as_its_values(trained):
    series = seasonal().astype("float32")
    expected = trained.forecast(5, series.astype("float64"))
    found = trained.forecast(5, series)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert found.dtype == "float64"
    trained.fit(series, epochs=1, verbose=0)


@pytest.mark.slow
def test_global_scale_keeps_the_digits_of_large_values():
    reported = []
    for offset in (0.0, 1e9):
        model = make(scaling="global", optimizer=keras.optimizers.SGD(0.0))
        reported.append(model.fit(seasonal() + offset, verbose=0).history["loss"][0])
    np.testing.assert_allclose(*reported, rtol=1e-4)
