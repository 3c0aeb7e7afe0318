"""Files written by the first version of the package still load, and predict the same.

That version is taken from the repository's own history, so that no binary file is kept here.
"""

import os
import pathlib
import subprocess
import sys
import tarfile

import keras
import numpy as np
import pytest

import kerazoo

pytestmark = pytest.mark.slow

# Before the checks of arguments, other backends and older versions of Keras.
FIRST_VERSION = "9ba408cb641bef76d576059147c1751172c03723"
ROOT = pathlib.Path(kerazoo.__file__).resolve().parent

WRITES_FILES = """
import sys
import keras
import numpy as np
import kerazoo
from kerazoo import initializers, layers, losses, models, optimizers

assert sys.path[0] in kerazoo.__file__, kerazoo.__file__
keras.utils.set_random_seed(0)

inputs = x = keras.Input((6, 6, 2))
x = layers.MaxoutConv2D(3, 2, 3, kernel_initializer=initializers.MaxoutNormal(2))(x)
x = layers.PReLU(alpha_initializer=0.3)(x)
x = layers.SkipInit(0.5)(x)
x = keras.layers.Reshape((16, 3))(x)
states = layers.InitialState(4, mode="learned", state_initializer="random_normal")(x)
bias = initializers.ChronoBias(20, seed=1)
lstm = keras.layers.LSTM(4, bias_initializer=bias, unit_forget_bias=False)
x = lstm(x, initial_state=states)
x = layers.MaxoutDense(4, 3)(x)
x = layers.Maxout(2)(x)
outputs = keras.layers.Dense(4, bias_initializer=initializers.PriorBias([0.1] * 4))(x)
network = keras.Model(inputs, outputs)
metric = losses.UnpackedMetric("mse", {"action": 2, "advantage": 1}, "action", name="squares")
loss = losses.A2CActorLoss("gaussian")
y = np.random.default_rng(1).normal(size=(5, 3)).astype("float32")
x = np.random.default_rng(0).normal(size=(5, 6, 6, 2)).astype("float32")
network.compile("adam", loss)
network.fit(x, y, verbose=0)
network.save("layers.keras")
np.savez("layers.npz", x=x, y=y, outputs=network(x), loss=network.evaluate(x, y, verbose=0))

wave = np.sin(0.3 * np.arange(60.0))
forecaster = models.StatefulLSTMForecaster(units=(4,), initial_state="noisy", scaling="global")
forecaster.compile("adam")
forecaster.fit(wave, bptt_steps=16, epochs=2, verbose=0)
forecaster.save("forecaster.keras")
np.savez("forecaster.npz", x=wave, outputs=forecaster.forecast(5, wave))
forecaster = models.StatefulLSTMForecaster(units=(4, 3), seasonal_difference=2, transform="log1p")
forecaster.compile("adam")
forecaster.fit([wave + 2, wave[:30] + 3], bptt_steps=16, epochs=2, verbose=0)
forecaster.save("default_forecaster.keras")
outputs, predicted = forecaster.forecast(5, wave + 2), forecaster.predict(wave + 2)
np.savez("default_forecaster.npz", x=wave + 2, outputs=outputs, predicted=predicted)

plain = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, "tanh"), keras.layers.Dense(1)])
x = np.random.default_rng(0).normal(size=(20, 3))
model = models.LeastSquares(plain)
model.compile(optimizers.LevenbergMarquardt("nielsen"))
model.fit(x, x[:, :1], epochs=3, verbose=0)
model.save("least_squares.keras")
np.savez("least_squares.npz", x=x, outputs=model.predict(x, verbose=0))

agent = models.ActorCritic(3, {"low": [0.0], "high": [1.0]}, seed=0)
agent.save("agent.keras")
np.savez("agent.npz", x=x, outputs=agent.act(x.astype("float32")))
memory = models.RecurrentQNetwork(3, 2, units=4, seed=0)
memory.save("memory.keras")
np.savez("memory.npz", x=x, outputs=memory.act(x.astype("float32"))[0])
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Files that a process with the first version wrote."""
    folder = tmp_path_factory.mktemp("old")
    archive = folder / "old.tar"
    if not (ROOT / ".git").exists():
        pytest.skip("not a checkout: the history with the first version is not here")
    command = ["git", "archive", f"--output={archive}", FIRST_VERSION]
    subprocess.run(command, cwd=ROOT, check=True)
    with tarfile.open(archive) as opened:
        opened.extractall(folder / "path" / "kerazoo", filter="data")
    environment = {**os.environ, "PYTHONPATH": str(folder / "path")}
    code = f"import sys; sys.path.insert(0, {str(folder / 'path')!r})\n{WRITES_FILES}"
    subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment, check=True)
    return folder


def load(folder, name):
    model = keras.saving.load_model(folder / f"{name}.keras", safe_mode=True)
    return model, np.load(folder / f"{name}.npz")


def test_layers_initializers_and_losses(folder):
    model, old = load(folder, "layers")
    np.testing.assert_allclose(model(old["x"]), old["outputs"], rtol=1e-6)
    np.testing.assert_allclose(model.evaluate(old["x"], old["y"], verbose=0), old["loss"], 1e-6)


def test_forecaster(folder):
    model, old = load(folder, "forecaster")
    np.testing.assert_allclose(model.forecast(5, old["x"]), old["outputs"], rtol=1e-6)


def test_forecaster_of_the_old_default_scaling(folder):
    """It loads with its old meaning, to look at each whole series, and one warning that says so."""
    with pytest.warns(UserWarning, match="old default scaling") as warned:
        model, old = load(folder, "default_forecaster")
    said = [str(one.message) for one in warned if one.category is UserWarning]
    assert len(said) == 1, said
    assert model.scaling == "whole_series"
    np.testing.assert_allclose(model.forecast(5, old["x"]), old["outputs"], rtol=1e-6)
    np.testing.assert_allclose(model.predict(old["x"]), old["predicted"], rtol=1e-6)
    model.save(folder / "again.keras")  # with its new name, and so without a warning
    again = keras.saving.load_model(folder / "again.keras", safe_mode=True)
    np.testing.assert_array_equal(again.forecast(5, old["x"]), model.forecast(5, old["x"]))
    again.fit(old["x"], verbose=0)


def test_least_squares(folder):
    model, old = load(folder, "least_squares")
    np.testing.assert_allclose(model.predict(old["x"], verbose=0), old["outputs"], rtol=1e-6)
    model.fit(old["x"], old["x"][:, :1], epochs=1, verbose=0)


def test_agents(folder):
    model, old = load(folder, "agent")
    np.testing.assert_allclose(model.act(old["x"].astype("float32")), old["outputs"], rtol=1e-6)
    model, old = load(folder, "memory")
    np.testing.assert_array_equal(model.act(old["x"].astype("float32"))[0], old["outputs"])
