"""`forecast`, `predict`, `warm_up` and `step` against one another and plain networks."""

import itertools

import keras
import numpy as np
import pytest
from forecasting_cases import (
    NAN,
    few_examples,
    full_sequence_network,
    make,
    several_features,
    waves,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from speed import slow_but

SETTINGS = {
    "default": {},
    "layers": {"units": (8, 5), "initial_state": "learned"},
    "global": {"initial_state": "noisy", "dropout": 0.3, "scaling": "global"},
    "gru": {"cell": "gru", "seasonal_difference": 7},
    "log": {"transform": "log", "seasonal_difference": 7, "bias_adjustment": False},
    "sqrt": {"transform": "sqrt", "scaling": None, "bias_adjustment": False},
    "two": {
        "num_features": 2,
        "seasonal_difference": 3,
        "transform": "log1p",
        "bias_adjustment": False,
    },
    "whole_series": {"scaling": "whole_series", "seasonal_difference": 4},
}


@pytest.fixture(scope="module", params=slow_but("default", "two", of=SETTINGS))
def trained(request):
    arguments = SETTINGS[request.param]
    series = several_features(waves([60, 45]), arguments.get("num_features", 1))
    series[0][20] = NAN
    model = make(optimizer=keras.optimizers.Adam(0.01), **arguments)
    model.fit(series, bptt_steps=16, epochs=2, verbose=0)
    return model, series


def test_rollout_equals_a_step_loop(trained):
    model, series = trained
    forecasts = model.forecast(20, series)
    for context, forecast in zip(series, forecasts, strict=True):
        state = model.warm_up(context)
        steps = [state.prediction[0]]
        for _ in range(19):
            prediction, state = model.step(steps[-1], state)
            steps.append(prediction)
        assert forecast.shape == (20, model.num_features)
        np.testing.assert_allclose(forecast, steps, rtol=1e-4)


def test_predict_is_aligned_and_equals_stepping_through(trained):
    model, series = trained
    one = series[0]
    predicted = model.predict(series)[0]
    first = 1 + (0 if model.scaling == "running" else model.seasonal_difference)
    assert predicted.shape == (len(one), model.num_features)
    assert np.isnan(predicted[:first]).all()
    assert np.isfinite(predicted[first:]).all()
    # The prediction after the whole series is the first forecast.
    state = model.warm_up(one)
    np.testing.assert_allclose(state.prediction[0], model.forecast(1, one)[0], rtol=1e-6)
    if model.scaling != "whole_series":  # else a shorter context has another scale
        part = model.warm_up(one[:40])
        np.testing.assert_allclose(part.prediction[0], predicted[40], rtol=1e-4)


def test_a_state_forecasts_as_its_context_does(trained):
    model, series = trained
    together = model.forecast(5, model.warm_up(series))
    for state, context in zip(together, series, strict=True):
        np.testing.assert_allclose(state, model.forecast(5, context), rtol=1e-5)
    alone = model.forecast(5, model.warm_up(series[1]))
    assert alone.shape == (5, model.num_features)
    np.testing.assert_allclose(alone, together[1], rtol=1e-5)


def test_origins_of_a_backtest_are_forecasts_from_their_contexts(trained):
    model, series = trained
    values = [one.reshape(len(one), -1) for one in series]
    origins = [[20, 33, 34, 60], [40]]
    found = model._forecast_origins(values, origins, 6)
    assert [one.shape for one in found] == [(4, 6, model.num_features), (1, 6, model.num_features)]
    for one, own, forecasts in zip(series, origins, found, strict=True):
        for origin, forecast in zip(own, forecasts, strict=True):
            np.testing.assert_allclose(forecast, model.forecast(6, one[:origin]), rtol=1e-4)


@pytest.fixture(scope="module")
def model():
    return make(units=(8, 5), seasonal_difference=5)


@pytest.fixture(scope="module")
def plain():
    return make()


@settings(few_examples, max_examples=15)
@given(
    st.integers(1, 70),
    st.integers(1, 6),
    st.sampled_from([0.0, 0.2]),
    st.floats(0.01, 1.0),
    st.integers(0, 99),
)
def test_reading_in_parts_is_reading_at_once(model, length, parts, missing, noise, seed):
    rng = np.random.default_rng(seed)
    series = 3 + noise * rng.normal(size=length).cumsum()
    series[1:][rng.uniform(size=length - 1) < missing] = NAN
    predicted = model.predict(series)
    bounds = [1, *sorted(rng.integers(1, length + 1, size=parts)), length]
    state = model.warm_up(series[:1])
    for start, stop in itertools.pairwise(bounds):
        if stop < length:
            np.testing.assert_allclose(state.prediction[0], predicted[start], rtol=1e-5)
        if np.isfinite(series[start:stop]).any():
            state = model.warm_up(series[start:stop], state)
        else:
            for x in series[start:stop]:
                _, state = model.step(x, state)
    assert state.count == length
    np.testing.assert_allclose(state.prediction, model.forecast(1, series), rtol=1e-5)


def test_steps_of_several_series_with_missing_observations():
    model = make(transform="log", seasonal_difference=7)
    series = waves([30, 40])
    state = model.warm_up(series)
    for x in ([5.0, 6.0], [NAN, 4.0], [3.0, NAN]):
        prediction, state = model.step(x, state)
    for i, tail in enumerate(([5.0, NAN, 3.0], [6.0, 4.0, NAN])):
        whole = model.warm_up(np.concatenate([series[i], tail]))
        np.testing.assert_allclose(prediction[i], whole.prediction[0], rtol=1e-5)


@pytest.mark.slow
def test_other_series_of_a_call_change_nothing(model):
    series = waves([48, 131, 100])
    series[2][:9] = NAN
    together = model.forecast(15, series)
    reordered = model.forecast(15, [series[2], series[0] * 100, series[1]])
    np.testing.assert_allclose(reordered[0], together[2], rtol=1e-5)
    np.testing.assert_allclose(reordered[2], together[1], rtol=1e-5)
    for one, forecast in zip(series, together, strict=True):
        np.testing.assert_allclose(model.forecast(15, one), forecast, rtol=1e-5)
        np.testing.assert_allclose(
            model.predict(one), model.predict([*series, one])[-1], rtol=1e-5, equal_nan=True
        )


@pytest.mark.slow
def test_more_series_than_one_compiled_call_takes(plain):
    series = waves([20] * 300)
    many = plain.forecast(2, series)
    assert len(many) == 300
    np.testing.assert_allclose(many[299], plain.forecast(2, series[299]), rtol=1e-5)


def test_a_long_rollout_is_the_short_one_gone_on(plain):
    """Beyond 32 steps XLA compiles it, for powers of two."""
    series = waves([48, 33, 21])
    for long, short in zip(plain.forecast(40, series), plain.forecast(32, series), strict=True):
        assert long.shape == (40, 1)
        np.testing.assert_allclose(long[:32], short, rtol=1e-5)
        assert np.isfinite(long).all()


@pytest.mark.slow
def test_forecast_under_xla_is_the_same():
    model = make(units=(8, 5))
    series = waves([48, 33, 21])
    expected = model.forecast(11, series)
    model.compile("adam", jit_compile=True)
    for found, one in zip(model.forecast(11, series), expected, strict=True):
        np.testing.assert_allclose(found, one, rtol=1e-5)


@pytest.mark.slow
def test_one_long_context_does_not_inflate_the_others():
    model = make(units=(2,))
    series = [*waves([20] * 5), *waves([2**18 + 5]), *waves([20] * 5, seed=1)]
    together = model.forecast(2, series)
    for i in (0, 5, 10):
        np.testing.assert_allclose(together[i], model.forecast(2, series[i]), rtol=1e-4)


@pytest.mark.parametrize("cell", slow_but("gru", of=["lstm", "gru"]))
def test_called_on_a_tensor_it_gives_the_outputs_of_the_network(cell):
    model = make(units=(8, 5), cell=cell)
    x = np.random.default_rng(0).normal(size=(3, 12, 2)).astype("float32")
    np.testing.assert_allclose(model(x), full_sequence_network(model)(x), rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_global_scale_is_learned_once():
    series = waves([60, 45])
    model = make(scaling="global")
    with pytest.raises(ValueError, match="learned in `fit`: call it first"):
        model.forecast(3, series)
    model.fit(series, verbose=0)
    values = np.concatenate(series)
    np.testing.assert_allclose(model.location, [values.mean()], rtol=1e-6)
    np.testing.assert_allclose(model.scale, [values.std()], rtol=1e-6)
    model.fit([one * 10 for one in series], verbose=0)
    np.testing.assert_allclose(model.location, [values.mean()], rtol=1e-6)


def test_masked_arrays_are_missing_values(plain):
    (series,) = waves([30])
    gaps = series.copy()
    gaps[[4, 9]] = NAN
    masked = np.ma.masked_invalid(np.where(np.isnan(gaps), 1e9, gaps))
    masked[[4, 9]] = np.ma.masked
    np.testing.assert_array_equal(plain.forecast(3, masked), plain.forecast(3, gaps))


def test_predict_takes_keras_arguments(plain):
    series = waves([30])[0]
    expected = plain.predict(series)
    np.testing.assert_array_equal(plain.predict(series, verbose=0, batch_size=4), expected)


def test_values_are_never_changed(plain):
    series = waves([30, 25])
    series[0][[0, 7]] = NAN
    before = [one.copy() for one in series]
    for one in series:
        one.setflags(write=False)
    plain.fit(series, verbose=0)
    plain.forecast(3, series)
    plain.predict(series)
    state = plain.warm_up(series)
    kept = {name: np.array(value) for name, value in vars(state).items() if name != "recurrent"}
    recurrent = [one.copy() for one in state.recurrent]
    plain.step([1.0, 2.0], state)
    plain.forecast(4, state)
    for name, value in kept.items():
        np.testing.assert_array_equal(getattr(state, name), value)
    for one, value in zip(state.recurrent, recurrent, strict=True):
        np.testing.assert_array_equal(one, value)
    for one, value in zip(series, before, strict=True):
        np.testing.assert_array_equal(one, value)
