import backends
import checks
import keras
import numpy as np
import pytest

from kerazoo.layers import SkipInit

X = np.random.default_rng(0).normal(size=(3, 4, 5)).astype("float32")


@pytest.mark.parametrize("alpha", [0, -0.5, np.float32(2)])
def test_multiplies_by_alpha(alpha):
    layer = SkipInit(alpha)
    np.testing.assert_allclose(backends.to_numpy(layer(X)), alpha * X, rtol=1e-6)
    assert layer.alpha.shape == ()
    assert layer.trainable_weights == [layer.alpha]


def test_gradients(float64):
    checks.check_gradients(SkipInit(), X)


def test_starts_at_all_digits_of_the_initial_value(float64):
    layer = SkipInit(0.1, dtype="float64")
    layer.build((None, 3))
    assert backends.to_numpy(layer.alpha) == 0.1


def test_a_block_begins_as_the_identity_and_learns():
    keras.utils.set_random_seed(0)
    x = keras.Input((5,))
    branch = keras.layers.Dense(5, "relu", kernel_initializer="he_normal")(x)
    skip = SkipInit()
    model = keras.Model(x, keras.layers.Add()([x, skip(branch)]))
    inputs = X.reshape(-1, 5)
    np.testing.assert_array_equal(backends.to_numpy(model(inputs)), inputs)
    model.compile("sgd", "mse")
    model.fit(inputs, inputs + 1, verbose=0)
    assert backends.to_numpy(skip.alpha) != 0


@pytest.mark.parametrize("value", [np.nan, np.inf, "zeros", None, True])
def test_initial_value_is_checked(value):
    with pytest.raises(ValueError, match="`initial_value` must be"):
        SkipInit(value)
