import keras
import pytest


@pytest.fixture
def float64():
    """Keras builds layers and computes losses in floatx."""
    before = keras.config.floatx()
    keras.config.set_floatx("float64")
    yield
    keras.config.set_floatx(before)
