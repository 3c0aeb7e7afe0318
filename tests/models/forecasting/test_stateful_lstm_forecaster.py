"""The forecaster against a plain full-sequence LSTM, a step loop, and NumPy's own arithmetic."""

import checks
import keras
import numpy as np
import pytest
from speed import slow_but

from kerazoo.models import StatefulLSTMForecaster

LENGTHS = [48, 331, 100, 77, 60, 200, 150]


def waves(lengths=LENGTHS, seed=0):
    rng = np.random.default_rng(seed)
    return [
        5 + 2 * np.sin(0.3 * np.arange(n) + i) + 0.3 * rng.normal(size=n)
        for i, n in enumerate(lengths)
    ]


def make(loss="mse", optimizer="adam", metrics=None, seed=0, **arguments):
    keras.utils.set_random_seed(seed)
    model = StatefulLSTMForecaster(**{"units": (8,), **arguments})
    model.compile(optimizer, loss, metrics=metrics)
    # Other weights than those that it drew count as fitted.
    model.network.set_weights([weight + 1e-3 for weight in model.network.get_weights()])
    return model


def full_sequence_network(model):
    """The same weights in a plain functional Keras model: no chunks, no carried state."""
    inputs = keras.Input((None, model.num_features))
    x = inputs
    for width in model.units:
        x = keras.layers.LSTM(width, return_sequences=True)(x)
    plain = keras.Model(inputs, keras.layers.Dense(model.num_features)(x))
    plain.set_weights(model.network.get_weights())
    return plain


def full_sequence_loss(model, series):
    """Sum over all series, each run whole and alone, over the number of observed targets."""
    plain = full_sequence_network(model)
    total = count = 0
    for one in series:
        z = ((one - np.nanmean(one)) / np.nanstd(one))[:, None]
        fed = z.copy()
        for t in range(len(fed)):
            if np.isnan(fed[t]):
                fed[t] = fed[t - 1] if t else 0
        predicted = np.asarray(plain(fed[None, :-1]))[0]
        error = (predicted - z[1:]) ** 2
        total += np.nansum(error)
        count += np.isfinite(error).sum()
    return total / count


def frozen():
    """An optimizer that moves nothing, so that `fit` reports the loss at the first weights."""
    return keras.optimizers.SGD(0.0)


@pytest.mark.parametrize(("rows", "steps"), slow_but((3, 20), of=[(3, 20), (1, 7), (7, 400)]))
def test_chunked_training_loss_is_the_full_sequence_loss(rows, steps):
    model = make(optimizer=frozen())
    series = waves()
    reported = model.fit(series, batch_size=rows, bptt_steps=steps, verbose=0).history["loss"][0]
    np.testing.assert_allclose(reported, full_sequence_loss(model, series), rtol=1e-6)


@pytest.mark.slow
def test_chunked_training_loss_in_float64(float64):
    model = make(optimizer=frozen(), units=(8, 5))
    assert model.compute_dtype == "float64"
    series = waves()
    reported = model.fit(series, batch_size=3, bptt_steps=20, verbose=0).history["loss"][0]
    expected = full_sequence_loss(model, series)
    np.testing.assert_allclose(reported, expected, rtol=1e-10)
    np.testing.assert_allclose(model.evaluate(series, verbose=0), expected, rtol=1e-10)


def test_missing_values_have_no_weight_and_repeat_the_last_input():
    series = waves([60, 80])
    series[0][[5, 6, 7, 30]] = np.nan
    series[1][-3:] = np.nan
    model = make(optimizer=frozen())
    reported = model.fit(series, bptt_steps=16, verbose=0).history["loss"][0]
    np.testing.assert_allclose(reported, full_sequence_loss(model, series), rtol=1e-6)


