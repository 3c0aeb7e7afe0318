"""The comparison runs from its command line, in small."""

import pathlib
import subprocess
import sys

import pytest

import kerazoo

SCRIPT = pathlib.Path(kerazoo.__file__).parent / "scripts" / "train_mnist_levenberg_marquardt.py"


@pytest.mark.slow
def test_compares_all_methods_and_draws(tmp_path):
    picture = tmp_path / "mnist.png"
    command = [sys.executable, SCRIPT, "--seeds", "1", "--epochs", "1", "--images", "928"]
    done = subprocess.run(
        [*command, "--quick", "--picture", picture], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    rows = [line for line in done.stdout.splitlines() if "±" in line]
    for row, name in zip(rows, ("Levenberg", "Adam, mse", "Adam, cross"), strict=True):
        assert name in row
        assert float(row.split("|")[4].split("±")[0]) > 30  # percent; guessing gives 10
    assert "seconds to 92 %" in done.stdout
    assert picture.stat().st_size > 10_000
