"""DeltaOrthogonal and PerGateOrthogonal: norms and gradients that stay."""

import keras
import numpy as np
import pytest
from backends import to_numpy

from kerazoo.initializers import DeltaOrthogonal, PerGateOrthogonal

CONVOLUTIONS = {1: keras.layers.Conv1D, 2: keras.layers.Conv2D, 3: keras.layers.Conv3D}


@pytest.mark.parametrize("rank", CONVOLUTIONS)
@pytest.mark.parametrize(("outputs", "size"), [(6, 3), (9, 3), (6, 4)])
def test_convolution_keeps_the_norm_of_every_pixel(rank, outputs, size):
    """Of an even size the central tap is the one that "same" padding puts on the pixel itself."""
    x = np.random.default_rng(0).normal(size=(2, *[4] * rank, 6)).astype("float32")
    initializer = DeltaOrthogonal(gain=1.5)
    y = CONVOLUTIONS[rank](outputs, size, padding="same", kernel_initializer=initializer)(x)
    norms = [np.linalg.norm(a, axis=-1) for a in (x, to_numpy(y))]
    np.testing.assert_allclose(norms[1], 1.5 * norms[0], rtol=1e-5)


def test_is_drawn_uniformly():
    """No entry of the orthogonal matrix is preferred, and no sign."""
    draws = np.split(to_numpy(PerGateOrthogonal(seed=0)((3, 3 * 1000))), 1000, axis=1)
    draws = np.array(draws)
    np.testing.assert_allclose(draws.mean(axis=0), 0, atol=4 * np.sqrt(1 / 3 / 1000))
    np.testing.assert_allclose((draws**2).mean(axis=0), 1 / 3, atol=0.04)


@pytest.mark.parametrize("shape", [(3, 3, 5, 4), (5, 5)])
def test_shapes_without_such_a_map_are_refused(shape):
    with pytest.raises(ValueError, match="at least as many outputs as inputs"):
        DeltaOrthogonal()(shape)


@pytest.mark.parametrize(
    ("layer", "gates"), [(keras.layers.LSTM, 4), (keras.layers.GRU, 3), (keras.layers.SimpleRNN, 1)]
)
def test_each_gate_is_orthogonal(layer, gates):
    made = layer(7, recurrent_initializer=PerGateOrthogonal(gain=2.0))
    made.build((None, None, 3))
    blocks = np.split(to_numpy(made.cell.recurrent_kernel), gates, axis=1)
    for block in blocks:
        np.testing.assert_allclose(np.linalg.svd(block, compute_uv=False), 2, rtol=1e-5)
    assert len({block.tobytes() for block in blocks}) == gates


@pytest.mark.parametrize("shape", [(4, 10), (4,), (3, 3, 4, 16)])
def test_other_kernels_are_refused(shape):
    with pytest.raises(ValueError, match="recurrent kernel has the shape"):
        PerGateOrthogonal()(shape)


@pytest.mark.parametrize("make", [DeltaOrthogonal, PerGateOrthogonal])
@pytest.mark.parametrize("gain", [0, -1.0, np.inf, "1", True])
def test_gain_is_checked(make, gain):
    with pytest.raises(ValueError, match="`gain` must be"):
        make(gain)