def test_gradients_are_truncated_at_chunks():
    """With the chunk as long as the series, one step is a plain full-sequence gradient step."""
    (one,) = waves([30])
    model = make(optimizer=keras.optimizers.SGD(0.1))
    plain = full_sequence_network(model)
    plain.compile(keras.optimizers.SGD(0.1), "mse")
    z = ((one - one.mean()) / one.std())[None, :, None]
    plain.train_on_batch(z[:, :-1], z[:, 1:])
    model.fit(one, bptt_steps=29, verbose=0)
    for ours, theirs in zip(model.network.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


def test_metrics_leave_out_padding_and_missing_values():
    series = waves([40, 23])
    series[1][10] = np.nan
    model = make(metrics=["mae", keras.metrics.RootMeanSquaredError(name="rmse")])
    found = model.evaluate(series, batch_size=2, return_dict=True, verbose=0)
    errors = np.concatenate(
        [
            (predicted[1:, 0] - one[1:]) / np.nanstd(one)
            for predicted, one in zip(model.predict(series), series, strict=True)
        ]
    )
    np.testing.assert_allclose(found["mae"], np.nanmean(np.abs(errors)), rtol=1e-5)
    np.testing.assert_allclose(found["rmse"], np.sqrt(np.nanmean(errors**2)), rtol=1e-5)


def test_validation_does_not_touch_training():
    series, held_out = waves(), waves([50, 90], seed=1)
    weights = []
    for validation_data in (None, held_out):
        model = make()
        arguments = {"batch_size": 3, "bptt_steps": 20, "epochs": 2, "verbose": 0}
        history = model.fit(series, validation_data=validation_data, **arguments).history
        weights.append(model.get_weights())
    for a, b in zip(*weights, strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_allclose(
        history["val_loss"][-1], full_sequence_loss(model, held_out), rtol=1e-5
    )


def test_inference_between_two_fits_changes_nothing():
    series = waves([60, 90])
    weights = []
    for look in (False, True):
        model = make()
        model.fit(series, bptt_steps=16, verbose=0)
        if look:
            model.forecast(5, series)
            model.predict(series[1])
            model.evaluate(waves([33] * 5), verbose=0)
        model.fit(series, bptt_steps=16, verbose=0)
        weights.append(model.get_weights())
    for a, b in zip(*weights, strict=True):
        np.testing.assert_array_equal(a, b)


def test_fit_again_with_other_series_and_rows():
    model = make(optimizer=frozen())
    for lengths, rows in ([40, 60], 2), ([50], 1), ([40, 60], 2), ([30] * 5, 5):
        series = waves(lengths)
        reported = model.fit(series, batch_size=rows, bptt_steps=16, verbose=0).history["loss"]
        np.testing.assert_allclose(reported[0], full_sequence_loss(model, series), rtol=1e-5)


@pytest.mark.slow
def test_training_learns_a_sine():
    sine = np.sin(0.3 * np.arange(200))
    model = make(units=(16,), optimizer=keras.optimizers.Adam(0.01))
    model.fit(sine[:150], bptt_steps=50, epochs=150, verbose=0)
    error = model.forecast(20, sine[:150])[:, 0] - sine[150:170]
    assert np.sqrt(np.mean(error**2)) < 0.1


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [{"jit_compile": True}, {"steps_per_execution": 3}])
def test_compile_options(arguments):
    series = waves()
    reported = []
    for extra in ({}, arguments):
        model = make()
        model.compile("adam", **extra)
        history = model.fit(series, batch_size=3, bptt_steps=40, epochs=2, verbose=0)
        reported.append(history.history["loss"])
    np.testing.assert_allclose(reported[0], reported[1], rtol=1e-4)


SETTINGS = [
    {},
    {"units": (8, 5), "initial_state": "learned"},
    {"initial_state": "noisy", "dropout": 0.3, "scaling": "global"},
    {"transform": "log", "seasonal_difference": 7},
    {"transform": "sqrt", "scaling": None},
    {"num_features": 2, "seasonal_difference": 3, "transform": "log1p"},
]


def trained(arguments):
    features = arguments.get("num_features", 1)
    series = waves([60, 45])
    if features > 1:
        series = [np.stack([one, one[::-1] ** 2], axis=1) for one in series]
    series[0][20] = np.nan
    model = make(optimizer=keras.optimizers.Adam(0.01), **arguments)
    model.fit(series, bptt_steps=16, epochs=2, verbose=0)
    return model, series


@pytest.mark.parametrize("arguments", slow_but(SETTINGS[0], SETTINGS[-1], of=SETTINGS))
def test_rollout_equals_a_step_loop(arguments):
    model, series = trained(arguments)
    forecasts = model.forecast(20, series)
    for context, forecast in zip(series, forecasts, strict=True):
        state = model.warm_up(context)
        x = state.prediction[0]
        steps = [x]
        for _ in range(19):
            x, state = model.step(x, state)
            steps.append(x)
        assert forecast.shape == (20, model.num_features)
        np.testing.assert_allclose(forecast, steps, rtol=1e-4)


@pytest.mark.parametrize("arguments", slow_but(SETTINGS[0], SETTINGS[-1], of=SETTINGS))
def test_predict_is_aligned_and_equals_stepping_through(arguments):
    model, series = trained(arguments)
    one = series[0]
    predicted = model.predict(series)[0]
    first = 1 + model.seasonal_difference
    assert predicted.shape == (len(one), model.num_features)
    assert np.isnan(predicted[:first]).all()
    assert np.isfinite(predicted[first:]).all()
    # The prediction after the whole series is the first forecast.
    state = model.warm_up(one)
    np.testing.assert_allclose(state.prediction[0], model.forecast(1, one)[0], rtol=1e-5)
    if model.scaling != "series":  # else a shorter context has another scale
        part = model.warm_up(one[:40])
        np.testing.assert_allclose(part.prediction[0], predicted[40], rtol=1e-4)


def test_steps_of_several_series_with_missing_observations():
    model, series = trained({"transform": "log", "seasonal_difference": 7, "scaling": "global"})
    several = [series[0][:30], series[1][:40]]
    state = model.warm_up(several)
    for x in ([5.0, 6.0], [np.nan, 4.0], [3.0, np.nan]):
        prediction, state = model.step(x, state)
    for i, tail in enumerate(([5.0, np.nan, 3.0], [6.0, 4.0, np.nan])):
        whole = model.warm_up(np.concatenate([several[i], tail]))
        np.testing.assert_allclose(prediction[i], whole.prediction[0], rtol=1e-5)


@pytest.mark.slow
def test_other_series_of_a_call_change_nothing():
    model = make(units=(8, 5))
    series = waves([48, 331, 100])
    model.fit(series, bptt_steps=50, verbose=0)
    together = model.forecast(15, series)
    reordered = model.forecast(15, [series[2], series[0] * 100, series[1]])
    np.testing.assert_allclose(reordered[0], together[2], rtol=1e-5)
    np.testing.assert_allclose(reordered[2], together[1], rtol=1e-5)
    for one, forecast in zip(series, together, strict=True):
        np.testing.assert_allclose(model.forecast(15, one), forecast, rtol=1e-5)
        np.testing.assert_allclose(
            model.predict(one), model.predict([*series, one])[-1], rtol=1e-5, equal_nan=True
        )


def test_forecast_under_xla_is_the_same():
    model = make(units=(8, 5))
    series = waves([48, 33, 21])
    expected = model.forecast(11, series)
    model.compile("adam", jit_compile=True)
    for found, one in zip(model.forecast(11, series), expected, strict=True):
        np.testing.assert_allclose(found, one, rtol=1e-5)


def test_more_series_than_one_compiled_call_takes():
    model = make(units=(3,))
    series = waves([20] * 300)
    many = model.forecast(2, series)
    assert len(many) == 300
    np.testing.assert_allclose(many[299], model.forecast(2, series[299]), rtol=1e-5)


def test_scaling_follows_the_context():
    model = make()
    (context,) = waves([80])
    forecast = model.forecast(10, context)
    np.testing.assert_allclose(
        model.forecast(10, 1000 * context - 7), 1000 * forecast - 7, rtol=1e-4
    )


def test_global_scale_is_learned_once_and_saved(tmp_path):
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


def test_called_on_a_tensor_it_predicts_one_step_ahead():
    model = make(units=(8, 5))
    x = np.random.default_rng(0).normal(size=(3, 12, 1)).astype("float32")
    expected = full_sequence_network(model)(x)
    np.testing.assert_allclose(model(x), expected, rtol=1e-5, atol=1e-6)


def test_learned_initial_state_is_trained():
    model = make(initial_state="learned", optimizer=keras.optimizers.Adam(0.1))
    model.fit(waves([30] * 4), epochs=2, verbose=0)
    (states,) = [w for w in model.trainable_weights if "initial_state" in w.path]
    assert states.shape == (2, 8)
    assert np.abs(states.numpy()).min() > 0


@pytest.mark.slow
def test_saved_and_loaded_in_a_fresh_process(tmp_path):
    for i, arguments in enumerate(SETTINGS):
        model, series = trained(arguments)
        model.save(tmp_path / f"{i}.keras")
        np.savez(
            tmp_path / f"{i}.npz",
            context=series[1],
            forecast=model.forecast(15, series[1]),
            loss=model.evaluate(series[1], verbose=0),
            iterations=model.optimizer.iterations,
        )
    printed = checks.run_in_fresh_process(
        """
        import pathlib, sys, keras, kerazoo, numpy as np
        for path in pathlib.Path(sys.argv[1]).glob("*.keras"):
            model = keras.saving.load_model(path, safe_mode=True)
            data = np.load(path.with_suffix(".npz"))
            np.testing.assert_array_equal(model.forecast(15, data["context"]), data["forecast"])
            np.testing.assert_allclose(model.evaluate(data["context"], verbose=0), data["loss"])
            assert isinstance(model.optimizer, keras.optimizers.Adam)
            assert model.optimizer.iterations == data["iterations"]
            np.testing.assert_allclose(model.optimizer.learning_rate, 0.01)
            print("same", path.stem)
        """,
        tmp_path,
    )
    assert printed.count("same") == len(SETTINGS)


@pytest.mark.slow
def test_training_goes_on_after_loading_as_if_without_a_break(tmp_path):
    series = waves([60, 45])
    whole, broken = make(metrics=["mae"]), make(metrics=["mae"])
    whole.fit(series, epochs=4, bptt_steps=16, verbose=0)
    broken.fit(series, epochs=2, bptt_steps=16, verbose=0)
    broken.save(tmp_path / "model.keras")
    broken = keras.saving.load_model(tmp_path / "model.keras")
    history = broken.fit(series, epochs=2, bptt_steps=16, verbose=0).history
    assert set(history) == {"loss", "mae"}
    for a, b in zip(whole.get_weights(), broken.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


def test_callbacks_of_keras(tmp_path):
    series = waves([60, 45])
    model = make()
    history = model.fit(
        series,
        epochs=5,
        validation_data=waves([40], seed=2),
        callbacks=[
            keras.callbacks.EarlyStopping("val_loss", patience=1, restore_best_weights=True),
            keras.callbacks.ModelCheckpoint(tmp_path / "best.keras", save_best_only=True),
            keras.callbacks.BackupAndRestore(tmp_path / "backup"),
        ],
        verbose=0,
    )
    best = keras.saving.load_model(tmp_path / "best.keras")
    np.testing.assert_allclose(
        best.evaluate(waves([40], seed=2), verbose=0), min(history.history["val_loss"]), rtol=1e-5
    )


@pytest.mark.parametrize("policy", slow_but("mixed_bfloat16", of=checks.DTYPE_POLICIES))
def test_dtype_policies(policy):
    model = make(dtype=policy)
    series = waves([60, 45])
    model.fit(series, bptt_steps=16, epochs=2, verbose=0)
    forecast = model.forecast(5, series[0])
    assert forecast.dtype == np.float64
    assert np.isfinite(forecast).all()
    assert {v.dtype for v in model.trainable_weights} == {keras.DTypePolicy(policy).variable_dtype}
    output = keras.backend.standardize_dtype(model(np.zeros((1, 3, 1))).dtype)
    assert output == keras.DTypePolicy(policy).variable_dtype


NAN, INF = np.nan, np.inf
BAD_SERIES = [
    ([], ValueError, "at least one series"),
    (np.zeros(0), ValueError, "at least 2 observed"),
    ([1.0], ValueError, "at least 2 observed"),
    ([1.0, NAN, NAN], ValueError, "at least 2 observed"),
    (np.full(9, NAN), ValueError, "at least 2 observed"),
    ([1.0, 2.0, INF], ValueError, "must be finite"),
    (np.zeros((9, 2)), ValueError, r"must have 1 feature"),
    (np.zeros((2, 9, 1)), ValueError, "several series go in a list"),
    (["a", "b", "c"], TypeError, "must hold real numbers"),
    (["1", "2", "3"], TypeError, "must hold real numbers"),
    (np.array(["1", 2, None], object), TypeError, "must hold real numbers"),
    ("series", TypeError, "must hold real numbers"),
    (None, ValueError, r"must have shape \(time,\)"),
    (np.array([1j, 2j]), TypeError, "must hold real numbers"),
    (np.array(["2020-01-01"] * 3, "datetime64[D]"), TypeError, "must hold real numbers"),
]


@pytest.mark.parametrize(("bad", "error", "message"), BAD_SERIES)
def test_bad_series_is_one_clear_error_everywhere(bad, error, message):
    model = make()
    before = model.get_weights()
    good = np.arange(9.0)
    calls = {
        "series": [model.fit, model.predict, lambda s: model.evaluate(s, verbose=0)],
        "context": [lambda s: model.forecast(3, s), model.warm_up],
        "validation_data": [lambda s: model.fit(good, validation_data=s)],
    }
    if bad is None:  # there means none, not a bad one
        del calls["validation_data"]
        calls["series"].pop()
    for name, functions in calls.items():
        for function in functions:
            with pytest.raises(error, match=rf"`{name}(\[\d\])?` .*{message}"):
                function(bad)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_bad_one_of_several_series_is_named():
    with pytest.raises(ValueError, match=r"`series\[1\]` must be finite.* at time 2"):
        make().fit([np.arange(5.0), np.array([1, 2, INF])])
    with pytest.raises(ValueError, match=r"`series\[1\]` must be above 0 .*transform='log'"):
        make(transform="log").fit([np.arange(1.0, 5.0), np.arange(5.0)])


@pytest.mark.parametrize("horizon", [0, -1, 2.5, 3.0, "3", None, True])
def test_bad_horizon(horizon):
    with pytest.raises(ValueError, match="`horizon` must be a positive integer"):
        make().forecast(horizon, np.arange(9.0))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"shuffle": True}, "`shuffle` must be False"),
        ({"batch_size": 0}, "`batch_size`"),
        ({"bptt_steps": 0}, "`bptt_steps`"),
        ({"epochs": 1.5}, "`epochs`"),
        ({"covariates": [1.0]}, "`covariates` must be None"),
    ],
)
def test_bad_fit_arguments(arguments, message):
    model = make(scaling="global")
    with pytest.raises(ValueError, match=message):
        model.fit(np.arange(9.0), **arguments)
    assert not np.any(model.scale)


