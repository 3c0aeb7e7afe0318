"""The benchmark of forecasts compares what gives the same numbers."""

import pathlib
import runpy
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

import kerazoo

SCRIPT = pathlib.Path(kerazoo.__file__).parent / "scripts" / "bench_forecast.py"


@pytest.fixture(scope="module")
def script():
    sys.path.insert(0, str(SCRIPT.parent))
    try:
        return runpy.run_path(SCRIPT)
    finally:
        sys.path.remove(str(SCRIPT.parent))


def test_windows_hold_the_codecs_inputs_and_targets(script):
    rng = np.random.default_rng(0)
    known = [100 + rng.normal(size=n).cumsum() for n in (30, 45)]
    codec = kerazoo.models.StatefulLSTMForecaster(seasonal_difference=12).codec
    inputs, targets, weights = script["windows"](codec, known, 5)
    assert inputs.shape[1:] == (5, 4)
    assert len(inputs) == len(targets) == len(weights)
    # The last window of the second series, from a window of the codec's own length.
    need = codec.outlook + codec.lookback + 5
    past = np.concatenate([np.repeat(known[1][:1], need), known[1][:-1]])[-need:]
    count = np.array([44], "int32")
    encoded = codec.encode(
        codec.clean(past[None, :, None], count),
        tf.constant(count),
        known[1][None, :1],
        np.ones((1, 1)),
    )
    np.testing.assert_allclose(inputs[-1], encoded.inputs[0], rtol=1e-4, atol=1e-5)
    value = encoded.anchor[0, -1, 0] + encoded.scale[0, -1, 0] * targets[-1, 0]
    np.testing.assert_allclose(value, known[1][-1], rtol=1e-5)


def test_an_untrained_window_network_forecasts_the_anchor(script):
    rng = np.random.default_rng(0)
    known = [100 + rng.normal(size=n).cumsum() for n in (30, 45)]
    model = kerazoo.models.StatefulLSTMForecaster((4,), seasonal_difference=12)
    rolled = script["window_rollout"](model.codec, lambda x: tf.zeros((len(x), 1)), known, 5)()
    model.set_weights([np.zeros_like(weight) for weight in model.get_weights()])
    expected = np.stack(model.forecast(18, known))[..., 0]
    np.testing.assert_allclose(rolled, expected, rtol=1e-9)


@pytest.mark.slow
def test_runs_from_its_command_line():
    command = [sys.executable, SCRIPT, "--parts", "rollout", "backtest", "memory", "--rounds", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    for word in ("compiled step", "backtest, 60 origins", "14,280 series"):
        assert word in done.stdout
