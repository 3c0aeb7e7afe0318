import keras
import pytest


@pytest.fixture
def floatx64():
    """Everything in double precision, as after `keras.config.set_floatx("float64")`."""
    policy = keras.config.dtype_policy()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy(policy)
