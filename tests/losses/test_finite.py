"""Every loss of ours is finite, and so is its gradient, for every finite prediction."""

import keras
import numpy as np
import pytest
from finite_losses import check_finite, extreme_predictions, values_and_gradient
from keras import ops

from kerazoo.losses import A2CActorLoss, PackedTargetsLoss, SoftFBeta

RNG = np.random.default_rng(0)


def actions(columns):
    """Actions of all columns, each with an advantage of either sign."""

    def targets(rows):
        action = RNG.normal(size=(rows, columns))
        return np.concatenate([action, RNG.choice([-1.0, 1.0], (rows, 1))], axis=-1)

    return targets


def indices(rows):
    """Indices of three actions, some of them out of range."""
    return np.stack([RNG.integers(-1, 5, rows), RNG.choice([-1.0, 1.0], rows)], axis=-1)


def labels(columns):
    return lambda rows: RNG.integers(2, size=(rows, columns))


CASES = {
    "gaussian": (lambda **kw: A2CActorLoss("gaussian", **kw), actions(2), 4),
    "categorical, one-hot": (A2CActorLoss, actions(3), 3),
    "categorical, index": (A2CActorLoss, indices, 3),
    "probabilities": (SoftFBeta, labels(1), 1),
    "probabilities, macro": (lambda **kw: SoftFBeta(2.0, "macro", **kw), labels(3), 3),
    "logits": (lambda **kw: SoftFBeta(from_logits=True, **kw), labels(1), 1),
    "logits, weighted": (lambda **kw: SoftFBeta(0.5, "weighted", True, **kw), labels(3), 3),
}


@pytest.mark.parametrize("case", CASES)
def test_finite_for_every_prediction(case):
    check_finite(*CASES[case])


def test_a_loss_that_overflows_is_found():
    class Squares(keras.losses.Loss):
        def call(self, y_true, y_pred):
            return ops.sum((y_true - y_pred) ** 2, axis=-1)

    with pytest.raises(AssertionError, match="rows are not finite"):
        check_finite(Squares, labels(2), 2)


@pytest.mark.parametrize(
    "name", ["mse", "mae", "log_cosh", "huber", "mean_absolute_percentage_error", "poisson"]
)
def test_packing_makes_no_loss_of_keras_worse(name):
    """Those that overflow do so in the very rows where they do by themselves."""
    y_pred = extreme_predictions(1)
    y_true = RNG.uniform(1, 2, y_pred.shape)
    packed = PackedTargetsLoss(name, {"y": 1}, target="y", reduction=None)
    plain = keras.losses.get(name)
    ours = values_and_gradient(packed, y_true, y_pred)
    theirs = values_and_gradient(plain, ops.convert_to_tensor(y_true, "float32"), y_pred)
    for found, expected in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(np.isfinite(found), np.isfinite(expected))
        np.testing.assert_allclose(found, expected, rtol=1e-5)
