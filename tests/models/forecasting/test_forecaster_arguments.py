"""Bad input is one clear error that speaks of series, and changes nothing."""

import keras
import numpy as np
import pytest
from forecasting_cases import INF, NAN, make, waves

from kerazoo.models import StatefulLSTMForecaster

BAD_SERIES = [
    ([], ValueError, "at least one series"),
    (np.zeros(0), ValueError, "at least 1 observed"),
    (np.full(9, NAN), ValueError, "at least 1 observed"),
    ([1.0, 2.0, INF], ValueError, "must be finite"),
    (np.zeros((9, 2)), ValueError, r"must have 1 feature"),
    (np.zeros((2, 9, 1)), ValueError, "several series go in a list"),
    (["a", "b", "c"], TypeError, "must hold real numbers"),
    (["1", "2", "3"], TypeError, "must hold real numbers"),
    (np.array(["1", 2, None], object), TypeError, "must hold real numbers"),
    ("series", TypeError, "must hold real numbers"),
    (None, ValueError, r"several series go in a list"),
    (np.array([1j, 2j]), TypeError, "must hold real numbers"),
    (np.array(["2020-01-01"] * 3, "datetime64[D]"), TypeError, "must hold real numbers"),
    (np.array([np.arange(5.0), np.arange(4.0)], dtype=object), TypeError, "go in a list"),
    ((value for value in (1.0, 2.0)), TypeError, "several series go in a list"),
    (np.array([1e200, 1.0]), ValueError, "must stay within"),
]


@pytest.fixture(scope="module")
def model():
    return make()


def all_variables(model):
    return [v.numpy() for v in (*model.variables, *model.optimizer.variables)]


