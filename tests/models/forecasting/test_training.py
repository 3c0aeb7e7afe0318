"""Training and evaluation against a plain full-sequence network and NumPy's own arithmetic."""

import checks
import keras
import numpy as np
import pytest
from forecasting_cases import NAN, frozen, full_sequence_network, make, waves
from speed import slow_but

from kerazoo.models import StatefulLSTMForecaster


def standardized(one):
    one = one[np.isfinite(one).argmax() :]
    return ((one - np.nanmean(one)) / np.nanstd(one))[:, None]


def full_sequence_loss(model, series):
    """The mean over the series, each run whole and alone, of the mean over its targets."""
    plain = full_sequence_network(model)
    losses = []
    for one in series:
        z = standardized(one)
        fed = z.copy()
        for t in range(len(fed)):
            if np.isnan(fed[t]):
                fed[t] = fed[t - 1]
        predicted = np.asarray(plain(fed[None, :-1]))[0]
        losses.append(np.nanmean((predicted - z[1:]) ** 2))
    return np.mean(losses)


def one_step_errors(model, series, last=None):
    """Of each series the errors of `predict`, in units of the naive error that training uses."""
    season = model.seasonal_difference or 1
    errors = []
    for predicted, one in zip(model.predict(series), series, strict=True):
        known = one if last is None else one[:-last]
        naive = np.nanmean(np.abs(known[season:] - known[:-season]))
        errors.append(((predicted[:, 0] - one) / naive)[0 if last is None else -last :])
    return errors


def mean_of_means(errors, power=2):
    return np.mean([np.nanmean(np.abs(one) ** power) for one in errors])


# "whole_series" feeds the network one standardized value a step, as the plain one is fed.
@pytest.mark.parametrize("cell", slow_but("lstm", of=["lstm", "gru"]))
@pytest.mark.parametrize(("rows", "steps"), slow_but((7, 20), of=[(7, 20), (1, 7), (7, 400)]))
def test_chunked_training_loss_is_the_full_sequence_loss(cell, rows, steps):
    model = make(optimizer=frozen(), scaling="whole_series", cell=cell)
    series = waves()
    reported = model.fit(series, batch_size=rows, bptt_steps=steps, verbose=0).history["loss"][0]
    np.testing.assert_allclose(reported, full_sequence_loss(model, series), rtol=1e-6)


@pytest.mark.slow
def test_chunked_training_loss_in_float64(float64):
    model = make(optimizer=frozen(), units=(8, 5), scaling="whole_series")
    assert model.compute_dtype == "float64"
    series = waves()
    reported = model.fit(series, batch_size=3, bptt_steps=20, verbose=0).history["loss"][0]
    expected = full_sequence_loss(model, series)
    # Weights of values are of float32.
    np.testing.assert_allclose(reported, expected, rtol=1e-7)
    np.testing.assert_allclose(model.evaluate(series, verbose=0), expected, rtol=1e-7)


@pytest.mark.slow
def test_missing_values_have_no_weight_and_repeat_the_last_input():
    series = waves([60, 80, 70])
    series[0][[5, 6, 7, 30]] = NAN
    series[1][-3:] = NAN
    series[2][:6] = NAN
    model = make(optimizer=frozen(), scaling="whole_series")
    reported = model.fit(series, bptt_steps=16, verbose=0).history["loss"][0]
    np.testing.assert_allclose(reported, full_sequence_loss(model, series), rtol=1e-6)


@pytest.mark.slow
def test_gradients_are_truncated_at_chunks():
    """With the chunk as long as the series, one step is a plain full-sequence gradient step."""
    (one,) = waves([30])
    model = make(optimizer=keras.optimizers.SGD(0.1), scaling="whole_series")
    plain = full_sequence_network(model)
    plain.compile(keras.optimizers.SGD(0.1), "mse")
    z = standardized(one)[None]
    plain.train_on_batch(z[:, :-1], z[:, 1:])
    model.fit(one, bptt_steps=29, verbose=0)
    for ours, theirs in zip(model.network.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    "arguments",
    slow_but(
        {"seasonal_difference": 7},
        of=[{}, {"seasonal_difference": 7}, {"cell": "gru", "units": (5, 3)}],
    ),
)
def test_loss_and_metrics_are_those_of_what_predict_gives(arguments):
    """In units of each series' naive error; every series counts the same."""
    series = waves([90, 40, 63])
    series[0][[12, 40, 41]] = NAN
    series[1][-2:] = NAN
    series[2][:5] = NAN
    model = make(
        optimizer=frozen(),
        metrics=["mae", keras.metrics.RootMeanSquaredError(name="rmse")],
        **arguments,
    )
    errors = one_step_errors(model, series)
    expected = {
        "loss": mean_of_means(errors),
        "mae": mean_of_means(errors, power=1),
        "rmse": mean_of_means(errors) ** 0.5,
    }
    fitted = model.fit(series, batch_size=3, bptt_steps=13, validation_data=series, verbose=0)
    found = model.evaluate(series, return_dict=True, verbose=0)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-5, err_msg=name)
        np.testing.assert_allclose(fitted.history[name][0], value, rtol=1e-5, err_msg=name)
        np.testing.assert_allclose(fitted.history[f"val_{name}"][0], value, rtol=1e-5)
    assert model.evaluate(series, verbose=0) == list(found.values())


