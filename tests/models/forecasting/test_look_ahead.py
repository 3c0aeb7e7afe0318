"""Nothing looks ahead: what comes after a time changes no number at or before it."""

import keras
import numpy as np
import pytest
from forecasting_cases import NAN, few_examples, make
from hypothesis import given
from hypothesis import strategies as st
from speed import slow_but

from kerazoo.models import StatefulLSTMForecaster
from kerazoo.models.forecasting._chunks import Chunks

# A season of 30 is longer than most of the series. "whole_series" looks ahead, as its name says.
SETTINGS = {
    "default": {},
    "season": {"seasonal_difference": 5},
    "long season": {"seasonal_difference": 30},
    "log": {"transform": "log", "seasonal_difference": 5},
    "sqrt, gru": {"transform": "sqrt", "cell": "gru"},
    "none": {"scaling": None},
    "global": {"scaling": "global", "seasonal_difference": 2},
    "two features": {"num_features": 2, "seasonal_difference": 3},
    "two features, none": {"num_features": 2, "scaling": None},
}


@pytest.fixture(
    scope="module",
    params=slow_but("season", "global", "two features, none", of=SETTINGS),
)
def model(request):
    model = make(**SETTINGS[request.param])
    if model.scaling == "global":
        model.location.assign([6.0])
        model.scale.assign([2.0])
    return model


@st.composite
def series_and_changed(draw, features):
    """A series, the same with other values after a time, and that time: how many are the same."""
    length = draw(st.integers(6, 60))
    same = draw(st.integers(5, length - 1))
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    series = 5 + rng.uniform(0.1, 3, size=(length, features))
    change = draw(st.sampled_from(["noise", "level", "spike", "missing", "constant"]))
    missing = rng.uniform(size=series.shape) < draw(st.sampled_from([0.0, 0.3]))
    series[missing] = NAN
    # Two pairs of values two steps apart, so that each setting can read what is the same
    series[1:5] = np.where(np.isnan(series[1:5]), 5.0, series[1:5])
    if features > 1:  # one that begins later
        series[: draw(st.integers(0, 3)), 1] = NAN
    changed = series.copy()
    after = changed[same:]
    if change == "noise":
        after += rng.normal(size=after.shape)
    elif change == "level":
        after *= 1e4
    elif change == "spike":
        after[rng.integers(len(after))] = 1e8
    elif change == "constant":
        after[:] = 3.0
    else:
        after[:] = NAN
    return series, changed, same


SEEDS = st.data()


@few_examples
@given(SEEDS)
def test_predictions(model, data):
    series, changed, same = data.draw(series_and_changed(model.num_features))
    before, after = model.predict(series), model.predict(changed)
    np.testing.assert_array_equal(before[: same + 1], after[: same + 1])
    # Nor does it matter which other series are read with it.
    several = model.predict([changed, series[:same]])
    np.testing.assert_allclose(several[1], before[:same], rtol=1e-5, atol=1e-5)


@few_examples
@given(SEEDS)
def test_predictions_are_those_of_who_has_not_seen_what_follows(model, data):
    series, _, same = data.draw(series_and_changed(model.num_features))
    expected = model.predict(series)[same]
    found = model.forecast(1, series[:same])[0]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    state = model.warm_up(series[:same])
    np.testing.assert_allclose(state.prediction[0], expected, rtol=1e-5, atol=1e-5)
    for t in range(same, len(series) - 1):
        prediction, state = model.step(series[t], state)
        expected = model.predict(series[: t + 2])[t + 1]
        np.testing.assert_allclose(prediction, expected, rtol=1e-4, atol=1e-5)


@few_examples
@given(SEEDS)
def test_forecasts_from_the_origins_of_a_backtest(model, data):
    series, changed, same = data.draw(series_and_changed(model.num_features))
    origins = sorted({5, same, len(series)})
    before = model._forecast_origins([series], [origins], 4)[0]
    after = model._forecast_origins([changed], [origins], 4)[0]
    until = origins.index(same) + 1
    np.testing.assert_array_equal(before[:until], after[:until])
    for origin, forecast in zip(origins, before, strict=True):
        if np.isfinite(forecast).all():
            expected = model.forecast(4, series[:origin])
            np.testing.assert_allclose(forecast, expected, rtol=1e-4, atol=1e-5)


@few_examples
@given(SEEDS, st.integers(1, 3), st.integers(1, 30))
def test_what_training_and_evaluation_read(model, data, rows, steps):
    """Inputs, anchors and scales; only the unit of the loss is one constant of the series."""
    series, changed, same = data.draw(series_and_changed(model.num_features))
    codec, reader = model.codec, model._reader
    read = []
    for values in (series, changed):
        units = reader.units([values], ["series"])
        chunks = Chunks(codec, [values], units, rows, steps)
        chunks._unit = np.ones_like(chunks._unit)
        # A chunk holds its rows side by side: sort them by the steps they read.
        part = {}
        for chunk in chunks._read():
            inputs, y, weight = chunks._encode(chunk)
            for row, count in enumerate(chunk["count"]):
                for step in range(chunks.steps):
                    t = count - chunks.steps + step
                    if count and t < same - 1:
                        observed = weight[row, step] > 0
                        part[t] = np.concatenate(
                            [
                                inputs["x"][row, step],
                                inputs["scale"][row, step],
                                np.where(observed, y[row, step], 0.0),
                            ]
                        )
        read.append(part)
    before, after = read
    first = int(np.isfinite(series).any(axis=1).argmax())
    for t in set(before) & set(after):
        if t < same - 1 - first:
            np.testing.assert_allclose(before[t], after[t], rtol=1e-9, atol=1e-9)


def test_whole_series_scaling_does_look_ahead():
    """So that the tests above would notice."""
    model = make(scaling="whole_series")
    series = np.random.default_rng(0).normal(size=40)
    changed = series.copy()
    changed[30:] += 9
    assert np.abs(model.predict(series)[:30] - model.predict(changed)[:30])[1:].max() > 0.1


@pytest.mark.slow
def test_fresh_random_walks_are_forecast_as_well_as_can_be():
    """Fault 1: whole-series scaling learned that a walk comes back to its mean, 1.5 x naive."""
    rng = np.random.default_rng(0)
    train = [rng.normal(size=60).cumsum() for _ in range(150)]
    fresh = [rng.normal(size=72).cumsum() for _ in range(150)]
    context, future = [one[:60] for one in fresh], np.stack([one[60:] for one in fresh])

    def rms(errors):
        return np.sqrt(np.mean(np.square(errors)))

    keras.utils.set_random_seed(0)
    model = StatefulLSTMForecaster((16,))
    model.compile(keras.optimizers.Adam(0.005))
    model.fit(train, epochs=20, bptt_steps=60, verbose=0)
    one = rms([model.predict(c)[1:, 0] - c[1:] for c in context])
    naive = rms(np.stack([f - c[-1] for f, c in zip(future, context, strict=True)]))
    ahead = rms(np.stack(model.forecast(12, context))[..., 0] - future)
    assert one > 0.99  # the least possible is 1
    assert ahead < 1.1 * naive
