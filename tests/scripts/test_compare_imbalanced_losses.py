"""The table says what the runs say, and the runs what scikit-learn and SciPy say."""

import pathlib
import runpy
import sys

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import average_precision_score, f1_score

import kerazoo

SCRIPTS = pathlib.Path(kerazoo.__file__).parent / "scripts"


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(SCRIPTS)
    return runpy.run_path(SCRIPTS / "compare_imbalanced_losses.py")


def test_the_tuned_threshold_is_the_best_of_all(script):
    rng = np.random.default_rng(0)
    for _ in range(20):
        truth = (rng.uniform(size=60) < 0.2).astype(float)
        truth[0] = 1
        p = np.round(np.clip(0.3 * truth + rng.uniform(size=60) / 2, 0, 1), 1)  # with ties
        found = f1_score(truth, p >= script["best_threshold"](truth, p))
        assert found == max(f1_score(truth, p >= t) for t in np.unique(p))


@pytest.mark.slow
def test_problems(script):
    for problem, share, rows in (("synthetic", 1 / 50, 20_000), ("digits", 1 / 31, 4650)):
        x, y, _ = script[problem](3)
        assert len(x) == len(y) == rows
        assert abs(y.mean() - share) < 0.006
        assert not np.array_equal(script[problem](4)[0], x)
    parts = script["split"](x, y, 0)
    assert [len(part) for part, _ in parts] == [2790, 930, 930]
    assert [labels.sum() for _, labels in parts] == [90, 30, 30]
    train = parts[0][0]
    np.testing.assert_allclose(train.mean(0), 0, atol=1e-4)
    assert train.std(0).max() < 1.001
    rows = np.concatenate([part for part, _ in parts])
    assert len(np.unique(rows, axis=0)) == len(np.unique(x, axis=0))


@pytest.mark.slow
def test_run_and_table(script, tmp_path, capsys, monkeypatch):
    """One small problem, two seeds, two of the losses: every printed number once more."""
    losses = script["LOSSES"]
    for name in set(losses) - {"BCE", "SoftFBeta"}:
        del losses[name]

    def small(seed):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(500, 3))
        return x, (x[:, 0] + 0.5 * rng.normal(size=500) > 1.3).astype(int), 64

    problems, runs, run = script["PROBLEMS"], [], script["run"]
    problems.clear()
    problems["small"] = small
    remember = lambda *arguments: runs.append(run(*arguments)) or runs[-1]  # noqa: E731
    monkeypatch.setitem(script["main"].__globals__, "run", remember)
    command = ["script", "--seeds", "2", "--epochs", "3", "--output", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", command)
    script["main"]()
    assert (tmp_path / "imbalanced_losses.png").stat().st_size > 10_000

    lines = capsys.readouterr().out.splitlines()
    scores = {}
    for name in losses:
        for one in runs:
            at_half, _, precision, (truth, p) = one[name]
            assert at_half == f1_score(truth, p >= 0.5, zero_division=0)
            assert precision == average_precision_score(truth, p)
            assert truth.sum() >= 3
        scores[name] = np.array([one[name][:3] for one in runs])
        (line,) = (line for line in lines if line.startswith(name))
        numbers = [
            float(x)
            for x in line[14:].replace("[", " ").replace("]", " ").replace(",", " ").split()
        ]
        np.testing.assert_allclose(numbers[:3], scores[name].mean(0), atol=6e-4)
    assert np.ptp(scores["SoftFBeta"][:, 0]) > 0  # each seed is another problem
    for column, reference, place in ((0, 0, 3), (0, 1, 6), (1, 1, 9)):
        test = stats.ttest_rel(scores["SoftFBeta"][:, column], scores["BCE"][:, reference])
        low, high = test.confidence_interval()
        np.testing.assert_allclose(
            numbers[place : place + 3], [(low + high) / 2, low, high], atol=6e-4
        )
