import keras
import numpy as np
import pytest
from backends import to_numpy

from kerazoo.layers import SkipInit
from kerazoo.models import ResidualNetwork


def mean_square_after_blocks(residual, blocks, seed):
    """In NumPy, from the weights."""
    keras.utils.set_random_seed(seed)
    model = ResidualNetwork((256,), 10, blocks, 256, residual)
    h = np.random.default_rng(seed).normal(size=(256, 256)).astype("float32")
    h = h @ to_numpy(model.get_layer("first").kernel)
    for block in range(1, blocks + 1):
        W1, W2 = (to_numpy(model.get_layer(f"block_{block}_linear_{i}").kernel) for i in (1, 2))
        branch = np.maximum(np.maximum(h, 0) @ W1, 0) @ W2
        if residual in ("skip_init", "fixup"):
            branch = to_numpy(model.get_layer(f"block_{block}_alpha").alpha) * branch
        h = h + branch
    return np.mean(h.astype("float64") ** 2)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("residual", "expected", "tolerance"),
    [("skip_init", 1, 0.02), ("fixup", 1, 0.02), ("depth_scaled", np.e, 0.1)],
)
def test_mean_square_after_fifty_blocks(residual, expected, tolerance):
    found = [mean_square_after_blocks(residual, 50, seed) for seed in range(3)]
    assert np.exp(np.mean(np.log(found))) == pytest.approx(expected, rel=tolerance)


def test_he_doubles_with_every_block():
    found = [mean_square_after_blocks("he", 10, seed) for seed in range(3)]
    assert np.exp(np.mean(np.log(found))) == pytest.approx(2**10, rel=0.3)


@pytest.mark.parametrize("shape", [(6,), (9, 8, 2)])
@pytest.mark.parametrize("residual", ["skip_init", "depth_scaled", "fixup", "he"])
def test_trains_saves_and_loads(residual, shape, tmp_path):
    keras.utils.set_random_seed(0)
    model = ResidualNetwork(shape, 3, 2, 8, residual, activation="softmax")
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(32, *shape)), rng.integers(3, size=32)
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    history = model.fit(x, y, epochs=3, verbose=0).history["loss"]
    assert history[-1] < history[0]
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    assert type(loaded) is ResidualNetwork
    np.testing.assert_array_equal(to_numpy(loaded(x)), to_numpy(model(x)))
    np.testing.assert_allclose(np.sum(to_numpy(model(x)), axis=-1), 1, rtol=1e-5)


def test_fixup_begins_at_a_constant_and_all_of_it_moves():
    keras.utils.set_random_seed(0)
    model = ResidualNetwork((6,), 3, 3, 8, "fixup")
    x = np.random.default_rng(0).normal(size=(16, 6))
    np.testing.assert_array_equal(to_numpy(model(x)), np.zeros((16, 3)))
    model.compile(keras.optimizers.SGD(0.5), "mse")
    before = model.get_weights()
    model.fit(x, np.ones((16, 3)), epochs=3, verbose=0)
    assert all(np.any(a != b) for a, b in zip(before, model.get_weights(), strict=True))


def test_parts():
    model = ResidualNetwork((8, 8, 1), 3, 4, 8, strides=2)
    assert sum(isinstance(layer, SkipInit) for layer in model.layers) == 4
    assert model.get_layer("first").output.shape == (None, 4, 4, 8)
    assert not [layer for layer in model.layers if "Normalization" in type(layer).__name__]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_shape": (3, 3)}, "`input_shape` must be"),
        ({"input_shape": (0,)}, "`input_shape` must be"),
        ({"num_outputs": 0}, "`num_outputs` must be"),
        ({"num_blocks": 1.5}, "`num_blocks` must be"),
        ({"width": -1}, "`width` must be"),
        ({"residual": "rezero"}, "`residual` must be one of"),
        ({"strides": 0}, "`strides` must be"),
        ({"strides": 2}, "`strides` must be 1 where the network is dense"),
        ({"activation": "rely"}, "`activation` must be"),
    ],
)
def test_arguments_are_checked(arguments, message):
    with pytest.raises(ValueError, match=message):
        ResidualNetwork(**{"input_shape": (4,), "num_outputs": 2, **arguments})
