"""The example jobs of the initializers run from their command lines, in small."""

import pathlib
import subprocess
import sys

import kerazoo

SCRIPTS = pathlib.Path(kerazoo.__file__).parent / "scripts"


def run(name, *arguments):
    command = [sys.executable, SCRIPTS / name, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


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
