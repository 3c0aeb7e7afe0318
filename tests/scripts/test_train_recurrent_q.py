"""The velocities are hidden, the other network has no memory, and the summary adds up."""

import pathlib
import re
import runpy
import sys

import gymnasium
import numpy as np
import pytest

import kerazoo

SCRIPT = pathlib.Path(kerazoo.__file__).parent / "scripts" / "train_recurrent_q.py"


@pytest.fixture(scope="module")
def script():
    return runpy.run_path(SCRIPT)


def test_only_positions_are_seen(script):
    hidden, plain = script["environment"](), gymnasium.make("CartPole-v1")
    seen, whole = [env.reset(seed=3)[0] for env in (hidden, plain)]
    for action in (0, 1, 1, 0, 1):
        np.testing.assert_array_equal(seen, whole[[0, 2]])  # the cart's place, the pole's angle
        assert hidden.observation_space.contains(seen)
        (seen, *rest), (whole, *others) = (env.step(action) for env in (hidden, plain))
        assert rest == others


@pytest.mark.slow
def test_summary(script, tmp_path, capsys, monkeypatch):
    models = []

    class Remembered(script["RecurrentQNetwork"]):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            models.append(self)

        def train(self, *args, **kwargs):  # 80 steps must be enough for an update
            return super().train(*args, learning_starts=40, **kwargs)

    monkeypatch.setitem(script["train"].__globals__, "RecurrentQNetwork", Remembered)
    arguments = "--seeds 2 --steps 80 --evaluation-every 40 --episodes 3 --verbose 0 --output"
    monkeypatch.setattr(sys, "argv", ["script", *arguments.split(), str(tmp_path)])
    script["main"]()
    assert (tmp_path / "recurrent_q.png").stat().st_size > 10_000

    assert [(model.seed, model.memory) for model in models] == [
        (0, True),
        (0, False),
        (1, True),
        (1, False),
    ]
    rng = np.random.default_rng(0)
    series = rng.normal(size=(1, 4, 2)).astype("float32")
    other = series.copy()
    other[:, 0] += 1  # long ago
    for model in models:
        differs = not np.allclose(model(series)[:, -1], model(other)[:, -1], atol=1e-7)
        assert differs == model.memory
    printed = capsys.readouterr().out
    means = [model.evaluate(3, seed=script["TEST_SEED"]).mean() for model in models]
    found = [float(x) for x in re.findall(r"mean return +([\d.]+) over 3 unseen", printed)]
    np.testing.assert_allclose(found, means, atol=0.051)
    ratios = means[0] / means[1], means[2] / means[3]
    assert f"ratios {ratios[0]:.2f}, {ratios[1]:.2f}" in printed
    assert f"above without on {sum(r > 1 for r in ratios)} of 2 seeds" in printed
