"""The summary is of the trained models, and the ratio beside the peer that of the same round."""

import io
import pathlib
import re
import runpy
import sys

import numpy as np
import pytest

import kerazoo

SCRIPT = pathlib.Path(kerazoo.__file__).parent / "scripts" / "train_actor_critic.py"


@pytest.fixture
def script():
    return runpy.run_path(SCRIPT)


@pytest.mark.slow
def test_summary(script, tmp_path, capsys, monkeypatch):
    models, train = [], kerazoo.models.ActorCritic.train
    monkeypatch.setattr(
        kerazoo.models.ActorCritic,
        "train",
        lambda self, *args, **kwargs: models.append((self, kwargs)) or train(self, *args, **kwargs),
    )
    arguments = "--seed 0 1 --steps 256 --evaluation-every 128 --episodes 3"
    command = ["script", *arguments.split(), "--verbose", "0", "--output", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", command)
    script["main"]()
    printed = capsys.readouterr().out
    assert (tmp_path / "actor_critic_cartpole.png").stat().st_size > 10_000

    assert [model.seed for model, _ in models] == [kwargs["seed"] for _, kwargs in models] == [0, 1]
    returns = [model.evaluate(3, seed=script["TEST_SEED"]) for model, _ in models]
    pattern = r"greedy return (-?[\d.]+) \(lowest (-?[\d.]+)\) over 3 unseen"
    found = [tuple(map(float, pair)) for pair in re.findall(pattern, printed)]
    np.testing.assert_allclose(found, [(r.mean(), r.min()) for r in returns], atol=0.051)
    solved = sum(r.mean() >= 475 for r in returns)
    assert f"solved (at least 475): {solved} of 2 seeds" in printed


def test_a_round_is_timed(script, capsys, monkeypatch):
    monkeypatch.setitem(script["answer"].__globals__, "SPEED_STEPS", 128)
    monkeypatch.setattr(sys, "stdin", io.StringIO("8\n8\n"))
    script["answer"]("kerazoo")
    rates = np.array([line.split() for line in capsys.readouterr().out.splitlines()], float)
    assert rates.shape == (2, 2)
    assert (rates > 0).all()


def test_ratios_are_of_the_same_round(script, capsys, monkeypatch):
    """A machine that halves its speed from round to round does not show in them."""
    rates = {"kerazoo": 1000.0, "kerazoo, XLA": 2000.0, "SB3 A2C": 1500.0}

    class Worker:
        def __init__(self, command, **_):
            self.name, self.steps, self.round = command[-1], [], {}
            self.stdin = self.stdout = self

        def write(self, line):
            steps = int(line)
            self.round[steps] = self.round.get(steps, -1) + 1
            rate = rates[self.name] / 2 ** self.round[steps] * steps
            self.line = f"{rate} {3 * rate}\n"

        def flush(self):
            pass

        def readline(self):
            return self.line

        def communicate(self):
            pass

    popen = script["speed"].__globals__["subprocess"]
    monkeypatch.setattr(popen, "Popen", Worker)
    script["speed"]("another python", rounds=3)
    printed = capsys.readouterr().out
    ratio = {}
    for line in printed.splitlines():
        found = re.match(r"SB3 A2C / (.*?), (each at its own default|both at \d+) +([\d.]+)", line)
        if found:
            ratio[found[1], found[2]] = float(found[3])
    assert ratio == {
        ("kerazoo", "each at its own default"): pytest.approx(1.5 * 5 / 16, abs=0.006),
        ("kerazoo", "both at 16"): 1.5,
        ("kerazoo", "both at 5"): 1.5,
        ("kerazoo, XLA", "each at its own default"): pytest.approx(0.75 * 5 / 16, abs=0.006),
        ("kerazoo, XLA", "both at 16"): 0.75,
        ("kerazoo, XLA", "both at 5"): 0.75,
    }
    assert "kerazoo, 16 steps an update" in printed
    assert "4,000 steps a second  12,000 a CPU second" in printed
