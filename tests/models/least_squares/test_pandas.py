"""Frames of several dtypes are numbers to Keras, and so they are without `batch_size` too."""

import keras
import numpy as np
import pandas as pd
import pytest

from kerazoo.models import LeastSquares
from kerazoo.optimizers import LeastSquaresProblem

X = pd.DataFrame(
    {
        "a": np.arange(40.0) / 40,
        "flag": np.arange(40) % 7 > 3,
        "count": pd.array(np.arange(40) % 3, "Int64"),
    }
)
Y = pd.DataFrame({"u": 2 * X["a"] - X["count"].astype(float), "v": X["flag"]})
EXPECTED = [[2, 0], [0, 1], [-1, 0]]


def compiled():
    network = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model = LeastSquares(network)
    model.compile()
    return model


@pytest.mark.parametrize("batch_size", [None, 40])
def test_fit(batch_size):
    model = compiled()
    weight = pd.Series(np.ones(40), dtype="Int64")
    arguments = {"sample_weight": weight, "validation_split": 0.2, "batch_size": batch_size}
    model.fit(X, Y, epochs=20, verbose=0, **arguments)
    np.testing.assert_allclose(model.get_weights()[0], EXPECTED, atol=1e-5)
    assert model.evaluate(X, Y, verbose=0) < 1e-9


def test_batches():
    model = compiled()
    for _ in range(10):
        model.train_on_batch(X, Y)
    np.testing.assert_allclose(model.get_weights()[0], EXPECTED, atol=1e-4)
    assert model.test_on_batch(X, Y) < 1e-8


def test_classes():
    model = LeastSquares(keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, "sigmoid")]))
    model.compile(loss="binary_crossentropy")
    flag = X["flag"].astype("Int64")
    history = model.fit(X, flag, class_weight={0: 1.0, 1: 2.0}, epochs=3, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    with pytest.raises(ValueError, match="weight for every class"):
        model.fit(X, flag, class_weight={0: 1.0}, verbose=0)


def test_problem():
    problem = LeastSquaresProblem(compiled().model, X, Y)
    A = np.column_stack([X.to_numpy("float64"), np.ones(40)])
    v = np.arange(8.0)
    expected = (A @ np.vstack([v[:6].reshape(3, 2), v[6:]]) - Y.to_numpy("float64")).ravel()
    np.testing.assert_allclose(problem.flat_residuals(v), expected / np.sqrt(80), rtol=1e-5)


def test_standard_errors():
    model = compiled()
    noise = np.random.default_rng(0).normal(scale=0.1, size=(40, 2))
    y = Y.astype("float64") + noise
    model.fit(X, y, epochs=30, verbose=0)
    found = model.covariance(X, y).standard_errors
    A = np.column_stack([X.to_numpy("float64"), np.ones(40)])
    kernel, bias = model.get_weights()
    r = A @ np.vstack([kernel, bias]) - y.to_numpy()
    sigma = np.sqrt(np.sum(r**2) / (80 - 8))
    expected = sigma * np.sqrt(np.diag(np.linalg.inv(A.T @ A)))
    np.testing.assert_allclose(found.reshape(4, 2), np.repeat(expected[:, None], 2, 1), rtol=1e-3)
    assert model.prediction_bands(X).mean_lower.shape == (40, 2)


def test_missing_values_and_text():
    x = X.copy()
    x.loc[3, "count"] = pd.NA
    with pytest.raises(ValueError, match="must be finite"):
        compiled().fit(x, Y, verbose=0)
    with pytest.raises(ValueError, match=r"arrays of one dtype.*DataFrame of shape"):
        compiled().fit(X.assign(count="many"), Y, verbose=0)