@pytest.mark.parametrize("name", ["num_samples", "quantiles", "covariates"])
def test_what_a_point_forecast_has_not(name):
    with pytest.raises(ValueError, match=f"`{name}` must be None"):
        make().forecast(3, np.arange(9.0), **{name: 5})


@pytest.mark.parametrize(
    "arguments",
    [
        {"units": ()},
        {"units": (8, 0)},
        {"num_features": 0},
        {"num_covariates": 1},
        {"initial_state": "ones"},
        {"distribution": "gaussian"},
        {"quantiles": (0.1,)},
        {"dropout": 1.0},
        {"scaling": "none"},
        {"transform": "exp"},
        {"seasonal_difference": -1},
        {"seasonal_difference": 1.5},
        {"seasonal_difference": 0.0},
        {"units": None},
        {"units": 8.0},
        {"dropout": "a"},
    ],
)
def test_bad_constructor_arguments(arguments):
    with pytest.raises(ValueError, match=f"`{next(iter(arguments))}` must"):
        StatefulLSTMForecaster(**arguments)


@pytest.mark.parametrize(
    "x", [[1.0, 2.0, 3.0], [1.0, INF], [[1.0, 2.0]], 1.0, "ab", ["a", "b"], [1j, 2j], None]
)
def test_bad_step(x):
    model = make()
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


