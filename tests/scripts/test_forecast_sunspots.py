"""The main job runs from its command line, in small."""

import dataclasses
import pathlib
import runpy
import subprocess
import sys

import numpy as np
import pytest

import kerazoo

SCRIPT = pathlib.Path(kerazoo.__file__).parent / "scripts" / "forecast_sunspots.py"


@pytest.mark.slow
@pytest.mark.parametrize("series", ["sunspots", "airline"])
def test_runs_and_names_what_it_wrote(series, tmp_path):
    command = [sys.executable, SCRIPT, "--series", series, "--seeds", "1", "--epochs", "1"]
    done = subprocess.run(
        [*command, "--output", tmp_path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    for name in ("forecaster", "mean of its 1", "seasonal naive", "linear autoregression"):
        assert name in done.stdout
    last = done.stdout.splitlines()[-1]
    for suffix in ("png", "keras"):
        path = tmp_path / f"{series}.{suffix}"
        assert str(path) in last
        assert path.stat().st_size > 10_000


@pytest.fixture(scope="module")
def script():
    return runpy.run_path(SCRIPT)


@pytest.mark.slow
def test_choice_does_not_depend_on_what_follows_the_first_origin(script, monkeypatch, capsys):
    task = script["airline"]()
    settings = dataclasses.replace(task.settings, units=2, epochs=1)
    task.grid, task.tried_epochs = [settings], (1, 2)
    monkeypatch.setitem(script["choose"].__globals__, "changed", lambda best: [])
    chosen = script["choose"](task, seeds=1)
    printed = capsys.readouterr().out
    # Both numbers of epochs, twice each
    assert printed.count("±") == 4
    assert dataclasses.replace(chosen, epochs=1) == settings
    task.series.iloc[len(task.known) :] = np.nan
    assert script["choose"](task, seeds=1) == chosen
    assert capsys.readouterr().out == printed


def test_finalists_are_the_best_with_at_most_two_numbers_of_epochs(script):
    settings = script["airline"]().settings
    three = [dataclasses.replace(settings, epochs=epochs) for epochs in (1, 2, 3)]
    other = dataclasses.replace(settings, units=8)
    found = {three[0]: 0.3, three[1]: 0.1, three[2]: 0.2, other: 0.9}
    assert script["finalists"](found) == [three[1], three[2], other]
    assert script["finalists"](found, number=1) == [three[1]]


def test_settings_of_the_sunspots_are_among_those_tried(script):
    task = script["sunspots"]()
    tried = [replaced for one in task.grid for replaced in script["changed"](one)]
    assert task.settings in [
        dataclasses.replace(one, epochs=epochs) for one in tried for epochs in task.tried_epochs
    ]