@pytest.mark.parametrize(("bad", "error", "message"), BAD_SERIES)
def test_bad_series_is_one_clear_error_everywhere(model, bad, error, message):
    before = all_variables(model)
    good = np.arange(9.0)
    calls = {
        "series": [model.fit, model.predict, lambda s: model.evaluate(s, verbose=0)],
        "context": [lambda s: model.forecast(3, s), model.warm_up],
        "validation_data": [lambda s: model.fit(good, validation_data=s, verbose=0)],
    }
    if bad is None:  # there means none, not a bad one
        del calls["validation_data"]
    for name, functions in calls.items():
        for function in functions:
            with pytest.raises(error, match=rf"`{name}(\[\d\])?` .*{message}"):
                function(bad)
    for a, b in zip(before, all_variables(model), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("bad", [[1.0], [1.0, NAN, NAN], [[1.0], [2.0]]])
def test_nothing_to_learn_from(model, bad):
    bad = [np.array(one) for one in bad] if isinstance(bad[0], list) else np.array(bad)
    for name, call in {
        "series": lambda: model.fit(bad, verbose=0),
        "validation_data": lambda: model.fit(np.arange(9.0), validation_data=bad, verbose=0),
    }.items():
        with pytest.raises(ValueError, match=f"`{name}` must hold two observed values.*Received"):
            call()
    with pytest.raises(ValueError, match="`series` must hold two observed values"):
        model.evaluate(bad, verbose=0)
    model.forecast(2, bad)  # the forecast of one value is that value


def test_the_bad_one_of_several_series_is_named(model):
    with pytest.raises(ValueError, match=r"`series\[1\]` must be finite.* at time 2"):
        model.fit([np.arange(5.0), np.array([1, 2, INF])])
    with pytest.raises(ValueError, match=r"`context\['b'\]` must be finite"):
        model.forecast(3, {"a": np.arange(5.0), "b": np.array([1, 2, INF])})
    with pytest.raises(ValueError, match=r"`series\[1\]` must be above 0 .*transform='log'"):
        make(transform="log").fit([np.arange(1.0, 5.0), np.arange(5.0)])
    with pytest.raises(ValueError, match=r"`context\[1\]` must be at least 0"):
        make(transform="sqrt").forecast(3, [np.arange(5.0), -np.ones(3)])


@pytest.mark.parametrize("horizon", [0, -1, 2.5, 3.0, "3", None, True])
def test_bad_horizon(model, horizon):
    with pytest.raises(ValueError, match="`horizon` must be a positive integer"):
        model.forecast(horizon, np.arange(9.0))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"shuffle": "yes"}, "`shuffle` must be True or False"),
        ({"batch_size": 0}, "`batch_size`"),
        ({"bptt_steps": 0}, "`bptt_steps`"),
        ({"epochs": 1.5}, "`epochs`"),
        ({"validation_horizon": 0}, "`validation_horizon`"),
        ({"validation_horizon": 9}, "`validation_horizon` must be so small"),
        ({"callbacks": "stop"}, "`callbacks`"),
        ({"verbose": 7}, "`verbose`"),
        ({"validation_data": [1.0, INF]}, "`validation_data` must be finite"),
    ],
)
def test_bad_fit_arguments_change_nothing(arguments, message):
    model = make(scaling="global", units=(2,))
    before = all_variables(model)
    with pytest.raises(ValueError, match=message):
        model.fit(np.arange(9.0), **arguments)
    assert not np.any(model.scale)
    for a, b in zip(before, all_variables(model), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_fit_goes_on_after_an_error():
    series = waves([60, 45])
    weights = []
    for fails in (False, True):
        model = make(units=(4,))
        model.fit(series, bptt_steps=16, verbose=0)
        remembered, loss = dict(vars(model._record)), model.evaluate(series, verbose=0)
        if fails:
            for bad in ({"series": [1.0, INF]}, {"series": series, "validation_data": [3.0]}):
                with pytest.raises(ValueError, match="Received"):
                    model.fit(**bad, bptt_steps=9, verbose=0)
            assert vars(model._record) == remembered
            np.testing.assert_allclose(model.evaluate(series, verbose=0), loss)
        keras.utils.set_random_seed(1)
        model.fit(series, bptt_steps=16, verbose=0)
        weights.append(model.get_weights())
    for a, b in zip(*weights, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    "arguments",
    [
        {"units": ()},
        {"units": (8, 0)},
        {"num_features": 0},
        {"initial_state": "ones"},
        {"dropout": 1.0},
        {"scaling": "none"},
        {"scaling": "series"},
        {"transform": "exp"},
        {"seasonal_difference": -1},
        {"seasonal_difference": 1.5},
        {"seasonal_difference": 0.0},
        {"units": None},
        {"units": 8.0},
        {"dropout": "a"},
        {"cell": "rnn"},
        {"bias_adjustment": 1},
    ],
)
def test_bad_constructor_arguments(arguments):
    with pytest.raises(ValueError, match=f"`{next(iter(arguments))}` must"):
        StatefulLSTMForecaster(**arguments)


@pytest.mark.parametrize(
    "x", [[1.0, 2.0, 3.0], [1.0, INF], [[1.0, 2.0]], 1.0, "ab", ["a", "b"], [1j, 2j], None]
)
def test_bad_step(model, x):
    state = model.warm_up([np.arange(9.0), np.arange(7.0)])
    with pytest.raises(ValueError, match="`x` must be a finite number"):
        model.step(x, state)


def test_a_transposed_step_is_refused():
    model = make(num_features=2)
    state = model.warm_up([np.random.default_rng(i).normal(size=(9, 2)) for i in range(3)])
    prediction, _ = model.step(np.ones((3, 2)), state)
    assert prediction.shape == (3, 2)
    for x in (np.ones((2, 3)), np.ones(6)):
        with pytest.raises(ValueError, match="`x` must be a finite number"):
            model.step(x, state)


def test_fit_before_compile_changes_nothing():
    model = StatefulLSTMForecaster(units=(2,), scaling="global")
    with pytest.raises(ValueError, match="call `compile` first"):
        model.fit(np.arange(9.0))
    assert not np.any(model.scale)


@pytest.mark.parametrize(
    ("method", "arguments", "advice"),
    [
        ("fit", {"validation_split": 0.2}, "`validation_horizon`"),
        ("fit", {"sample_weight": np.ones(30)}, "NaN takes one out"),
        ("fit", {"class_weight": {0: 1.0}}, "no classes"),
        ("fit", {"y": np.ones(30)}, "no targets"),
        ("fit", {"x": np.ones(30)}, "first argument"),
        ("fit", {"steps_per_epoch": 3}, "see the arguments of `fit`"),
        ("fit", {"covariates": np.ones(30)}, "not available yet"),
        ("evaluate", {"sample_weight": np.ones(30)}, "NaN takes one out"),
        ("evaluate", {"y": np.ones(30)}, "no targets"),
        ("predict", {"steps": 3}, "see the arguments of `predict`"),
        ("predict", {"x": np.ones(30)}, "first argument"),
    ],
)
def test_arguments_of_other_keras_models(model, method, arguments, advice):
    (name,) = arguments
    message = rf"`{name}` is no argument of a forecaster's `{method}`: .*{advice}.*: {name}="
    with pytest.raises(TypeError, match=message):
        getattr(model, method)(np.sin(np.arange(30.0)), **arguments)


@pytest.mark.parametrize("place", [1, 2])
def test_targets_in_the_place_of_the_batch_size(model, place):
    arguments = [np.sin(np.arange(30.0)), None, 5][:place]
    with pytest.raises(ValueError, match=r"`(batch_size|bptt_steps)` must be .*no targets"):
        model.fit(*arguments, np.ones(30))


def test_values_beyond_the_dtype_are_refused():
    model = make(scaling=None, dtype="mixed_float16")
    with pytest.raises(ValueError, match="`series` must stay within"):
        model.fit([1.0, 1e6, 3.0])


def test_weights_that_have_diverged_are_not_a_forecast():
    model = make()
    model.set_weights([np.full_like(w, NAN) for w in model.get_weights()])
    series = np.sin(np.arange(9.0))
    for call in (lambda: model.forecast(3, series), lambda: model.predict(series)):
        with pytest.raises(ValueError, match="predictions are not finite"):
            call()
    found = model._forecast_origins([series[:, None]], [[5, 7]], 2)[0]
    assert np.isnan(found).all()
