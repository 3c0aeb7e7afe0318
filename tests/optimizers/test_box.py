"""The constraint by itself; what it does to a fit is in tests/models/least_squares."""

import keras
import numpy as np
import pytest

from kerazoo.optimizers import Box

INF = np.inf


@pytest.mark.parametrize(
    ("lower", "upper"),
    [(-1.0, 1.0), ([0.0, -INF, 2.0], [INF, 0.5, 2.0]), (-INF, [[1.0], [0.0]]), (-INF, INF)],
)
def test_clips_as_numpy_does(lower, upper):
    w = np.random.default_rng(0).normal(scale=3, size=(2, 3))
    found = np.asarray(Box(lower, upper)(w))
    np.testing.assert_allclose(found, np.clip(w, lower, upper), rtol=1e-6)


def test_keeps_a_layer_within_its_bounds_with_any_optimizer_and_after_loading(tmp_path):
    box = Box([-0.1, -INF], [0.1, 0.0])
    layer = keras.layers.Dense(2, kernel_constraint=box)
    model = keras.Sequential([keras.Input((3,)), layer])
    model.compile(keras.optimizers.SGD(10.0), "mse")
    x = np.random.default_rng(0).normal(size=(8, 3))
    model.fit(x, 5 + x[:, :2], epochs=2, verbose=0)
    kernel = layer.get_weights()[0]
    assert (np.abs(kernel[:, 0]) <= np.float32(0.1)).all()
    assert (kernel[:, 1] <= 0).all()
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras").layers[0].kernel_constraint
    np.testing.assert_array_equal(loaded.lower, box.lower)
    np.testing.assert_array_equal(loaded.upper, box.upper)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1.0, 0.0), r"`lower` must not exceed `upper` anywhere. Received: lower=1.0, upper=0.0"),
        ((np.nan,), "`lower` must be a number or an array.*nan"),
        (("a",), "`lower` must be a number or an array"),
        ((None,), "`lower` must be a number or an array"),
        ((0, [1, [2]]), "`upper` must be a number or an array"),
        ((INF,), "`lower` must be below infinity"),
        ((-INF, -INF), "`upper` must be above minus infinity"),
        (([0, 0], [1, 1, 1]), r"shapes that broadcast.*lower of shape \(2,\), upper of shape \(3,"),
    ],
)
def test_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        Box(*arguments)


def test_bounds_of_another_shape_than_the_variable():
    with pytest.raises(ValueError, match=r"bounds of shape \(2,\) for a variable of shape \(3,\)"):
        Box([0.0, 0.0])(np.zeros(3))
    with pytest.raises(ValueError, match=r"bounds of shape \(2, 1\) for a variable of shape \(1,"):
        Box([[0.0], [0.0]])(np.zeros(1))