@pytest.mark.parametrize("arguments", [{}, {"seasonal_difference": 4}])
def test_stepping_over_gaps_is_warming_up_on_them(arguments):
    model = make(scaling="global", **arguments)
    (series,) = waves([40])
    model.fit(series, verbose=0)
    series[[12, 20, 21, 22, 30]] = NAN
    for t in range(8, 39):
        stepped, _ = model.step(series[t], model.warm_up(series[:t]))
        warmed = model.warm_up(series[: t + 1]).prediction[0]
        np.testing.assert_allclose(stepped, warmed, rtol=1e-5)
        if t + 1 not in (12, 20, 21, 22, 30):
            np.testing.assert_allclose(model.predict(series)[t + 1], warmed, rtol=1e-5)


def test_predictions_do_not_look_ahead():
    model = make(scaling=None, seasonal_difference=4)
    (series,) = waves([40])
    series[:3] = NAN
    before = model.predict(series)
    for t in range(6, 40, 5):
        changed = series.copy()
        changed[t:] += 100
        np.testing.assert_array_equal(model.predict(changed)[: t + 1], before[: t + 1])


def test_fit_before_compile_changes_nothing():
    model = StatefulLSTMForecaster(units=(2,), scaling="global")
    with pytest.raises(ValueError, match="call `compile` first"):
        model.fit(np.arange(9.0))
    assert not np.any(model.scale)


