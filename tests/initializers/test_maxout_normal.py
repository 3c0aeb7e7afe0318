import math

import numpy as np
import pytest
from backends import to_numpy

from kerazoo.initializers import MaxoutNormal

# Tseran and Montufar, 2023: closed forms for three and four pieces.
CLOSED = {
    1: 1,
    2: 1,
    3: 2 * math.pi / (math.sqrt(3) + 2 * math.pi),
    4: math.pi / (math.sqrt(3) + math.pi),
}


@pytest.mark.parametrize("pieces", CLOSED)
def test_closed_forms(pieces):
    assert MaxoutNormal(pieces).scale == pytest.approx(CLOSED[pieces], rel=1e-12)


@pytest.mark.parametrize("pieces", [2, 5, 8, 100])
def test_by_sampling(pieces):
    largest = np.random.default_rng(0).normal(size=(20_000_000 // pieces, pieces)).max(axis=1)
    assert MaxoutNormal(pieces).scale == pytest.approx(1 / np.mean(largest**2), rel=3e-3)


@pytest.mark.parametrize("pieces", [2, 3, 4, 5])
def test_keeps_the_mean_square_of_twenty_layers(pieces):
    """q / c of the last pre-activation: geometric mean of 5 seeds, and each of them."""
    width = 256
    ratios = []
    for seed in range(5):
        initializers = [MaxoutNormal(pieces, seed=100 * seed + layer) for layer in range(20)]
        h = np.random.default_rng(seed).normal(size=(256, width)).astype("float32")
        for initializer in initializers:
            z = h @ to_numpy(initializer((width, pieces * width)))
            h = z.reshape(256, pieces, width).max(axis=1)
        ratios.append(np.mean(z**2) / initializer.scale)
    assert 0.7 < np.exp(np.mean(np.log(ratios))) < 1.4, ratios
    assert min(ratios) > 0.3
    assert max(ratios) < 3
