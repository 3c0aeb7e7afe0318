import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kerazoo.optimizers.levenberg_marquardt.method.stop_codes import StopCode

pytestmark = pytest.mark.slow

# Configured before TensorFlow starts, so in processes of their own.
FOLDER = Path(__file__).parent


def run(*command, seconds=300):
    # A job of this machine may be paused for a minute.
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"}
    return subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, timeout=seconds, env=environment
    )


@pytest.fixture(scope="module")
def two_devices():
    process = run(FOLDER / "two_devices.py")
    assert process.returncode == 0, process.stderr[-3000:]
    return json.loads(process.stdout)


def test_two_devices_take_the_steps_of_one(two_devices):
    for cases, count, tolerance in (("found", 8, 1e-10), ("float32", 2, 1e-5)):
        assert len(two_devices[cases]) == count
        for name, (difference, equal) in two_devices[cases].items():
            assert difference < tolerance, name
            assert equal, name


def test_the_errors_are_those_of_one_device(two_devices):
    messages = two_devices["messages"]
    assert "must be finite" in messages["nan"]
    assert "layer=mixing" in messages["mixing"]
    assert "before the scope" in messages["metric"]


def test_two_devices_come_back_from_where_the_gradient_is_not_finite(two_devices):
    taken_back = two_devices["taken back"]
    assert StopCode.TAKEN_BACK in taken_back["codes"]
    assert taken_back["loss"] < 1e-20


SCRIPT = FOLDER.parents[2] / "scripts" / "train_two_workers.py"
TINY = ["--examples", "41", "--units", "3", "--epochs", "4"]


def test_two_workers_take_the_steps_of_one_process():
    process = run(SCRIPT, *TINY)
    assert process.returncode == 0, process.stdout + process.stderr[-3000:]
    assert "the workers' weights are equal: True" in process.stdout
    assert float(process.stdout.split("relative:")[1]) < 1e-10


def test_two_workers_share_a_network_too_large_for_a_matrix_of_its_weights():
    large = ["--examples", "41", "--units", "447", "--hidden", "4", "--epochs", "2"]
    process = run(SCRIPT, *large, "--precision", "float32")
    assert process.returncode == 0, process.stdout + process.stderr[-3000:]
    assert "weights: 602557" in process.stdout
    assert "Levenberg-Marquardt: dual (" in process.stdout  # its own choice
    assert "the workers' weights are equal: True" in process.stdout
    assert float(process.stdout.split("relative:")[1]) < 1e-5


def test_a_worker_that_dies_is_an_error_for_all():
    """Within the script's documented time: ten seconds to notice, and its `--grace`."""
    dual = ["--solver", "dual", "--jacobian-rows", "9"]
    process = run(SCRIPT, *TINY, *dual, "--lose-worker-after", "2")
    assert process.returncode == 1
    assert "RuntimeError: Another worker has died" in process.stdout
    assert "worker 1 ended with code 1" in process.stderr


def test_workers_with_other_batches_are_refused():
    process = run(SCRIPT, *TINY, "--batch-size", "20", "--unequal-seeds")
    assert process.returncode == 1
    assert "All workers must see the same batches" in process.stdout
