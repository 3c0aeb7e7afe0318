import backends
import keras
import numpy as np
import pytest


@pytest.fixture(scope="module", autouse=True)
def state_of_draws(request):
    """Of a test file's random numbers `RNG`, once it is imported."""
    rng = getattr(request.module, "RNG", None)
    return rng.bit_generator.state if isinstance(rng, np.random.Generator) else None


@pytest.fixture(autouse=True)
def same_draws(request, state_of_draws):
    """A test draws the same numbers whatever ran before it: workers share out the tests anew
    in every run."""
    keras.utils.set_random_seed(0)
    if state_of_draws is not None:
        request.module.RNG.bit_generator.state = state_of_draws


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
