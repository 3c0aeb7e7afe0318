"""The benchmark runs a row in a process of its own and prints what it promises."""

import pathlib
import subprocess
import sys

import pytest

import kerazoo

SCRIPT = pathlib.Path(kerazoo.__file__).parent / "scripts" / "bench_levenberg_marquardt.py"


@pytest.mark.slow
def test_a_row_beside_its_limit():
    command = [sys.executable, SCRIPT, "--case", "lstm", "--repeats", "1", "--steps", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    *_, headings, _, row = done.stdout.splitlines()
    headings, cells = ([cell.strip() for cell in s.strip("|").split("|")] for s in (headings, row))
    cells = dict(zip(headings, cells, strict=True))
    assert cells["weights x residuals"].startswith("LSTM(64)")
    assert "x a gradient step of" in cells["beside the others"]
    assert float(cells["our step"].split(" ms")[0]) > 0
    assert float(cells["attempts"]) == 1
    assert float(cells["memory"].removesuffix(" GB")) > 0
