"""Robust fits of a curve with outliers, against SciPy's."""

import keras
import numpy as np
import pytest
from keras import ops
from scipy.optimize import least_squares

from kerazoo.losses import Cauchy, SoftL1, Tukey
from kerazoo.models import LeastSquares
from kerazoo.optimizers import LevenbergMarquardt

RNG = np.random.default_rng(0)
TRUE = np.array([2.0, 0.7, 0.5])
X = np.linspace(0, 6, 80)[:, None]
Y = TRUE[0] * np.exp(-TRUE[1] * X) + TRUE[2] + 0.05 * RNG.normal(size=X.shape)
OUTLIERS = RNG.permutation(80)[:16]
Y[OUTLIERS] += RNG.uniform(1, 6, size=(16, 1))


class Decay(keras.layers.Layer):
    """`a exp(-b x) + c`."""

    def __init__(self, start):
        super().__init__()
        self.start = np.asarray(start)

    def build(self, _):
        self.p = self.add_weight(
            shape=(3,), initializer=lambda shape, dtype: ops.convert_to_tensor(self.start, dtype)
        )

    def call(self, x):
        a, b, c = ops.unstack(self.p)
        return a * ops.exp(-b * x) + c


def residuals(p):
    return (p[0] * np.exp(-p[1] * X) + p[2] - Y)[:, 0]


def fitted(loss, start, **arguments):
    model = LeastSquares(keras.Sequential([keras.Input((1,)), Decay(start)]))
    model.compile(LevenbergMarquardt(**arguments), loss)
    history = model.fit(X, Y, epochs=200, verbose=0).history
    return model.get_weights()[0], history["loss"], model.optimizer


@pytest.mark.parametrize("solver", ["qr", "cholesky", "dual"])
@pytest.mark.parametrize(("name", "loss"), [("soft_l1", SoftL1), ("cauchy", Cauchy)])
def test_fit_is_scipys(name, loss, solver, float64):
    start = [1.0, 1.0, 1.0]
    expected = least_squares(
        residuals, start, loss=name, f_scale=0.1, x_scale="jac", xtol=1e-15, ftol=1e-15, gtol=1e-15
    )
    p, losses, optimizer = fitted(loss(0.1), start, solver=solver)
    assert losses[-1] <= 2 * expected.cost / 80 * (1 + 1e-9)
    np.testing.assert_allclose(p, expected.x, rtol=1e-5)
    assert int(optimizer.converged) == 1
    assert len(losses) < 60


@pytest.mark.slow
def test_tukey_after_soft_l1_is_the_fit_without_outliers(float64):
    start, *_ = fitted(SoftL1(0.1), [1.0, 1.0, 1.0])
    p, losses, optimizer = fitted(Tukey(0.234), start)
    assert int(optimizer.converged) == 1
    assert np.abs(residuals(p))[OUTLIERS].min() > 0.234
    r = np.minimum(np.abs(residuals(p)) / 0.234, 1)
    np.testing.assert_allclose(losses[-1], np.mean(0.234**2 / 3 * (1 - (1 - r**2) ** 3)), 1e-10)
    kept = np.delete(np.arange(80), OUTLIERS)
    plain = least_squares(lambda p: residuals(p)[kept], start, x_scale="jac").x
    np.testing.assert_allclose(p, plain, atol=0.02)
    # A minimum: no small change of a weight gains.
    for step in 1e-4 * np.vstack([np.eye(3), -np.eye(3)]):
        r = np.minimum(np.abs(residuals(p + step)) / 0.234, 1)
        assert np.mean(0.234**2 / 3 * (1 - (1 - r**2) ** 3)) > losses[-1]


@pytest.mark.slow
def test_tukey_where_nothing_is_near_says_so(float64):
    """All residuals beyond the scale: no gradient, and no step."""
    with pytest.warns(UserWarning, match="Not a minimum: .* or the loss on no output"):
        p, losses, _ = fitted(Tukey(0.01), [100.0, 0.0, 100.0])
    np.testing.assert_array_equal(p, [100.0, 0.0, 100.0])
    np.testing.assert_allclose(losses, 0.01**2 / 3)


def test_a_sentinel_among_the_targets(monkeypatch):
    y = Y.astype("float32").copy()
    y[3] = 1e20
    model = LeastSquares(keras.Sequential([keras.Input((1,)), Decay([1.0, 1.0, 1.0])]))
    model.compile(LevenbergMarquardt(), Cauchy(0.1))
    model.fit(X, y, epochs=100, verbose=0)
    np.testing.assert_allclose(model.get_weights()[0], TRUE, atol=0.15)
