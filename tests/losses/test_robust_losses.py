"""Soft-l1 and Cauchy against SciPy, Tukey's biweight against its formula, on every backend."""

import backends
import keras
import numpy as np
import pytest
from keras import ops
from scipy.optimize import least_squares

from kerazoo.losses import Cauchy, SoftL1, Tukey

RNG = np.random.default_rng(0)
ROBUST = [Cauchy, SoftL1, Tukey]
RTOL = 1e-12 if backends.BACKEND != "torch" else 1e-5  # there float64 is float32 now and then


@pytest.fixture
def double():
    with backends.double_precision():
        yield


def reference(cls, r, scale):
    """The sum of the loss over the residuals r."""
    if cls is Tukey:
        inside = np.minimum(np.abs(r) / scale, 1)
        return np.sum(scale**2 / 3 * (1 - (1 - inside**2) ** 3))
    name = {Cauchy: "cauchy", SoftL1: "soft_l1"}[cls]
    start = least_squares(lambda _: r.ravel(), [0.0], loss=name, f_scale=scale, max_nfev=1)
    return 2 * start.cost


@pytest.mark.parametrize("cls", ROBUST)
@pytest.mark.parametrize("scale", [0.3, 1.0, 7.0])
def test_values(cls, scale, double):
    y, z = 3 * RNG.normal(size=(2, 5, 4))
    expected = reference(cls, z - y, scale) / y.size
    loss = cls(scale, dtype="float64")
    np.testing.assert_allclose(float(loss(y, z)), expected, rtol=RTOL)
    weight = RNG.uniform(size=5)
    expected = sum(w * reference(cls, a, scale) for w, a in zip(weight, z - y, strict=True))
    np.testing.assert_allclose(float(loss(y, z, weight)), expected / y.size, rtol=RTOL)


@pytest.mark.parametrize("cls", ROBUST)
def test_a_large_scale_is_mse(cls, double):
    y, z = RNG.normal(size=(2, 6, 1))
    mse = np.mean((z - y) ** 2)
    np.testing.assert_allclose(float(cls(1e6, dtype="float64")(y, z)), mse, rtol=max(RTOL, 1e-11))
    # Nor does it cancel in float32.
    np.testing.assert_allclose(float(cls(1e6)(1e-3 * y, 1e-3 * z)), 1e-6 * mse, rtol=1e-5)


@pytest.mark.parametrize("cls", ROBUST)
def test_targets_that_stand_for_no_value(cls):
    """Sentinels such as 1e20 are outliers, not NaN: in value and gradient."""
    distances = np.array([0.0, 1.0, 3.0, 1e6, 1e20, 9.96921e36], "float32")
    loss = cls(reduction="none")
    values = backends.to_numpy(loss(-distances[:, None], np.zeros((6, 1), "float32")))
    assert np.isfinite(values).all()
    assert (np.diff(values) >= 0).all()
    np.testing.assert_allclose(values[2], reference(cls, distances[2:3], 1.0), rtol=1e-5)
    if cls is Cauchy:
        np.testing.assert_allclose(values[4], np.log(10) * 40, rtol=1e-5)
    if backends.ON_TENSORFLOW:
        import tensorflow as tf

        z = tf.zeros((6, 1))
        with tf.GradientTape() as outer:
            outer.watch(z)
            with tf.GradientTape() as inner:
                inner.watch(z)
                value = cls(reduction="sum")(-distances[:, None], z)
            slope = inner.gradient(value, z)
        curvature = outer.gradient(slope, z)
        assert np.isfinite(slope).all()
        assert np.isfinite(curvature).all()


@pytest.mark.parametrize("cls", ROBUST)
def test_a_last_axis_of_one_may_be_missing(cls):
    y, z = RNG.normal(size=(2, 5))
    weight = RNG.uniform(size=5)
    expected = float(cls()(y[:, None], z[:, None], weight))
    for one, other in ((y, z[:, None]), (y[:, None], z)):
        np.testing.assert_allclose(float(cls()(one, other, weight)), expected, rtol=1e-6)


@pytest.mark.parametrize("cls", ROBUST)
def test_targets_that_would_be_broadcast(cls):
    with pytest.raises(ValueError, match="`y_true` and `y_pred` must have the same shape"):
        cls()(np.zeros((5, 1)), np.zeros((5, 2)))
    with pytest.raises(ValueError, match="`y_true` and `y_pred` must have the same shape"):
        cls()(np.zeros((2, 3, 2)), np.zeros((3, 2)))


@pytest.mark.parametrize("cls", ROBUST)
def test_a_masked_step_counts_for_nothing(cls):
    y, z = RNG.normal(size=(2, 4, 3, 2)).astype("float32")
    mask = np.array([[1, 1, 0], [1, 0, 0], [1, 1, 1], [1, 1, 0]], bool)
    prediction = ops.convert_to_tensor(z)
    prediction._keras_mask = ops.convert_to_tensor(mask)
    np.testing.assert_allclose(float(cls()(y, prediction)), float(cls()(y[mask], z[mask])), 1e-5)


def test_through_fit():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("adam", Cauchy(0.5))
    loaded = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(model.loss))
    assert loaded.scale == 0.5
    x = np.linspace(0, 1, 9)
    assert np.isfinite(model.fit(x, x, verbose=0).history["loss"]).all()
