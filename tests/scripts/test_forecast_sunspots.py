"""The main job runs from its command line, in small."""

import pathlib
import subprocess
import sys

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
    for name in ("forecaster", "seasonal naive", "linear autoregression"):
        assert name in done.stdout
    last = done.stdout.splitlines()[-1]
    for suffix in ("png", "keras"):
        path = tmp_path / f"{series}.{suffix}"
        assert str(path) in last
        assert path.stat().st_size > 10_000
