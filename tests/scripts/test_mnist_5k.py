import importlib.util
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "mnist_5k.py"


@pytest.mark.slow
def test_real_digits_split_evenly():
    spec = importlib.util.spec_from_file_location("mnist_5k", SCRIPT)
    mnist_5k = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(mnist_5k)
    (x_train, y_train), (x_test, y_test) = mnist_5k.load()
    assert x_train.shape == (4000, 28, 28, 1)
    assert x_test.shape == (1000, 28, 28, 1)
    assert np.bincount(y_train).tolist() == [400] * 10
    assert np.bincount(y_test).tolist() == [100] * 10
    assert x_train.min() == 0
    assert x_train.max() == 1
    # No image is in both, and the nearest neighbour of most test images has their label.
    train, test = x_train.reshape(4000, -1), x_test.reshape(1000, -1)
    distances = (test**2).sum(1)[:, None] - 2 * test @ train.T + (train**2).sum(1)
    assert distances.min() > 1e-2
    assert np.mean(y_train[distances.argmin(axis=1)] == y_test) > 0.9