def test_global_scale_keeps_the_digits_of_large_values():
    (series,) = waves([80])
    reported = []
    for offset in (0.0, 1e9):
        model = make(scaling="global", optimizer=frozen())
        reported.append(model.fit(series + offset, verbose=0).history["loss"][0])
    np.testing.assert_allclose(*reported, rtol=1e-4)


def test_masked_arrays_are_missing_values():
    model = make()
    (series,) = waves([30])
    gaps = series.copy()
    gaps[[4, 9]] = NAN
    masked = np.ma.masked_invalid(np.where(np.isnan(gaps), 1e9, gaps))
    masked[[4, 9]] = np.ma.masked
    np.testing.assert_array_equal(model.forecast(3, masked), model.forecast(3, gaps))


@pytest.mark.slow
def test_one_long_context_does_not_inflate_the_others():
    model = make(units=(2,))
    series = [*waves([20] * 5), *waves([2**18 + 5]), *waves([20] * 5, seed=1)]
    together = model.forecast(2, series)
    for i in (0, 5, 10):
        np.testing.assert_allclose(together[i], model.forecast(2, series[i]), rtol=1e-4)


@pytest.fixture(scope="module")
def fitted():
    model = StatefulLSTMForecaster(units=(2,))
    model.compile("adam")
    model.fit(np.sin(np.arange(30.0)), verbose=0)
    return model


