import itertools
import math

import keras
import numpy as np
import pytest
from backends import ON_TENSORFLOW, double_precision, to_numpy
from scipy import integrate, stats

from kerazoo.initializers import ActivationNormal, calculate_gain


def scipy_gain(f, kinks=(0.0,)):
    edges = [-20, *kinks, 20]
    pieces = [
        integrate.quad(lambda z: f(z) ** 2 * stats.norm.pdf(z), a, b, epsabs=1e-13)[0]
        for a, b in itertools.pairwise(edges)
    ]
    return 1 / math.sqrt(sum(pieces))


# The functions once more, written out.
SELU = (1.0507009873554805, 1.6732632423543772)
FORMULAS = {
    "linear": (lambda z: z, (0,)),
    "relu": (lambda z: max(z, 0), (0,)),
    "relu6": (lambda z: min(max(z, 0), 6), (0, 6)),
    "leaky_relu": (lambda z: max(z, 0.2 * z), (0,)),
    "prelu": (lambda z: max(z, 0.25 * z), (0,)),
    "elu": (lambda z: z if z > 0 else math.expm1(z), (0,)),
    "selu": (lambda z: SELU[0] * (z if z > 0 else SELU[1] * math.expm1(z)), (0,)),
    "tanh": (math.tanh, (0,)),
    "sigmoid": (lambda z: 1 / (1 + math.exp(-z)), (0,)),
    "hard_sigmoid": (lambda z: min(max(z / 6 + 0.5, 0), 1), (-3, 3)),
    "softplus": (lambda z: math.log1p(math.exp(-abs(z))) + max(z, 0), (0,)),
    "silu": (lambda z: z / (1 + math.exp(-z)), (0,)),
    "exponential": (math.exp, (0,)),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_against_scipy(name):
    """On TensorFlow in float64; elsewhere Keras takes some functions in float32."""
    with double_precision():
        found = calculate_gain(name)
    assert found == pytest.approx(scipy_gain(*FORMULAS[name]), rel=1e-9 if ON_TENSORFLOW else 1e-7)
    assert calculate_gain(name) == pytest.approx(found, rel=1e-6)


def test_gelu_by_sampling():
    z = np.random.default_rng(0).normal(size=4_000_000)
    sampled = 1 / np.sqrt(np.mean((z * stats.norm.cdf(z)) ** 2))
    exact = calculate_gain(lambda z: keras.activations.gelu(z, approximate=False))
    assert exact == pytest.approx(sampled, rel=2e-3)


@pytest.mark.parametrize("slope", [0, 0.01, 0.25, 1, -0.5])
@pytest.mark.parametrize("name", ["relu", "leaky_relu", "prelu"])
def test_slopes(name, slope):
    assert calculate_gain(name, slope) == pytest.approx(math.sqrt(2 / (1 + slope**2)), rel=1e-12)


def test_of_a_layer():
    expected = math.sqrt(2 / (1 + 0.3**2))
    assert calculate_gain(keras.layers.LeakyReLU()) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("activation", ["softmax", keras.ops.cumsum, lambda z: keras.ops.sum(z)])
def test_functions_of_several_inputs_are_refused(activation):
    with pytest.raises(ValueError, match="`activation` must be elementwise"):
        calculate_gain(activation)


@pytest.mark.parametrize("activation", [keras.ops.zeros_like, keras.ops.log])
def test_without_a_mean_square(activation):
    with pytest.raises(ValueError, match="finite mean square above 0"):
        calculate_gain(activation)


@pytest.mark.parametrize("activation", ["rlu", 3])
def test_unknown_names_are_refused(activation):
    with pytest.raises(ValueError, match="`activation` must be the name"):
        calculate_gain(activation)


@pytest.mark.parametrize(
    ("activation", "slope"), [("tanh", 0.1), ("relu", math.nan), ("prelu", True), ("prelu", "a")]
)
def test_slopes_are_checked(activation, slope):
    with pytest.raises(ValueError, match="`negative_slope`"):
        calculate_gain(activation, slope)


@keras.saving.register_keras_serializable(package="tests")
def half(x):
    return 0.5 * x


@pytest.mark.parametrize("activation", ["tanh", half, keras.activations.selu])
def test_activation_normal(activation):
    first = ActivationNormal(activation, seed=0)
    second = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(first))
    values = first((100, 200))
    np.testing.assert_array_equal(to_numpy(second((100, 200))), to_numpy(values))
    assert second.get_config() == first.get_config()
    z = np.random.default_rng(0).normal(size=100_000)
    values_after = keras.activations.get(activation)(keras.ops.convert_to_tensor(z, "float32"))
    gain = 1 / np.sqrt(np.mean(np.square(to_numpy(values_after))))
    assert np.std(to_numpy(values)) == pytest.approx(gain / 10, rel=0.02)


def test_prelu_gain_holds_for_a_hundred_layers():
    found = []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        h = rng.normal(size=(256, 256)).astype("float32")
        W = to_numpy(ActivationNormal("prelu", seed=seed)((256, 100 * 256)))
        for kernel in np.split(W, 100, axis=1):
            z = h @ kernel
            h = np.maximum(z, 0.25 * z)
        found.append(np.mean(z**2))
    # The first kernel reads inputs of mean square 1, not activations: it gives gain**2.
    assert 0.3 < np.exp(np.mean(np.log(found))) < 3
