"""Saving and loading: the same model, what it was fitted on, and whether it was."""

import pickle

import checks
import keras
import numpy as np
import pandas as pd
import pytest
from forecasting_cases import frozen, make, waves
from speed import slow_but

from kerazoo.models import StatefulLSTMForecaster

SETTINGS = [
    {},
    {"units": (8, 5), "initial_state": "learned"},
    {"initial_state": "noisy", "dropout": 0.3, "scaling": "global"},
    {"transform": "log", "seasonal_difference": 7, "cell": "gru"},
    {"transform": "sqrt", "scaling": None, "bias_adjustment": False},
    {"scaling": "whole_series", "seasonal_difference": 3},
]


def fitted(**arguments):
    model = make(optimizer=keras.optimizers.Adam(0.01), **arguments)
    model.fit(waves([60, 45]), bptt_steps=16, epochs=2, verbose=0)
    return model


def reloaded(model, folder):
    model.save(folder / "model.keras")
    return keras.saving.load_model(folder / "model.keras", safe_mode=True)


@pytest.fixture(scope="module")
def model():
    return fitted(transform="log", seasonal_difference=7)


@pytest.mark.slow
def test_saved_and_loaded_in_a_fresh_process(tmp_path):
    context = waves([50], seed=3)[0]
    for i, arguments in enumerate(SETTINGS):
        model = fitted(**arguments)
        model.save(tmp_path / f"{i}.keras")
        np.savez(
            tmp_path / f"{i}.npz",
            context=context,
            forecast=model.forecast(15, context),
            loss=model.evaluate(context, verbose=0),
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


@pytest.mark.parametrize("how", slow_but("file", of=["file", "pickle"]))
def test_what_a_model_knows_survives(model, how, tmp_path):
    loaded = pickle.loads(pickle.dumps(model)) if how == "pickle" else reloaded(model, tmp_path)
    (context,) = waves([50], seed=3)
    np.testing.assert_array_equal(loaded.forecast(5, context), model.forecast(5, context))
    assert loaded.get_config() == model.get_config()
    assert loaded._record.arguments == model._record.arguments
    np.testing.assert_array_equal(loaded._record.variance, model._record.variance)
    assert loaded._record.variance.shape[1] == 1


@pytest.mark.slow
def test_refit_repeats_the_arguments_of_fit_after_loading(model, tmp_path):
    """Fault 13: it said that the model had none."""
    loaded = reloaded(model, tmp_path)
    expected = {"batch_size": None, "bptt_steps": 16, "epochs": 2, "shuffle": True}
    assert loaded._record.arguments == expected
    (series,) = waves([45])
    found = loaded.backtest(series, 3, 40, refit=True, verbose=0)
    assert np.shape(found.forecasts) == (3, 3, 1)
    assert np.isfinite(found.forecasts).all()


@pytest.mark.slow
@pytest.mark.parametrize("season", [0, 5])
def test_training_goes_on_after_loading_as_if_without_a_break(tmp_path, season):
    series = waves([60, 45])
    arguments = {"bptt_steps": 16, "shuffle": False, "verbose": 0}
    whole, broken = (make(metrics=["mae"], seasonal_difference=season) for _ in range(2))
    whole.fit(series, epochs=4, **arguments)
    broken.fit(series, epochs=2, **arguments)
    broken = reloaded(broken, tmp_path)
    history = broken.fit(series, epochs=2, **arguments).history
    assert set(history) == {"loss", "mae"}
    for a, b in zip(whole.get_weights(), broken.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


# Fitted or not


def calls(model, series):
    return {
        "forecast": lambda: model.forecast(3, series),
        "predict": lambda: model.predict(series),
        "warm_up": lambda: model.warm_up(series),
        "backtest": lambda: model.backtest(series, 3, 20, verbose=0),
    }


@pytest.mark.parametrize(
    "how", slow_but("new", "file", of=["new", "file", "weights", "pickle", "config"])
)
def test_what_was_never_fitted_forecasts_nothing(how, tmp_path):
    series = np.sin(np.arange(30.0))
    model = StatefulLSTMForecaster(units=(2,))
    model.compile("adam")
    if how == "file":
        model = reloaded(model, tmp_path)
    elif how == "pickle":
        model = pickle.loads(pickle.dumps(model))
    elif how == "config":
        model = StatefulLSTMForecaster.from_config(model.get_config())
    elif how == "weights":
        model.save_weights(tmp_path / "model.weights.h5")
        model = StatefulLSTMForecaster(units=(2,))
        model.load_weights(tmp_path / "model.weights.h5")
    for name, call in calls(model, series).items():
        with pytest.raises(ValueError, match=rf"`{name}` needs a fitted model: call `fit` first"):
            call()


@pytest.mark.slow
def test_a_fit_that_leaves_the_weights_where_they_are_is_one():
    series = np.sin(np.arange(30.0))
    model = StatefulLSTMForecaster(units=(2,))
    model.compile(frozen())
    assert np.isfinite(model.evaluate(series, verbose=0))  # a loss to begin with
    model.fit(series, verbose=0)
    assert model.forecast(3, series).shape == (3, 1)


@pytest.mark.parametrize(
    "how", slow_but("set_weights", of=["load_model", "load_weights", "set_weights", "layer"])
)
def test_weights_that_were_given_count_as_fitted(how, tmp_path):
    series = np.sin(np.arange(30.0))
    given = make(units=(2,))
    model = StatefulLSTMForecaster(units=(2,))
    if how == "load_model":
        model = reloaded(given, tmp_path)
    elif how == "load_weights":
        given.save_weights(tmp_path / "model.weights.h5")
        model.load_weights(tmp_path / "model.weights.h5")
    elif how == "set_weights":
        model.set_weights(given.get_weights())
    else:
        for ours, theirs in zip(model.weights, given.weights, strict=True):
            ours.assign(theirs)
    np.testing.assert_allclose(model.forecast(3, series), given.forecast(3, series), rtol=1e-6)


# What it was fitted on


def test_fitted_until(tmp_path):
    (series,) = waves([60])
    series[[3, 50]] = np.nan
    model = make()
    model.fit([series[:50], waves([30], 7)[0]], verbose=0)
    for known in (model, reloaded(model, tmp_path)):
        for values, expected in (
            (series, 50),
            (series[:50], 50),
            (series[10:], 40),  # its beginning left out
            (series[:49], 0),
            (series + 1, 0),
            (waves([40], 8)[0], 0),
        ):
            assert known._fitted_until(values[:, None]) == expected
    model.fit(series, validation_horizon=20, verbose=0)
    assert model._fitted_until(series[:, None]) == 40
    assert make()._fitted_until(series[:, None]) == 0


@pytest.mark.slow
def test_a_backtest_on_what_was_fitted_warns(tmp_path):
    """Fault 3."""
    (series,) = waves([60])
    model = make()
    model.fit(series[:50], verbose=0)
    model = reloaded(model, tmp_path)
    with pytest.warns(UserWarning, match="fitted"):
        model.backtest(series, 3, 40, verbose=0)
    model.backtest(series, 3, 50, verbose=0)  # filterwarnings = error


# pandas


@pytest.fixture
def frame():
    days = pd.date_range("2024-01-01", periods=40, freq="D")
    values = np.stack(waves([40, 40]), axis=1) * [1, 100]
    return pd.DataFrame(values, days, ["load", "wind"])


@pytest.mark.slow
def test_columns_are_matched_by_name_also_after_loading(frame, tmp_path):
    model = make(num_features=2)
    model.fit(frame, verbose=0)
    expected = model.forecast(3, frame)
    permuted = frame[["wind", "load"]]
    for known in (model, reloaded(model, tmp_path)):
        pd.testing.assert_frame_equal(known.forecast(3, permuted)[["load", "wind"]], expected)
        predicted = known.predict(permuted)
        pd.testing.assert_frame_equal(predicted[["load", "wind"]], model.predict(frame))
        loss = known.evaluate(permuted, verbose=0)
        np.testing.assert_allclose(loss, model.evaluate(frame, verbose=0))
        with pytest.raises(ValueError, match=r"`context`.*'wind'"):
            known.forecast(3, frame.rename(columns={"wind": "sun"}))


@pytest.mark.slow
def test_columns_keep_their_place_in_a_second_fit(frame):
    weights = []
    for second in (frame, frame[["wind", "load"]]):
        model = make(num_features=2)
        model.fit(frame, verbose=0)
        model.fit(second, validation_data=second, verbose=0)
        weights.append(model.get_weights())
    for a, b in zip(*weights, strict=True):
        np.testing.assert_array_equal(a, b)


def test_dates_follow(frame):
    """Fault 4: the index was ignored."""
    model = make(seasonal_difference=7)
    one = frame["load"]
    forecast = model.forecast(3, one)
    assert list(forecast.index) == list(pd.date_range("2024-02-10", periods=3, freq="D"))
    np.testing.assert_array_equal(forecast.to_numpy(), model.forecast(3, one.to_numpy())[:, 0])
    gap = one.to_numpy().copy()
    gap[20] = np.nan
    found = model.forecast(3, one.drop(one.index[20]))
    np.testing.assert_array_equal(found.to_numpy(), model.forecast(3, gap)[:, 0])
    predicted = model.predict(one.drop(one.index[20]))
    assert list(predicted.index) == list(one.drop(one.index[20]).index)
    for bad in (one[::-1], pd.concat([one, one[-1:]]), one.sample(frac=1, random_state=0)):
        with pytest.raises(ValueError, match=r"`context`.*2024"):
            model.forecast(3, bad)


def test_many_series_in_a_long_frame(frame):
    model = make()
    long = frame.rename_axis("ds").reset_index().melt("ds", var_name="unique_id", value_name="y")
    history = model.fit(long, validation_horizon=5, verbose=0).history
    assert np.isfinite(history["val_loss"]).all()
    found = model.forecast(2, long)
    assert list(found["unique_id"]) == ["load", "load", "wind", "wind"]
    by_name = model.forecast(2, {"load": frame["load"], "wind": frame["wind"]})
    np.testing.assert_array_equal(found.iloc[:2, -1], by_name["load"].to_numpy())
    wide = model.forecast(2, frame)
    np.testing.assert_array_equal(wide["wind"].to_numpy(), by_name["wind"].to_numpy())
    assert len(model.warm_up(long).count) == 2
