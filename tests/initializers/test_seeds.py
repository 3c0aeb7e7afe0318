"""What two calls of one initializer share, and with which seed."""

import examples
import keras
import numpy as np
import pytest
from backends import double_precision, to_numpy

from kerazoo import initializers

SHAPES = {"ChronoBias": (12,), "PerGateOrthogonal": (4, 12)}
RANDOM = {
    cls.__name__: example.make
    for cls, example in examples.EXAMPLES.items()
    if issubclass(cls, keras.initializers.Initializer) and cls is not initializers.PriorBias
}


def two_draws(initializer, shape):
    return [keras.ops.convert_to_numpy(initializer(shape)) for _ in range(2)]


def with_seed(name, seed):
    made = RANDOM[name]()
    return type(made).from_config({**made.get_config(), "seed": seed})


def test_all_are_found():
    assert len(RANDOM) == 10


@pytest.mark.parametrize("name", RANDOM)
def test_draws(name):
    shape = SHAPES.get(name, (2, 2, 3, 4))
    first, second = two_draws(with_seed(name, None), shape)
    assert not np.array_equal(first, second)
    first, second = two_draws(with_seed(name, 7), shape)
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(first, with_seed(name, 7)(shape))
    first, second = two_draws(with_seed(name, keras.random.SeedGenerator(7)), shape)
    assert not np.array_equal(first, second)


@pytest.mark.parametrize("name", RANDOM)
def test_set_random_seed_repeats_unseeded_draws(name):
    initializer, shape = with_seed(name, None), SHAPES.get(name, (2, 2, 3, 4))
    draws = []
    for _ in range(2):
        keras.utils.set_random_seed(3)
        draws.append(two_draws(initializer, shape))
    np.testing.assert_array_equal(*draws)


@pytest.mark.parametrize("name", RANDOM)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_dtype(name, dtype):
    with double_precision():
        values = with_seed(name, 0)(SHAPES.get(name, (2, 2, 3, 4)), dtype=dtype)
    assert keras.backend.standardize_dtype(values.dtype) == dtype
    assert np.isfinite(to_numpy(values).astype("float64")).all()


def test_two_layers_of_one_instance():
    """The trap: with Keras's own initializer these two kernels are equal."""
    shared = initializers.ActivationNormal("relu")
    kernels = []
    for _ in range(2):
        layer = keras.layers.Dense(4, kernel_initializer=shared)
        layer.build((None, 3))
        kernels.append(to_numpy(layer.kernel))
    assert not np.array_equal(*kernels)


def test_seed_generator_survives_the_config():
    first = initializers.MaxoutNormal(2, seed=keras.random.SeedGenerator(5))
    second = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(first))
    for _ in range(2):
        np.testing.assert_array_equal(first((3, 4)), second((3, 4)))


def test_numpy_integers_are_seeds():
    first, second = (initializers.MaxoutNormal(2, seed=seed) for seed in (np.int64(7), 7))
    np.testing.assert_array_equal(to_numpy(first((3, 4))), to_numpy(second((3, 4))))
    assert type(first.get_config()["seed"]) is int


@pytest.mark.parametrize("seed", [1.5, "a", True, {"a": 1}, np.float32(3)])
def test_seed_is_checked(seed):
    with pytest.raises(ValueError, match="`seed` must be an integer"):
        initializers.ChronoBias(10, seed=seed)
