"""What is there on a backend other than TensorFlow, and what the rest says when it is touched."""

import sys

import backends
import checks
import pytest

import kerazoo

BACKEND = backends.BACKEND

# Public names of the rooms that need TensorFlow; all others are everywhere.
NEED_TENSORFLOW = {
    "kerazoo.models": {
        "ActorCritic",
        "ForecasterState",
        "LeastSquares",
        "RecurrentQNetwork",
        "StatefulLSTMForecaster",
        "TargetNetwork",
        "hard_update",
        "soft_update",
    },
    "kerazoo.models.forecasting": {"Backtest", "ForecasterState", "StatefulLSTMForecaster"},
    "kerazoo.optimizers": {"LeastSquaresProblem", "LevenbergMarquardt"},
}


@pytest.mark.parametrize("room", NEED_TENSORFLOW)
def test_what_needs_tensorflow_says_so(room):
    module = sys.modules[room]
    for name in NEED_TENSORFLOW[room]:
        if backends.ON_TENSORFLOW:
            assert name in module.__all__
            continue
        assert name not in module.__all__
        message = rf"^{room}\.{name} needs Keras's TensorFlow backend: .*KERAS_BACKEND={BACKEND}$"
        with pytest.raises(ImportError, match=message):
            getattr(module, name)
    assert not hasattr(module, "Perceptron")


@pytest.mark.skipif(backends.ON_TENSORFLOW, reason="TensorFlow is there")
def test_tensorflow_is_not_imported():
    assert "tensorflow" not in sys.modules


def test_a_public_object_is_hinted_at_from_the_root():
    with pytest.raises(ImportError, match=r"^kerazoo\.PReLU is kerazoo\.layers\.PReLU$"):
        from kerazoo import PReLU  # noqa: F401
    for dotted in checks.public_objects():
        name = dotted.rsplit(".", 1)[1]
        with pytest.raises(ImportError, match=rf"^kerazoo\.{name} is kerazoo\.[a-z.]+\.{name}$"):
            getattr(kerazoo, name)
    assert not hasattr(kerazoo, "Perceptron")


def test_public_objects_are_found():
    names = {name.rsplit(".", 1)[1] for name in checks.public_objects()}
    assert {
        "PReLU",
        "A2CActorLoss",
        "lsuv",
        "pack_series",
        "PackedSeries",
        "ConformalIntervals",
    } <= names
