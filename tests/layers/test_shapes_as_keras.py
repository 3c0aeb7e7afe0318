"""Our layers take and refuse the shapes that Keras's own of the same kind do, and as early."""

import itertools

import keras
import pytest
from keras import ops

from kerazoo.layers import InitialState, MaxoutConv2D, MaxoutDense, PReLU, SkipInit

CONVOLUTIONS = [
    {"kernel_size": 3},
    {"kernel_size": 3, "padding": "same"},
    {"kernel_size": (1, 4), "strides": 2},
    {"kernel_size": 2, "strides": (3, 1), "padding": "same"},
    {"kernel_size": 3, "dilation_rate": 2},
    {"kernel_size": (2, 1), "data_format": "channels_first"},
    {"kernel_size": 5, "data_format": "channels_first", "padding": "same"},
    {"kernel_size": 3, "strides": 2, "dilation_rate": 2},
    {"kernel_size": 0},
    {"kernel_size": 3, "padding": "causal"},
    {"kernel_size": (3,)},
    {"kernel_size": 3, "strides": 0},
]
IMAGES = [(None, *sizes) for sizes in itertools.product([None, 0, 2, 5], [None, 1, 4], [3])]
IMAGES += [(2, 5, 5, 3), (None, 3, 5, 5), (None, 5, 5), (None, 5, 5, 5, 3), (None,), ()]
ROWS = [(None, 3), (2, 3), (None, 0), (None, None, 3), (None, 0, 3), (2, 3, 4, 5), (None,), (5,)]
PAIRS = {
    "MaxoutDense": (lambda: MaxoutDense(4, 2), lambda: keras.layers.Dense(4), ROWS),
    "PReLU": (lambda: PReLU("element"), keras.layers.PReLU, [*ROWS, (None, None)]),
    "PReLU of channels": (
        PReLU,
        lambda: keras.layers.PReLU(shared_axes=[1]),
        [(None, 4, 3), (None, None, 3), (None, 0, 3), (2, 0, 3)],
    ),
    "SkipInit": (SkipInit, keras.layers.Identity, [*ROWS, (), (None, None)]),
}
for arguments in CONVOLUTIONS:
    PAIRS[f"MaxoutConv2D {arguments}"] = (
        lambda arguments=arguments: MaxoutConv2D(4, 2, **arguments),
        lambda arguments=arguments: keras.layers.Conv2D(4, **arguments),
        IMAGES,
    )

THREE_BY_THREE = keras.layers.Conv2D(4, 3)


def outcome(step, refusals=ValueError):
    """A shape, or None where it is refused."""
    try:
        return step()
    except refusals:
        return None


def stages(make, shape, refusals=ValueError):
    """What each way of meeting a shape says: before anything is built, in building, in a model."""
    return {
        "compute_output_shape": outcome(
            lambda: tuple(make().compute_output_shape(shape)), refusals
        ),
        "build": outcome(lambda: make().build(shape) or "built", refusals),
        "symbolic call": outcome(lambda: make()(keras.KerasTensor(shape)).shape, refusals),
    }


@pytest.mark.parametrize("pair", PAIRS)
def test_as_keras(pair):
    ours, theirs, shapes = PAIRS[pair]
    assert (outcome(ours) is None) == (outcome(theirs) is None)
    if outcome(ours) is None:
        return
    if "Conv2D" in pair and outcome(lambda: THREE_BY_THREE.compute_output_shape((1, 2, 2, 3))):
        pytest.skip("this Keras's own Conv2D gives shapes of 0")
    different = {}
    for shape in shapes:
        found = stages(ours, shape)
        expected = stages(theirs, shape, (ValueError, IndexError, TypeError))
        if found != expected:
            different[shape] = (found, expected)
    assert not different


@pytest.mark.parametrize("shape", [(None, 2, 9, 3), (None, 9, 2, 3), (1, 1, 1, 3)])
def test_a_kernel_larger_than_the_image(shape):
    layer = MaxoutConv2D(4, 2, 3)
    for step in (layer.compute_output_shape, layer.build):
        with pytest.raises(ValueError, match=r"output size would be (zero or )?negative"):
            step(shape)
    with pytest.raises(ValueError, match=r"output size would be (zero or )?negative"):
        layer(keras.KerasTensor(shape))
    with pytest.raises(ValueError, match=r"output size would be (zero or )?negative"):
        layer(ops.ones([size or 2 for size in shape]))
    layer.build((None, None, None, 3))
    with pytest.raises(ValueError, match=r"output size would be (zero or )?negative"):
        layer(keras.KerasTensor(shape))


def test_state_of_a_shape():
    assert InitialState(5).compute_output_shape((None, 4, 2)) == [(None, 5)] * 2
    for step in (InitialState(5).compute_output_shape, InitialState(5).build):
        with pytest.raises(ValueError, match="must have a batch axis"):
            step(())
