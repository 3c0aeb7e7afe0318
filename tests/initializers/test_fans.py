"""Every scaling initializer inside the layers it is for: the variance that comes out."""

import keras
import numpy as np
import pytest
from backends import to_numpy
from keras import layers

from kerazoo.initializers import (
    ActivationNormal,
    ConvTransposeHeNormal,
    DepthwiseHeNormal,
    EfficientNetConvKernel,
    EfficientNetDenseKernel,
    MaxoutNormal,
    ResidualNormal,
)

SEEDS = range(5)


FILLED_IN = tuple(map(int, keras.__version__.split(".")[:2])) >= (3, 15)


def he(*axes):
    return ActivationNormal("relu", None, None, *axes)


# For inputs N(0, 1) every output is a sum of fan_in products: its variance is fan_in * var(W).
FORWARD = {
    "dense": (lambda: layers.Dense(200, kernel_initializer=he()), (200,), 2),
    "dense on a sequence": (lambda: layers.Dense(90, kernel_initializer=he()), (5, 90), 2),
    "conv1d": (lambda: layers.Conv1D(64, 5, kernel_initializer=he()), (40, 16), 2),
    "conv2d": (lambda: layers.Conv2D(64, 3, kernel_initializer=he()), (9, 9, 32), 2),
    "conv3d": (lambda: layers.Conv3D(64, 2, kernel_initializer=he()), (5, 5, 5, 16), 2),
    "grouped": (lambda: layers.Conv2D(64, 3, groups=8, kernel_initializer=he()), (9, 9, 64), 2),
    "einsum, heads out": (
        lambda: layers.EinsumDense(
            "abc,cde->abde", (None, 8, 16), kernel_initializer=he([0], [1, 2])
        ),
        (6, 64),
        2,
    ),
    "einsum, heads in": (
        lambda: layers.EinsumDense(
            "abde,dec->abc", (None, 64), kernel_initializer=he((0, 1), (2,))
        ),
        (6, 8, 16),
        2,
    ),
    "pieces": (lambda: layers.Dense(4 * 50, kernel_initializer=MaxoutNormal(2)), (200,), 1),
    "branch": (lambda: layers.Dense(200, kernel_initializer=ResidualNormal(25)), (200,), 2 / 25),
    "depthwise2d": (
        lambda: layers.DepthwiseConv2D(3, depthwise_initializer=DepthwiseHeNormal()),
        (7, 7, 300),
        2,
    ),
    "depthwise1d, three each": (
        lambda: layers.DepthwiseConv1D(
            7, depth_multiplier=3, depthwise_initializer=DepthwiseHeNormal()
        ),
        (9, 200),
        2,
    ),
    "depthwise of EfficientNet": (
        lambda: layers.DepthwiseConv2D(3, depthwise_initializer=EfficientNetConvKernel()),
        (7, 7, 300),
        2,
    ),
    "transposed": (
        lambda: layers.Conv2DTranspose(16, 4, kernel_initializer=ConvTransposeHeNormal(1)),
        (9, 9, 64),
        2,
    ),
    "transposed, strides 2": (
        lambda: layers.Conv2DTranspose(
            64, 4, strides=2, kernel_initializer=ConvTransposeHeNormal(2)
        ),
        (9, 9, 64),
        2,
    ),
    "transposed, uneven strides": (
        lambda: layers.Conv2DTranspose(
            48, (2, 6), strides=(1, 3), kernel_initializer=ConvTransposeHeNormal((1, 3))
        ),
        (9, 9, 32),
        2,
    ),
    "transposed1d": (
        lambda: layers.Conv1DTranspose(
            64, 6, strides=3, kernel_initializer=ConvTransposeHeNormal((3,))
        ),
        (20, 32),
        2,
    ),
    "transposed3d": (
        lambda: layers.Conv3DTranspose(
            32, 4, strides=2, kernel_initializer=ConvTransposeHeNormal(2)
        ),
        (5, 5, 5, 16),
        2,
    ),
}


