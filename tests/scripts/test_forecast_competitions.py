"""The data, the scores and the naive forecasts are those of the published tables."""

import pathlib
import runpy
import subprocess
import sys

import numpy as np
import pytest

import kerazoo

SCRIPT = pathlib.Path(kerazoo.__file__).parent / "scripts" / "forecast_competitions.py"


@pytest.fixture(scope="module")
def script():
    return runpy.run_path(SCRIPT)


@pytest.mark.parametrize("name", ["m3-monthly", "m3-yearly", "tourism-monthly"])
def test_naive_forecasts_score_as_published(script, name):
    task = script["TASKS"][name]()
    last = np.stack([one[-task.season :] for one in task.train])
    forecasts = last[:, np.arange(task.horizon) % task.season]
    published = task.published["seasonal naive"]
    assert script["score"](task, forecasts) == pytest.approx(published, rel=0.02)


def test_held_out_is_the_end_of_the_training_parts(script):
    task = script["TASKS"]["m3-yearly"]()
    before = script["held_out"](task)
    known = {one.tobytes() for one in task.train}
    for one, end in zip(before.train, before.test, strict=True):
        assert np.concatenate([one, end]).tobytes() in known
    assert before.test.shape[1] == task.horizon


def test_walks_are_scored_relative_to_the_last_value(script):
    task = script["TASKS"]["walks"]()
    last = np.stack(task.fresh)[:, -1:]
    assert script["score"](task, np.repeat(last, 12, axis=1)) == 1
    assert script["score"](task, last + 2 * (task.test - last)) == pytest.approx(1)


@pytest.mark.slow
def test_runs_from_its_command_line():
    command = [sys.executable, SCRIPT, "--data", "walks", "--seeds", "2", "--epochs", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    for word in (
        "walks: 300 series",
        "naive",
        "StatefulLSTMForecaster",
        "mean of the 2",
        "epochs=1",
    ):
        assert word in done.stdout