def test_what_was_never_fitted_forecasts_nothing():
    series = np.sin(np.arange(30.0))
    model = StatefulLSTMForecaster(units=(2,))
    model.compile("adam")
    calls = {
        "forecast": lambda: model.forecast(3, series),
        "predict": lambda: model.predict(series),
        "warm_up": lambda: model.warm_up(series),
        "backtest": lambda: model.backtest(series, 3, 20, verbose=0),
    }
    assert np.isfinite(model.evaluate(series, verbose=0))  # a loss to begin with
    for name, call in calls.items():
        with pytest.raises(ValueError, match=rf"`{name}` needs a fitted model: call `fit` first"):
            call()
    # A fit that leaves the weights where they are is one too.
    model.compile(frozen())
    model.fit(series, verbose=0)
    assert model.forecast(3, series).shape == (3, 1)


@pytest.mark.parametrize("how", ["load_model", "load_weights", "set_weights", "layer"])
def test_weights_that_were_given_count_as_fitted(fitted, how, tmp_path):
    series = np.sin(np.arange(30.0))
    model = StatefulLSTMForecaster(units=(2,))
    if how == "load_model":
        fitted.save(tmp_path / "model.keras")
        model = keras.saving.load_model(tmp_path / "model.keras")
    elif how == "load_weights":
        fitted.save_weights(tmp_path / "model.weights.h5")
        model.load_weights(tmp_path / "model.weights.h5")
    elif how == "set_weights":
        model.set_weights(fitted.get_weights())
    else:
        for ours, theirs in zip(model.weights, fitted.weights, strict=True):
            ours.assign(theirs)
    expected = fitted.forecast(3, series)
    np.testing.assert_allclose(model.forecast(3, series), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("method", "arguments", "advice"),
    [
        ("fit", {"validation_split": 0.2}, "`validation_data`"),
        ("fit", {"sample_weight": np.ones(30)}, "NaN takes one out"),
        ("fit", {"y": np.ones(30)}, "no targets"),
        ("fit", {"x": np.ones(30)}, "first argument"),
        ("fit", {"steps_per_epoch": 3}, "see the arguments of `fit`"),
        ("evaluate", {"sample_weight": np.ones(30)}, "NaN takes one out"),
        ("predict", {"batch_size": 3}, "see the arguments of `predict`"),
    ],
)
def test_arguments_of_other_keras_models(fitted, method, arguments, advice):
    series = {} if "x" in arguments else {"series": np.sin(np.arange(30.0))}
    (name,) = arguments
    message = rf"`{name}` is no argument of a forecaster's `{method}`: .*{advice}.*: {name}="
    with pytest.raises(TypeError, match=message):
        getattr(fitted, method)(**series, **arguments)