@pytest.mark.parametrize("case", FORWARD)
def test_output_variance(case):
    make, shape, expected = FORWARD[case]
    found = []
    for seed in SEEDS:
        keras.utils.set_random_seed(seed)
        x = np.random.default_rng(seed).normal(size=(16, *shape)).astype("float32")
        y = to_numpy(make()(x))
        if "transposed" in case:  # Pixels at the border see fewer taps.
            inner = [slice(n // 4 + 1, -(n // 4) - 1) for n in y.shape[1:-1]]
            y = y[:, *inner]
        found.append(y.var())
    assert np.mean(found) == pytest.approx(expected, rel=0.1)


@pytest.mark.skipif(not FILLED_IN, reason="Keras tells initializers the axes from 3.15 on")
@pytest.mark.parametrize("part", ["query", "output"])
def test_attention_kernels(part):
    """(inputs, heads, size) and (heads, size, outputs) both sum over 64 products."""
    attention = layers.MultiHeadAttention(8, 8, kernel_initializer=ActivationNormal("relu"))
    attention(np.ones((1, 3, 64)), np.ones((1, 3, 64)))
    kernel = getattr(attention, f"{part}_dense").kernel
    assert np.std(to_numpy(kernel)) == pytest.approx(np.sqrt(2 / 64), rel=0.05)


@pytest.mark.skipif(not FILLED_IN, reason="Keras tells initializers the axes from 3.15 on")
@pytest.mark.parametrize(
    ("equation", "shape"), [("abc,cde->abde", (8, 16)), ("abc,cd->abd", (64,))]
)
def test_einsum_fills_in_the_axes(equation, shape):
    layer = layers.EinsumDense(equation, (None, *shape), kernel_initializer=he())
    layer.build((None, 6, 64))
    assert np.std(to_numpy(layer.kernel)) == pytest.approx(np.sqrt(2 / 64), rel=0.05)


@pytest.mark.parametrize("make", [MaxoutNormal, ResidualNormal])
def test_axes(make):
    """Given both, they are what the fan is counted over, whatever the shape says."""
    axes = {"input_axes": np.array([0, -1]), "output_axes": [1]}
    initializer = make(2, seed=0, **axes)
    plain = make(2, seed=0)
    found, expected = (to_numpy(i(s)) for i, s in ((initializer, (20, 30, 5)), (plain, (100, 30))))
    assert np.std(found) == pytest.approx(np.std(expected), rel=0.05)
    config = initializer.get_config()
    assert (config["input_axes"], config["output_axes"]) == ([0, -1], [1])
    for wrong in ({"input_axes": [0]}, {"output_axes": [0]}):
        with pytest.raises(ValueError, match="are needed both, or neither"):
            make(2, **wrong)
    with pytest.raises(ValueError, match="`input_axes` must be"):
        make(2, input_axes=[0.5], output_axes=[1])
    with pytest.raises(ValueError, match="must be axes of the kernel"):
        make(2, input_axes=[3], output_axes=[1])((4, 5, 6))


def test_efficient_net_conv_keeps_the_variance_of_gradients():
    """Backwards each input pixel sums fan_out products of half of which relu lets through."""
    kernel = EfficientNetConvKernel(seed=0)((3, 3, 64, 100))
    x = keras.random.normal((2, 12, 12, 100), seed=1)
    y = keras.ops.conv_transpose(x, kernel, 1, padding="valid")[:, 3:-3, 3:-3]
    assert np.var(to_numpy(y)) == pytest.approx(2, rel=0.1)


def test_efficient_net_dense_is_uniform():
    values = np.ravel(to_numpy(EfficientNetDenseKernel(seed=0)((1000, 100))))
    assert np.abs(values).max() == pytest.approx(0.1, rel=1e-3)
    histogram, _ = np.histogram(values, bins=10, range=(-0.1, 0.1))
    np.testing.assert_allclose(histogram, 10_000, rtol=0.05)


@pytest.mark.parametrize(
    ("initializer", "shape"),
    [
        (DepthwiseHeNormal(), (3, 3)),
        (EfficientNetConvKernel(), (3, 3)),
        (ConvTransposeHeNormal(2), (3, 3)),
        (ConvTransposeHeNormal((2, 2)), (3, 4, 4)),
    ],
)
def test_shapes_of_other_kernels_are_refused(initializer, shape):
    with pytest.raises(ValueError, match="Received: shape="):
        initializer(shape)


@pytest.mark.parametrize("strides", [0, 2.0, (2, 0), "same", None])
def test_strides_are_checked(strides):
    with pytest.raises(ValueError, match="`strides` must be a positive integer"):
        ConvTransposeHeNormal(strides)


@pytest.mark.parametrize("make", [MaxoutNormal, ResidualNormal])
@pytest.mark.parametrize("number", [0, 1.5, True])
def test_numbers_are_checked(make, number):
    with pytest.raises(ValueError, match="must be a positive integer"):
        make(number)
