"""The example jobs of the initializers, in small."""

import importlib
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest

import kerazoo

SCRIPTS = pathlib.Path(kerazoo.__file__).parent / "scripts"


def run(name, *arguments):
    command = [sys.executable, SCRIPTS / name, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.slow
def test_train_digits(tmp_path):
    printed = run(
        "train_digits.py",
        "--model",
        "prelu",
        "--data",
        "digits",
        "--seeds",
        1,
        "--output",
        tmp_path,
    )
    assert float(printed.split("prelu")[1].split()[0]) > 0.9
    assert (tmp_path / "digits_prelu.png").stat().st_size > 5_000


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(SCRIPTS)
    return importlib.import_module


def test_curves_of_several_starts(script, tmp_path):
    train_digits = script("train_digits")
    names = train_digits.networks("residual", (64,))
    assert [name.split(",")[0] for name in names] == ["SkipInit", "Fixup", "depth-scaled", "He"]
    curves = {name: [[0.1, 0.5], [0.2, 0.6]] for name in names}
    train_digits.plot_curves(curves, tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 5_000


def test_first_loss_with_prior_bias_is_the_base_rates_entropy(script):
    compare = script("compare_bias_starts")
    first, steps = compare.steps_to_base_rate("prior bias, zero kernel", seed=0, most=5)
    assert abs(first - 1) < 0.02
    assert steps == 5
    assert compare.steps_to_base_rate("zero bias", seed=0, most=0)[0] > 3


@pytest.mark.slow
def test_sign_to_be_recalled(script):
    compare = script("compare_bias_starts")
    x, y = compare.signs(500, 0, noise=0.5)
    assert x.shape == (500, 61, 1)
    np.testing.assert_array_equal(x[:, 0, 0], np.where(y[:, 0] == 1, 1, -1))
    assert abs(x[:, 1:].std() - 0.5) < 0.01
    assert abs(np.corrcoef(x[:, 1:, 0].sum(axis=1), y[:, 0])[0, 1]) < 0.15
    assert compare.recall("ChronoBias", seed=0, epochs=1)[-1] > 0.95


@pytest.mark.slow
def test_clients_start_from_the_servers_weights(script):
    federated = script("federated_warm_start")
    keras.utils.set_random_seed(0)
    _, parts, test = federated.data()
    rows = np.concatenate([x for x, _ in parts] + [test[0]])
    assert len(rows) == 1797 - 400
    model = federated.build()
    before = model.get_weights()
    expected = [np.mean(np.argmax(model(x), axis=-1) == y) for x, y in parts]
    arrivals, held_out = federated.in_process(model, parts, test, rounds=2)
    np.testing.assert_allclose(arrivals[0], expected, atol=1e-6)
    assert np.mean(arrivals[1]) > np.mean(arrivals[0]) + 0.05
    assert held_out[-1] == pytest.approx(np.mean(np.argmax(model(test[0]), -1) == test[1]))
    assert any(np.any(a != b) for a, b in zip(before, model.get_weights(), strict=True))


def test_average_counts_examples(script):
    average = script("federated_warm_start").average
    found = average([([np.array([1.0, 2.0]), np.array(3.0)], 1, 0), ([np.zeros(2), 7.0], 3, 0)])
    np.testing.assert_allclose(found[0], [0.25, 0.5])
    assert found[1] == 6.0


def test_signal_of_each_start(script, tmp_path):
    show = script("show_signal_propagation")
    starts = {("residual, 100 blocks", "SkipInit"): 1, ("residual, 100 blocks", "He"): 2}
    keras.utils.set_random_seed(0)
    found = {}
    for (group, name), growth in starts.items():
        kind = {"SkipInit": "skip_init", "He": "he"}[name]
        found[group, name] = np.array(show.path(show.residual(5, kind)))
        signal, gradient = found[group, name]
        assert len(signal) == len(gradient) == 5
        np.testing.assert_allclose(signal[-1] / signal[0], growth**4, rtol=0.5)
    show.plot(found | {("plain ReLU, 100 layers", "He"): found[group, name]}, tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 5_000
    assert show.cell(np.array([1.0, 100.0])) == "10 [1, 1e+02]"
    assert show.cell(np.array([0.0, 1.0])).startswith("0 ")