def test_targets_in_the_place_of_the_batch_size(fitted):
    with pytest.raises(ValueError, match=r"`batch_size` must be .*no targets"):
        fitted.fit(np.sin(np.arange(30.0)), np.ones(30))


def test_predict_takes_verbose(fitted):
    series = np.sin(np.arange(30.0))
    np.testing.assert_array_equal(fitted.predict(series, verbose=0), fitted.predict(series))


@pytest.mark.parametrize(
    "series",
    [
        {"a": np.ones(5)},
        np.array([np.arange(5.0), np.arange(4.0)], dtype=object),
        (value for value in (1.0, 2.0)),
    ],
)
def test_what_is_no_array_says_pass_a_list(fitted, series):
    with pytest.raises(TypeError, match=r"`context` must be .*; several series go in a list"):
        fitted.forecast(3, series)


def test_evaluate_without_series():
    with pytest.raises(ValueError, match="`series` must have shape"):
        make().evaluate()


def test_values_beyond_the_dtype_are_refused():
    model = make(scaling=None, dtype="mixed_float16")
    with pytest.raises(ValueError, match="`series` must stay within"):
        model.fit([1.0, 1e6, 3.0])


def test_weights_that_have_diverged_are_not_a_forecast():
    model = make()
    model.set_weights([np.full_like(w, NAN) for w in model.get_weights()])
    with pytest.raises(ValueError, match="predictions are not finite"):
        model.forecast(3, np.arange(9.0))