@pytest.mark.slow
def test_a_metric_of_two_features_counts_each_value_once():
    series = np.stack(waves([60, 60]), axis=1)
    series[10:50, 1] = NAN
    model = make(num_features=2)
    predicted = model.predict(series)
    naive = np.nanmean(np.abs(np.diff(series, axis=0)), axis=0)
    errors = (predicted - series) / naive
    expected = np.nanmean(errors**2, axis=0).mean()
    np.testing.assert_allclose(model.evaluate(series, verbose=0), expected, rtol=1e-5)


@pytest.mark.slow
def test_a_long_series_counts_as_much_as_a_short_one():
    short, long = waves([30]), waves([900], seed=1)
    model = make(optimizer=frozen())
    alone = [model.evaluate(one, verbose=0) for one in (short, long)]
    together = model.fit([*short, *long], batch_size=2, bptt_steps=48, verbose=0).history["loss"][0]
    np.testing.assert_allclose(together, np.mean(alone), rtol=1e-5)


def test_the_size_of_a_series_has_no_weight():
    series = waves([50, 50])
    model = make()
    expected = model.evaluate(series, verbose=0)
    found = model.evaluate([series[0] * 1e6, series[1] - 1e4], verbose=0)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


# Validation


@pytest.mark.parametrize("season", slow_but(7, of=[0, 7]))
def test_validation_on_the_ends_knows_their_past(season):
    series = waves([90, 70, 25])
    series[1][-3] = NAN
    weights, reported = [], []
    for arguments in (
        {"series": series, "validation_horizon": 10},
        {"series": [one[:-10] for one in series]},
        {"series": series, "validation_data": waves([40, 50], 5), "validation_horizon": 10},
    ):
        model = make(seasonal_difference=season)
        history = model.fit(**arguments, bptt_steps=20, epochs=2, verbose=0).history
        weights.append(model.get_weights())
        held_out = arguments.get("validation_data", series)
        if "validation_horizon" in arguments:
            reported.append(history["val_loss"][-1])
            expected = mean_of_means(one_step_errors(model, held_out, last=10))
            np.testing.assert_allclose(reported[-1], expected, rtol=1e-5)
            found = model.evaluate(held_out, validation_horizon=10, verbose=0)
            np.testing.assert_allclose(found, expected, rtol=1e-5)
    for a, b in zip(weights[0], weights[1], strict=True):  # trained on the rest alone
        np.testing.assert_array_equal(a, b)
    assert any((a != b).any() for a, b in zip(weights[0], weights[2], strict=True))


