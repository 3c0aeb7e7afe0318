import keras
import numpy as np
import pytest

from kerazoo.models import StatefulLSTMForecaster
from kerazoo.models.forecasting import LinearAutoregression, SeasonalNaive, mase, rmse


@pytest.fixture
def series():
    rng = np.random.default_rng(0)
    return 5 + np.sin(np.arange(70) * np.pi / 6) + 0.1 * rng.normal(size=70)


@pytest.fixture
def model():
    keras.utils.set_random_seed(0)
    model = StatefulLSTMForecaster(units=(4,), transform="log")
    model.compile(keras.optimizers.Adam(0.01))
    # Other weights than those that it drew count as fitted.
    model.network.set_weights([weight + 1e-3 for weight in model.network.get_weights()])
    return model


def test_forecasts_scores_and_baselines(model, series):
    result = model.backtest(series, horizon=8, start=40, stride=9, season_length=12, verbose=0)
    assert result.origins == [40, 49, 58]
    scores = result.scores()
    methods = {
        "forecaster": model,
        "seasonal naive": SeasonalNaive(12),
        "linear autoregression": None,
    }
    assert list(scores) == list(methods)
    for i, origin in enumerate(result.origins):
        known, truth = series[:origin], series[origin : origin + 8]
        methods["linear autoregression"] = LinearAutoregression(13, "log").fit(known)
        for name, method in methods.items():
            forecast = method.forecast(8, known)
            np.testing.assert_allclose(result.by_method[name][i], forecast, rtol=1e-6)
            expected = mase(truth[:, None], forecast, known, 12), rmse(truth[:, None], forecast)
            np.testing.assert_allclose(
                [scores[name]["mase"][i], scores[name]["rmse"][i]], expected, rtol=1e-6
            )
    np.testing.assert_array_equal(result.forecasts, result.by_method["forecaster"])
    table = result.table()
    assert f"{scores['forecaster']['mase'].mean():.3f}" in table
    assert f"{scores['seasonal naive']['rmse'].mean():.4g}" in table


@pytest.mark.slow
def test_refit_trains_on_what_precedes_each_origin(model, series):
    arguments = {"epochs": 3, "bptt_steps": 10}
    weights = model.get_weights()
    keras.utils.set_random_seed(3)
    result = model.backtest(series, 5, 40, stride=12, refit=arguments, verbose=0)
    for before, after in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
    for i, origin in enumerate(result.origins):
        keras.utils.set_random_seed(3)
        alone = StatefulLSTMForecaster.from_config(model.get_config())
        alone.compile(keras.optimizers.Adam(0.01))
        alone.fit(series[:origin], verbose=0, **arguments)
        expected = alone.forecast(5, series[:origin])
        np.testing.assert_allclose(result.forecasts[i], expected, rtol=1e-4)


@pytest.mark.slow
def test_refit_true_repeats_the_last_fit(model, series):
    with pytest.raises(ValueError, match="call `fit` first"):
        model.backtest(series, 5, 60, refit=True, verbose=0)
    model.fit(series[:60], epochs=2, bptt_steps=9, verbose=0)
    results = []
    for refit in (True, {"epochs": 2, "bptt_steps": 9}):
        keras.utils.set_random_seed(3)
        results.append(model.backtest(series, 5, 60, stride=3, refit=refit, verbose=0).forecasts)
    np.testing.assert_array_equal(*results)


def test_missing_truth(model, series):
    series[50:58] = np.nan
    result = model.backtest(series, 4, 46, stride=4, season_length=12, verbose=0)
    observed = np.isfinite(result.scores()["forecaster"]["mase"])
    np.testing.assert_array_equal(observed, [True, False, False, True, True, True])
    assert "nan" not in result.table()


def test_picture(model, series, tmp_path):
    result = model.backtest(series, 8, 40, stride=9, season_length=12, verbose=0)
    result.plot(tmp_path / "backtest.png", xlabel="month", ylabel="level")
    assert (tmp_path / "backtest.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"horizon": 0}, "`horizon`"),
        ({"start": 0}, "`start`"),
        ({"stride": 1.5}, "`stride`"),
        ({"season_length": 0}, "`season_length`"),
        ({"start": 68}, "`series` must reach"),
        ({"series": [np.arange(9.0), np.arange(8.0)]}, "`series` must be one series"),
        ({"refit": "yes"}, "`refit` must"),
        ({"refit": {"validation_split": 0.2}}, r"`refit` must be .* of `fit`: .*'bptt_steps'"),
        ({"start": "2024-04-20"}, r"`start` must be a positive integer.*index\.get_loc"),
    ],
)
def test_errors(model, series, arguments, message):
    arguments = {"series": series, "horizon": 5, "start": 40, **arguments}
    with pytest.raises(ValueError, match=message):
        model.backtest(**arguments, verbose=0)


def test_start_must_leave_two_differences(series):
    model = StatefulLSTMForecaster(units=(2,), seasonal_difference=12)
    model.network.set_weights([weight + 1 for weight in model.network.get_weights()])
    with pytest.raises(ValueError, match="`start` must be at least 14"):
        model.backtest(series, 5, 13, verbose=0)


def test_what_a_baseline_cannot_do_is_nan(model):
    flat = np.full(30, 4.0)
    flat[20:] += np.arange(10) % 3
    result = model.backtest(flat, horizon=5, start=10, stride=15, season_length=12, verbose=0)
    scores = result.scores()
    assert np.isnan(scores["seasonal naive"]["rmse"][0])  # 10 values are no season of 12
    assert np.isnan(scores["linear autoregression"]["rmse"][0])
    assert np.isfinite(scores["forecaster"]["rmse"]).all()
    np.testing.assert_array_equal(np.isfinite(scores["forecaster"]["mase"]), [False, True])
    assert f"{scores['seasonal naive']['rmse'][1]:.4g}" in result.table()


def test_refit_with_a_loss_and_a_metric_that_nobody_registered(series):
    model = StatefulLSTMForecaster(units=(2,))
    model.compile(
        "adam",
        loss=lambda y, p: keras.ops.mean((y - p) ** 2, axis=-1),
        metrics=lambda y, p: keras.ops.mean(keras.ops.abs(y - p), axis=-1),
    )
    result = model.backtest(series, 5, 60, refit={"epochs": 1}, verbose=0)
    assert result.forecasts.shape == (6, 5, 1)
