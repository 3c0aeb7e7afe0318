"""Steps taken several at a time, and compiled by XLA: the steps that `fit` takes one by one."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from speed import slow_but

from kerazoo.losses import Cauchy
from kerazoo.models import LeastSquares
from kerazoo.optimizers import LevenbergMarquardt

L = keras.layers
STEPS = 20
NO_TESTS = {"ftol": 0.0, "xtol": 0.0, "gtol": 0.0}


def network(inputs=2, units=(5,), outputs=1, activation="tanh", **arguments):
    keras.utils.set_random_seed(1)
    hidden = [L.Dense(n, activation, **arguments) for n in units]
    return keras.Sequential([keras.Input((inputs,)), *hidden, L.Dense(outputs)])


def data(examples=40, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(examples, 2)).astype(keras.config.floatx())
    return x, np.sin(x[:, :1]) * x[:, 1:]


def compiled(model, at_once=1, jit_compile="auto", loss="mse", metrics=None, **arguments):
    model = LeastSquares(model)
    optimizer = LevenbergMarquardt(**arguments)
    model.compile(
        optimizer, loss, metrics=metrics, steps_per_execution=at_once, jit_compile=jit_compile
    )
    return model


def weights_of(model):
    return np.concatenate([weight.ravel() for weight in model.get_weights()])


def random_case(seed):
    """A small network, its data, and arguments of `compiled` and of `fit`, of all kinds."""
    rng = np.random.default_rng(seed)
    inputs, outputs = int(rng.integers(1, 4)), int(rng.integers(1, 3))
    units = [int(n) for n in rng.integers(2, 7, rng.integers(1, 3))]
    activation = str(rng.choice(["tanh", "sigmoid", "gelu"]))
    l2 = keras.regularizers.L2(1e-3) if rng.random() < 0.3 else None
    x = rng.normal(size=(60, inputs)).astype(keras.config.floatx())
    y = np.sin(x @ rng.normal(size=(inputs, outputs))) + 0.3 * rng.normal(size=(60, outputs))
    arguments = {
        "damping_rule": str(rng.choice(["trust_region", "nielsen", "marquardt"])),
        "scaling": str(rng.choice(["max", "diagonal", "identity"])),
        "loss": ["mse", "huber", "log_cosh", Cauchy(1.0)][rng.integers(4)],
        "geodesic_acceleration": bool(rng.random() < 0.3),
        **NO_TESTS,
    }
    weight = rng.uniform(0.2, 2, 60).astype(keras.config.floatx())
    weight[: rng.integers(20)] = 0
    fit = {"sample_weight": weight if rng.random() < 0.5 else None, "verbose": 0}

    def make():
        return network(inputs, units, outputs, activation, kernel_regularizer=l2)

    return make, x, y.astype(keras.config.floatx()), arguments, fit


def one_by_one(make, x, y, arguments, fit):
    model = compiled(make(), **arguments)
    model.fit(x, y, epochs=STEPS, **fit)
    return weights_of(model)


# Keras's `train_on_batch` knows of no whole batch: it takes each step for one of a mini-batch.
@pytest.mark.slow
@pytest.mark.parametrize("seed", [0])
def test_steps_of_a_whole_batch_are_those_of_single_batches(seed):
    make, x, y, arguments, fit = random_case(seed)
    single = compiled(make(), **arguments)
    for _ in range(STEPS):
        single.train_on_batch(x, y, sample_weight=fit["sample_weight"])
    whole = one_by_one(make, x, y, arguments, fit)
    np.testing.assert_allclose(whole, weights_of(single), rtol=0, atol=1e-5 * np.abs(whole).max())


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1])
def test_steps_at_once_are_bitwise_the_same(seed):
    make, x, y, arguments, fit = random_case(seed)
    many = compiled(make(), STEPS, jit_compile=False, **arguments)
    many.fit(x, y, **fit)
    np.testing.assert_array_equal(weights_of(many), one_by_one(make, x, y, arguments, fit))


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 3])
def test_compiled_steps_are_the_same(seed, float64):
    """To 1e-10, or to what sums over the rows in another order leave of 20 steps."""
    make, x, y, arguments, fit = random_case(seed)
    arguments = {**arguments, "solver": "cholesky", "polish": False}
    many = compiled(make(), STEPS, **arguments)
    many.fit(x, y, **fit)
    assert many.optimizer.choice.endswith(", compiled by XLA")
    expected = one_by_one(make, x, y, arguments, fit)
    order = np.random.default_rng(0).permutation(60)
    if fit["sample_weight"] is not None:
        fit = {**fit, "sample_weight": fit["sample_weight"][order]}
    other_order = one_by_one(make, x[order], y[order], arguments, fit)
    rounding = 2 * np.abs(other_order - expected).max()
    least = 1e-10 * np.abs(expected).max()
    np.testing.assert_allclose(weights_of(many), expected, rtol=0, atol=max(least, rounding))


@pytest.mark.slow
@pytest.mark.parametrize("whole", [True, False])
def test_compiled_steps_of_batches_metrics_and_logs(whole):
    """Five batches, four steps a call: the second call reads one batch and then the end.

    Not `whole`: tf.data does not say how large the batches are, and the last is smaller.
    """
    x, y = data(200 if whole else 185)
    weight = np.random.default_rng(1).uniform(0, 2, (len(x), 1)).astype("float32")
    batches = tf.data.Dataset.from_tensor_slices((x, y, weight)).batch(40, drop_remainder=whole)
    results = []
    for jit_compile in (True, False):
        model = compiled(
            network(), 4, jit_compile, damping_rule="nielsen", initial_damping=1.0, metrics=["mae"]
        )
        history = model.fit(batches, epochs=2, verbose=0, shuffle=False).history
        assert int(model.optimizer.iterations) == 10
        if whole:
            assert ("compiled by XLA" in model.optimizer.choice) is jit_compile
        results.append((weights_of(model), history))
    (weights, history), (expected, expected_history) = results
    np.testing.assert_allclose(weights, expected, rtol=1e-4, atol=1e-5)
    assert history.keys() == expected_history.keys()
    for name in ("loss", "mae", "damping", "attempts"):
        np.testing.assert_allclose(history[name], expected_history[name], rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("jit_compile", [True, False])
def test_a_fit_ends_within_a_call_once_it_has_converged(jit_compile):
    x = np.linspace(-1, 1, 30, dtype="float32")[:, None]
    model = compiled(
        keras.Sequential([keras.Input((1,)), L.Dense(1)]), 50, jit_compile, damping_rule="nielsen"
    )
    history = model.fit(x, 3 * x - 1, epochs=10, verbose=0)
    assert len(history.epoch) == 1
    assert int(model.optimizer.iterations) < 50
    assert model.optimizer.stop_reason.startswith("Converged")
    np.testing.assert_allclose(weights_of(model), [3, -1], rtol=1e-6)


@pytest.mark.slow
def test_not_a_number_in_compiled_steps():
    x, y = data()
    y[7] = np.nan
    model = compiled(network(), 10)
    before = weights_of(model)
    with pytest.raises(ValueError, match=r"must be finite.*batch 1 of this fit"):
        model.fit(x, y, verbose=0)
    np.testing.assert_array_equal(weights_of(model), before)


def words(x):
    """An operation that XLA does not know."""
    lengths = tf.strings.length(tf.strings.as_string(tf.cast(x, tf.int32)))
    return x + 0 * tf.cast(lengths, x.dtype)


@pytest.mark.slow
def test_what_xla_does_not_know_is_taken_without_it():
    x, y = data()
    inputs = keras.Input((2,))
    model = compiled(
        keras.Model(inputs, L.Dense(1)(L.Lambda(words, output_shape=(2,))(inputs))), 10
    )
    history = model.fit(x, y, epochs=2, verbose=0).history
    assert "not compiled by XLA (it does not know all operations" in model.optimizer.choice
    assert np.isfinite(history["loss"]).all()
    required = compiled(model.model, 10, jit_compile=True)
    with pytest.raises(ValueError, match="`jit_compile=True` needs steps that XLA can compile"):
        required.fit(x, y, verbose=0)


def asserted(x):
    with tf.control_dependencies([tf.debugging.Assert(tf.reduce_all(x < 100), [x])]):
        return tf.identity(x)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("obstacle", "layer", "message"),
    [
        ("a lookup", lambda: L.Embedding(5, 3), "indices"),
        ("an assertion", lambda: L.Lambda(asserted, output_shape=(1,)), "assert"),
    ],
)
def test_errors_that_xla_would_leave_out_are_kept(obstacle, layer, message):
    x = np.arange(20, dtype="float32")[:, None] % 5
    inputs = keras.Input((1,))
    model = compiled(keras.Model(inputs, L.Dense(1)(L.Flatten()(layer()(inputs)))), 10)
    model.fit(x, x, verbose=0)
    assert f"not compiled by XLA ({obstacle}" in model.optimizer.choice
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        model.fit(x + 1000, x, verbose=0)


@pytest.mark.parametrize(
    ("obstacle", "arguments", "units", "cast"),
    [
        ("another solver", {"solver": "qr"}, 5, float),
        ("`momentum`", {"solver": "cholesky", "jacobian_rows": 10}, 5, float),
        ("more than 128 weights", {}, 40, float),
        ("integers or text", {}, 5, int),
    ],
)
def test_what_would_not_be_faster_is_refused(obstacle, arguments, units, cast):
    x, y = data()
    model = compiled(network(units=(units,)), jit_compile=True, **arguments)
    x = x.astype("int32") if cast is int else x
    with pytest.raises(ValueError, match=f"`jit_compile=True`.*{obstacle}"):
        model.fit(x, y, verbose=0)


@pytest.mark.slow
def test_auto_compiles_from_ten_steps_a_call_on():
    x, y = data()
    for at_once in (1, 9):
        model = compiled(network(), at_once)
        model.fit(x, y, verbose=0)
        assert "XLA" not in model.optimizer.choice
    model = compiled(network(units=(40,)), 10)
    model.fit(x, y, verbose=0)
    assert model.optimizer.choice.endswith(", not compiled by XLA (more than 128 weights)")


@pytest.mark.slow
def test_a_saved_model_compiles_as_before(tmp_path):
    for given in ("auto", True, False):
        model = compiled(network(), 2, given)
        model.save(tmp_path / "model.keras")
        loaded = keras.saving.load_model(tmp_path / "model.keras")
        assert loaded.get_compile_config()["jit_compile"] == given


@pytest.mark.parametrize("size", slow_but(40, of=[20, 40]))  # of two batches, of the whole
def test_negative_weights_in_compiled_steps(size):
    """XLA leaves assertions out."""
    x, y = data()
    weight = np.ones((40, 1), "float32")
    weight[3] = -1
    batches = tf.data.Dataset.from_tensor_slices((x, y, weight)).batch(size, drop_remainder=True)
    model = compiled(network(), 2, jit_compile=True)
    before = weights_of(model)
    with pytest.raises(ValueError, match="sample_weight"):
        model.fit(batches, verbose=0, shuffle=False)
    np.testing.assert_array_equal(weights_of(model), before)


def test_single_batches_after_a_fit_are_their_own():
    """What a fit knows of its whole batch is none of theirs."""
    x = np.linspace(-1, 1, 30, dtype="float32")[:, None]
    model = compiled(keras.Sequential([keras.Input((1,)), L.Dense(1)]), damping_rule="nielsen")
    model.fit(x, 3 * x - 1, epochs=10, verbose=0)
    for slope in (2, 5):
        for _ in range(8):
            model.train_on_batch(x, slope * x)
        np.testing.assert_allclose(weights_of(model), [slope, 0], atol=1e-4)


@pytest.mark.slow
def test_each_fit_compiles_the_size_of_its_own_batches():
    """tf.data leaves the size open, since the last batch may be smaller."""
    x, y = data(45)
    model = compiled(network(), 2, jit_compile=True)
    for size in (20, 15):
        batches = tf.data.Dataset.from_tensor_slices((x, y)).batch(size)
        model.fit(batches.take(2), verbose=0, shuffle=False)
        assert f"{size} residuals" in model.optimizer.choice
        assert model.optimizer.choice.endswith(", compiled by XLA")
