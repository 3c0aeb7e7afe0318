"""MaxoutNetwork and PReLUNetwork: their parts, training, files."""

import keras
import numpy as np
import pytest
from backends import to_numpy

from kerazoo.initializers import MaxoutNormal
from kerazoo.layers import MaxoutConv2D, MaxoutDense, PReLU
from kerazoo.models import MaxoutNetwork, PReLUNetwork

SMALL = {MaxoutNetwork: {"filters": (4, 6)}, PReLUNetwork: {"filters": (4, 6), "convolutions": 1}}


@pytest.mark.parametrize("network", SMALL)
@pytest.mark.parametrize("shape", [(6,), (8, 9, 2)])
def test_trains_saves_and_loads(network, shape, tmp_path):
    keras.utils.set_random_seed(0)
    model = network(shape, 3, units=(8,), dropout=0.1, activation="softmax", **SMALL[network])
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(32, *shape)), rng.integers(3, size=32)
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    history = model.fit(x, y, epochs=4, verbose=0).history["loss"]
    assert history[-1] < history[0]
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    assert type(loaded) is network
    np.testing.assert_array_equal(to_numpy(loaded(x)), to_numpy(model(x)))


def test_maxout_by_hand():
    """A dense network without dropout, in NumPy."""
    model = MaxoutNetwork((5,), 2, units=(4, 3), pieces=3)
    h = x = np.random.default_rng(0).normal(size=(6, 5)).astype("float32")
    for layer in model.layers:
        if isinstance(layer, MaxoutDense):
            z = h @ to_numpy(layer.kernel) + to_numpy(layer.bias)
            h = z.reshape(6, 3, -1).max(axis=1)
        elif isinstance(layer, keras.layers.Dense):
            h = h @ to_numpy(layer.kernel) + to_numpy(layer.bias)
    np.testing.assert_allclose(to_numpy(model(x)), h, rtol=1e-4, atol=1e-5)


def test_maxout_parts():
    model = MaxoutNetwork(
        (12, 12, 1), 3, (4, 6), (8, 7), pieces=4, input_dropout=0.2, dropout=0.5, max_norm=1.9
    )
    rates = [a.rate for a in model.layers if isinstance(a, keras.layers.Dropout)]
    assert rates == [0.2, 0.25, 0.25, 0.5, 0.5]
    made = [a for a in model.layers if isinstance(a, (MaxoutConv2D, MaxoutDense))]
    assert [a.num_units for a in made] == [4, 6, 8, 7]
    for layer in made:
        assert layer.pieces == 4
        assert isinstance(layer.kernel_initializer, MaxoutNormal)
        bounded = to_numpy(layer.kernel_constraint(keras.ops.full(layer.kernel.shape, 10.0)))
        norms = np.linalg.norm(np.reshape(bounded, (-1, layer.kernel.shape[-1])), axis=0)
        np.testing.assert_allclose(norms, 1.9, rtol=1e-4)
    kernels = [np.ravel(to_numpy(a.kernel))[:4] for a in made]
    assert len({k.tobytes() for k in kernels}) == 4


def test_prelu_parts():
    model = PReLUNetwork((12, 12, 1), 3, filters=(4, 6), convolutions=3, units=(8, 7))
    convolutions = [a for a in model.layers if isinstance(a, keras.layers.Conv2D)]
    assert [a.filters for a in convolutions] == [4, 4, 4, 6, 6, 6]
    slopes = [a.alpha for a in model.layers if isinstance(a, PReLU)]
    assert [alpha.shape for alpha in slopes] == [(4,)] * 3 + [(6,)] * 3 + [(8,), (7,)]
    expected = np.sqrt(2 / (1 + 0.25**2) / (9 * 6))
    assert np.std(to_numpy(convolutions[-1].kernel)) == pytest.approx(expected, rel=0.15)


@pytest.mark.parametrize("network", SMALL)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_shape": (3, 3)}, "`input_shape` must be"),
        ({"num_outputs": 0}, "`num_outputs` must be"),
        ({"filters": (4, 0)}, "`filters` must be"),
        ({"units": "a"}, "`units` must be"),
        ({"dropout": 1.0}, "`dropout` must be"),
        ({"dropout": True}, "`dropout` must be"),
        ({"activation": "rely"}, "`activation` must be"),
    ],
)
def test_arguments_are_checked(network, arguments, message):
    with pytest.raises(ValueError, match=message):
        network(**{"input_shape": (8, 8, 1), "num_outputs": 2, **arguments})
