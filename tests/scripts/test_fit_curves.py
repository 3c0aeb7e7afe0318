"""The comparison runs, and we solve as many of a few fits as scipy does."""

import pathlib
import subprocess
import sys

import pytest

import kerazoo

SCRIPT = pathlib.Path(kerazoo.__file__).parent / "scripts" / "fit_curves.py"


@pytest.mark.slow
def test_a_few_fits(tmp_path):
    command = [sys.executable, SCRIPT, "--fits", "10", "--picture", tmp_path / "fits.png"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    rows = {line[:18].strip(): line.split() for line in done.stdout.splitlines()}
    double, lm = (int(rows[name][-2]) for name in ("kerazoo float64", "scipy lm"))
    assert double >= lm >= 5
    assert int(rows["kerazoo float64"][-1]) == 0
    assert (tmp_path / "fits.png").exists()
