"""The forecaster trained anew equals one that is built and trained alone."""

import keras
import numpy as np
import pytest

from kerazoo.models import StatefulLSTMForecaster
from kerazoo.models.forecasting._refit import Refit

SERIES = 5 + np.sin(np.arange(60) * np.pi / 6)


def forecaster(**compiled):
    model = StatefulLSTMForecaster(units=(3,))
    model.compile(keras.optimizers.Adam(0.01), **compiled)
    return model


@pytest.mark.slow
def test_trains_from_the_same_weights_each_time():
    arguments = {"epochs": 2, "bptt_steps": 10}
    model = forecaster()
    before = model.get_weights()
    keras.utils.set_random_seed(3)
    refit = Refit(model, arguments)
    again = [refit.on(SERIES[:n]).forecast(5, SERIES[:n]) for n in (40, 50)]
    for n, found in zip((40, 50), again, strict=True):
        keras.utils.set_random_seed(3)
        alone = StatefulLSTMForecaster.from_config(model.get_config())
        alone.compile(keras.optimizers.Adam(0.01))
        alone.fit(SERIES[:n], verbose=0, **arguments)
        np.testing.assert_allclose(found, alone.forecast(5, SERIES[:n]), rtol=1e-4)
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_begins_anew_after_a_training_that_diverged():
    refit = Refit(forecaster(), {"epochs": 1})
    expected = refit.on(SERIES).get_weights()
    for variable in refit.model.trainable_variables:
        variable.assign(np.full(variable.shape, np.nan))
    for one, other in zip(expected, refit.on(SERIES).get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_a_loss_and_a_metric_that_nobody_registered():
    model = forecaster(
        loss=lambda y, p: keras.ops.mean((y - p) ** 2, axis=-1),
        metrics=lambda y, p: keras.ops.mean(keras.ops.abs(y - p), axis=-1),
    )
    assert Refit(model, {"epochs": 1}).on(SERIES).forecast(5, SERIES).shape == (5, 1)


def test_needs_a_compiled_model():
    with pytest.raises(ValueError, match="`refit` needs a compiled model"):
        Refit(StatefulLSTMForecaster(units=(2,)), {})


@pytest.mark.parametrize("refit", [{}, False, np.False_])
def test_no_arguments_of_fit_still_mean_a_refit(refit, monkeypatch):
    """`refit={}` was taken for False, and `np.False_` for a dictionary."""
    model, trained = forecaster(), []
    monkeypatch.setattr(Refit, "on", lambda self, series: trained.append(series) or self.model)
    if refit != {}:
        with pytest.raises(ValueError, match="needs a fitted model"):
            model.backtest(SERIES, 5, start=50, refit=refit, verbose=0)
    else:
        model.backtest(SERIES, 5, start=50, stride=5, refit=refit, verbose=0)
    assert len(trained) == (2 if refit == {} else 0)
