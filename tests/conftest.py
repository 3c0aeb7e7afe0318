import backends
import keras
import pytest


@pytest.fixture
def float64():
    """Layers take their precision from the dtype policy, losses theirs from floatx."""
    floatx, policy = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    with backends.double_precision():
        yield
    keras.config.set_floatx(floatx)
    keras.config.set_dtype_policy(policy)