@pytest.mark.slow
def test_series_that_are_held_out_whole_are_not_trained_on():
    long, short = waves([60, 10])
    weights = []
    for series in ([long, short], [long]):
        model = make()
        model.fit(series, validation_horizon=20, batch_size=1, verbose=0)
        weights.append(model.get_weights())
    for a, b in zip(*weights, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_feature_that_is_first_observed_in_what_is_held_out():
    two = np.stack(waves([60, 60]), axis=1)
    two[:45, 1] = NAN
    model = make(num_features=2)
    with pytest.raises(ValueError, match="`validation_horizon` must be so small"):
        model.fit(two, validation_horizon=20, verbose=0)
    history = model.fit(two, validation_horizon=10, verbose=0).history
    assert np.isfinite([history["loss"][0], history["val_loss"][0]]).all()


@pytest.mark.slow
@pytest.mark.parametrize("scaling", ["global", "running"])
def test_validation_does_not_touch_training(scaling):
    series = waves()
    weights = []
    for validation_data in (None, waves([50, 90], seed=1)):
        model = make(scaling=scaling)
        arguments = {"batch_size": 3, "bptt_steps": 20, "epochs": 2, "verbose": 0}
        model.fit(series, validation_data=validation_data, **arguments)
        weights.append(model.get_weights())
    for a, b in zip(*weights, strict=True):
        np.testing.assert_array_equal(a, b)


# The order of training


@pytest.mark.slow
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
        model.fit(series, bptt_steps=16, shuffle=False, verbose=0)
        weights.append(model.get_weights())
    for a, b in zip(*weights, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_shuffling_is_seeded_and_permutes_the_series():
    series = waves([30] * 8)
    weights = []
    for seed, shuffle in ((0, True), (0, True), (1, True), (0, False), (1, False)):
        model = make()
        keras.utils.set_random_seed(seed)
        model.fit(series, batch_size=2, bptt_steps=15, epochs=2, shuffle=shuffle, verbose=0)
        weights.append(np.concatenate([w.ravel() for w in model.get_weights()]))
    np.testing.assert_array_equal(weights[0], weights[1])
    np.testing.assert_array_equal(weights[3], weights[4])
    for a, b in ((0, 2), (0, 3), (2, 3)):
        assert np.abs(weights[a] - weights[b]).max() > 1e-5


@pytest.mark.slow
def test_shuffling_leaves_the_loss_of_frozen_weights():
    """Rows keep their series to the end, so its state is carried in whatever order."""
    series = waves()
    model = make(optimizer=frozen())
    history = model.fit(series, batch_size=3, bptt_steps=20, epochs=4, verbose=0).history["loss"]
    np.testing.assert_allclose(history, model.evaluate(series, verbose=0), rtol=1e-5)


@pytest.mark.slow
def test_fit_again_with_other_series_and_rows():
    model = make(optimizer=frozen())
    for lengths, rows in ([40, 60], 2), ([50], 1), ([40, 60], 2), ([30] * 5, 5):
        series = waves(lengths)
        reported = model.fit(series, batch_size=rows, bptt_steps=16, verbose=0).history["loss"]
        expected = mean_of_means(one_step_errors(model, series))
        np.testing.assert_allclose(reported[0], expected, rtol=1e-5)


@pytest.mark.slow
def test_no_batch_size_is_a_sensible_one():
    """One long series is cut into rows, each of which begins anew; many short ones are not."""
    model = make(optimizer=frozen())
    model.fit(waves([5000]), bptt_steps=20, verbose=0)
    assert len(model._carried._variables[True][0].numpy()) == 12
    model.fit(waves([30] * 40), bptt_steps=20, verbose=0)
    assert len(model._carried._variables[True][0].numpy()) == 40


# Keras's own ways


@pytest.mark.slow
def test_learned_initial_state_is_trained():
    model = make(initial_state="learned", optimizer=keras.optimizers.Adam(0.1))
    model.fit(waves([30] * 4), epochs=2, verbose=0)
    (states,) = [w for w in model.trainable_weights if "initial_state" in w.path]
    assert states.shape == (2, 8)
    assert np.abs(states.numpy()).min() > 0


@pytest.mark.slow
@pytest.mark.parametrize("season", [0, 20])
def test_training_learns_a_sine(season):
    sine = np.sin(np.arange(200) * np.pi / 10)
    keras.utils.set_random_seed(0)
    model = StatefulLSTMForecaster((16,), seasonal_difference=season)
    model.compile(keras.optimizers.Adam(0.01))
    model.fit(sine[:150], bptt_steps=50, epochs=60 if season == 0 else 5, verbose=0)
    error = model.forecast(20, sine[:150])[:, 0] - sine[150:170]
    assert np.sqrt(np.mean(error**2)) < (0.1 if season == 0 else 1e-10)


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments", [{"jit_compile": True}, {"steps_per_execution": 4}, {"run_eagerly": True}]
)
def test_compile_options(arguments):
    series = waves()
    reported = []
    for extra in ({}, arguments):
        model = make()
        model.compile("adam", **extra)
        history = model.fit(series, batch_size=3, bptt_steps=40, epochs=2, shuffle=False, verbose=0)
        reported.append([*history.history["loss"], model.evaluate(series, verbose=0)])
    np.testing.assert_allclose(reported[0], reported[1], rtol=1e-4)


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.parametrize("policy", checks.DTYPE_POLICIES)
def test_dtype_policies(policy):
    model = make(dtype=policy)
    series = waves([60, 45])
    history = model.fit(series, bptt_steps=16, epochs=2, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    forecast = model.forecast(5, series[0])
    assert forecast.dtype == np.float64
    assert np.isfinite(forecast).all()
    assert {v.dtype for v in model.trainable_weights} == {keras.DTypePolicy(policy).variable_dtype}
    output = keras.backend.standardize_dtype(model(np.zeros((1, 3, 2))).dtype)
    assert output == keras.DTypePolicy(policy).variable_dtype
