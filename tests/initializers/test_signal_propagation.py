import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from kerazoo.initializers import SignalReport, signal_propagation
from kerazoo.layers import MaxoutDense
from kerazoo.models import ResidualNetwork


def batch(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def dense_network(depth, initializer="he_normal", width=128, activation="relu"):
    made = [layers.Dense(width, activation, kernel_initializer=initializer) for _ in range(depth)]
    return keras.Sequential([keras.Input((width,)), *made])


def test_rows_against_numpy():
    """tanh net with a squared error: forward and backward written out."""
    model = keras.Sequential(
        [keras.Input((5,)), layers.Dense(7, "tanh", name="a"), layers.Dense(2, name="b")]
    )
    x, y = batch(6, 5), batch(6, 2, seed=1)
    W1, b1, W2, b2 = model.get_weights()
    z1 = x @ W1 + b1
    h = np.tanh(z1)
    z2 = h @ W2 + b2
    d2 = 2 * (z2 - y) / y.size
    d1 = (d2 @ W2.T) * (1 - h**2)
    expected = {
        "input": (x, d1 @ W1.T, None, None),
        "a": (z1, d1, [W1, b1], [x.T @ d1, d1.sum(0)]),
        "b": (z2, d2, [W2, b2], [h.T @ d2, d2.sum(0)]),
    }

    def norm(arrays):
        return np.sqrt(sum(np.sum(a**2) for a in arrays))

    report = signal_propagation(model, x, y, "mse")
    assert [s.layer for s in report.signals] == list(expected)
    for signal in report.signals:
        z, d, weights, gradients = expected[signal.layer]
        found = (signal.mean, signal.variance, signal.mean_square, signal.gradient_norm)
        np.testing.assert_allclose(
            found, (z.mean(), z.var(), np.mean(z**2), norm([d])), rtol=1e-4, atol=1e-6
        )
        if weights:
            found = (signal.weight_norm, signal.weight_gradient_norm)
            np.testing.assert_allclose(found, (norm(weights), norm(gradients)), rtol=1e-4)
        else:
            assert np.isnan(signal.weight_norm)


def test_dead_units():
    model = dense_network(1, width=4)
    model.layers[0].bias.assign([-1e6, 0, -1e6, 1])
    assert signal_propagation(model, batch(50, 4)).signals[1].dead == 0.5


def test_direction_of_norm_one_without_targets():
    report = signal_propagation(dense_network(3, activation=None), batch(8, 128))
    assert report.signals[-1].gradient_norm == pytest.approx(1, rel=0.1)


def test_compiled_loss_and_its_own_agree():
    model = dense_network(2, width=6)
    x, y = batch(8, 6), batch(8, 6, seed=1)
    model.compile("sgd", keras.losses.MeanSquaredError())
    compiled, given = (signal_propagation(model, x, y, loss) for loss in (None, "mse"))
    np.testing.assert_allclose(
        *[[s.gradient_norm for s in report.signals] for report in (compiled, given)], rtol=1e-5
    )


def test_several_inputs_and_outputs():
    inputs = [keras.Input((3,)), keras.Input((4,))]
    outputs = [layers.Dense(2)(x) for x in inputs]
    model = keras.Model(inputs, outputs)
    x = [batch(5, 3), batch(5, 4)]
    report = signal_propagation(model, x, [batch(5, 2), batch(5, 2)], "mse")
    assert [s.kind for s in report.signals] == ["Input", "Input", "Dense", "Dense"]
    assert all(s.gradient_norm > 0 for s in report.signals)


@pytest.mark.parametrize("as_dict", [False, True])
def test_one_loss_for_each_output(as_dict):
    """Their values add up, and so do the gradients at the layer that both read."""
    x = batch(5, 3)
    y = {"b": batch(5, 2), "a": np.abs(batch(5, 1))}
    loss = {"b": "mse", "a": "poisson"}
    inputs = keras.Input((3,))
    h = layers.Dense(4, name="h")(inputs)
    outputs = {"b": layers.Dense(2)(h), "a": layers.Dense(1, "exponential")(h)}
    if not as_dict:
        y, loss, outputs = (list(part.values()) for part in (y, loss, outputs))
    model = keras.Model(inputs, outputs)
    signals = signal_propagation(model, x, y, loss).signals
    with tf.GradientTape() as tape:
        found = model(x)
        keys = {"b": "b", "a": "a"} if as_dict else {"b": 0, "a": 1}
        b, a = (tf.cast(y[keys[k]], "float32") for k in "ba")
        z_b, z_a = found[keys["b"]], found[keys["a"]]
        total = tf.reduce_mean((z_b - b) ** 2) + tf.reduce_mean(z_a - a * tf.math.log(z_a))
    gradients = tape.gradient(total, model.get_layer("h").weights)
    expected = np.sqrt(sum(np.sum(np.square(g)) for g in gradients))
    actual = {s.layer: s.weight_gradient_norm for s in signals}["h"]
    assert actual == pytest.approx(expected, rel=1e-4)
    with pytest.raises(ValueError, match="`loss` must have one entry"):
        signal_propagation(model, x, y, ["mse"])
    with pytest.raises(ValueError, match="`targets` must have one entry"):
        signal_propagation(model, x, [batch(5, 2)], "mse")


def test_nothing_changes():
    model = keras.Sequential(
        [keras.Input((6,)), layers.Dense(6), layers.BatchNormalization(), layers.Dropout(0.5)]
    )
    before = model.get_weights()
    attributes = [set(vars(layer)) for layer in model.layers]
    reports = [signal_propagation(model, batch(8, 6)) for _ in range(2)]
    assert reports[0].table() == reports[1].table()
    np.testing.assert_equal(before, model.get_weights())
    assert attributes == [set(vars(layer)) for layer in model.layers]


def test_each_use_of_a_layer_is_a_row():
    shared = layers.Dense(4, name="shared")
    inputs = keras.Input((4,))
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(4, name="inside")])
    model = keras.Model(inputs, shared(inner(shared(inputs))))
    names = [s.layer for s in signal_propagation(model, batch(3, 4)).signals]
    assert names == ["input", "shared", "inside", "shared"]


def test_recurrent_layers_are_one_row():
    model = keras.Sequential(
        [
            keras.Input((5,)),
            layers.Embedding(9, 4),
            layers.Bidirectional(layers.LSTM(3, return_sequences=True)),
            layers.TimeDistributed(layers.Dense(2)),
        ]
    )
    report = signal_propagation(model, np.arange(15).reshape(3, 5) % 9)
    kinds = [s.kind for s in report.signals]
    assert kinds == ["Embedding", "LSTM", "LSTM", "Bidirectional", "TimeDistributed"]
    assert all(s.gradient_norm > 0 for s in report.signals)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: dense_network(50), ["healthy"]),
        (lambda: dense_network(40, "glorot_uniform"), ["vanishing", "ActivationNormal", "lsuv"]),
        (
            lambda: dense_network(20, keras.initializers.VarianceScaling(8.0)),
            ["exploding", "ActivationNormal"],
        ),
        (
            lambda: dense_network(60, keras.initializers.Orthogonal(2.0), activation="tanh"),
            ["gradients explode"],
        ),
        (
            lambda: dense_network(60, keras.initializers.Orthogonal(3.0), activation="sigmoid"),
            ["gradients vanish"],
        ),
        (
            lambda: keras.Sequential(
                [keras.Input((128,)), *[MaxoutDense(128, 5) for _ in range(20)]]
            ),
            ["MaxoutNormal"],
        ),
        (lambda: ResidualNetwork((128,), 3, 30, residual="he"), ["exploding", "SkipInit"]),
        (lambda: ResidualNetwork((128,), 3, 30, residual="depth_scaled"), ["healthy"]),
        (lambda: ResidualNetwork((128,), 3, 30), ["healthy"]),
        (lambda: ResidualNetwork((128,), 3, 5, residual="fixup"), ["'outputs'", "first step"]),
    ],
)
def test_diagnosis(make, words):
    keras.utils.set_random_seed(0)
    diagnosis = signal_propagation(make(), batch(64, 128)).diagnosis
    assert "\n" not in diagnosis
    for word in words:
        assert word in diagnosis


def test_diagnosis_names_dead_and_infinite_layers():
    model = dense_network(3)
    model.layers[1].bias.assign(np.where(np.arange(128) < 100, -30.0, 0))
    diagnosis = signal_propagation(model, batch(64, 128)).diagnosis
    assert diagnosis.startswith("dead units: 78%")
    assert model.layers[1].name in diagnosis
    model.layers[2].kernel.assign(np.full((128, 128), np.nan))
    diagnosis = signal_propagation(model, batch(64, 128)).diagnosis
    assert diagnosis.startswith(f"not finite from {model.layers[2].name!r}")


@pytest.mark.parametrize("separate", [False, True])
def test_diagnosis_names_the_layer_at_which_all_ends(separate):
    """Its pre-activations are large, but that is not what is wrong."""
    made = []
    for i in range(4):
        bias = keras.initializers.Constant(-100.0 if i == 2 else 0.0)
        fused = None if separate else "relu"
        made.append(layers.Dense(16, fused, bias_initializer=bias, name=f"dense_{i}"))
        if separate:
            made.append(layers.ReLU(name=f"relu_{i}"))
    model = keras.Sequential([keras.Input((16,)), *made, layers.Dense(1)])
    diagnosis = signal_propagation(model, batch(8, 16)).diagnosis
    assert diagnosis.startswith(f"dead: every unit of '{'relu' if separate else 'dense'}_2'")


def test_dead_units_do_not_explain_a_zeroed_head():
    model = keras.Sequential([dense_network(3), layers.Dense(1, kernel_initializer="zeros")])
    dense = model.layers[0].layers[1]
    dense.bias.assign(np.where(np.arange(128) < 100, -30.0, 0))
    diagnosis = signal_propagation(model, batch(64, 128)).diagnosis
    assert diagnosis.startswith("no gradient comes through")
    assert model.layers[1].name in diagnosis


def test_table_and_picture(tmp_path):
    report = signal_propagation(dense_network(3), batch(8, 128))
    lines = report.table().splitlines()
    assert len(lines) == 1 + 4 + 1
    assert lines[-1] == report.diagnosis
    report.plot(tmp_path / "report.png")
    assert (tmp_path / "report.png").stat().st_size > 10_000


def test_picture_of_what_has_no_logarithm(tmp_path):
    """Zeros and infinities stand at the edges."""
    signals = signal_propagation(dense_network(3), batch(8, 128)).signals
    spoiled = [signals[0], signals[1]._replace(mean=0.0, variance=0.0)]
    spoiled.append(signals[2]._replace(variance=np.inf, gradient_norm=np.nan))
    SignalReport(spoiled).plot(tmp_path / "report.png")
    assert (tmp_path / "report.png").exists()


def test_mixed_precision():
    model = keras.Sequential(
        [keras.Input((8,)), layers.Dense(8, "relu", dtype="mixed_float16"), layers.Dense(2)]
    )
    report = signal_propagation(model, tf.constant(batch(4, 8)))
    assert all(np.isfinite(s.gradient_norm) for s in report.signals)


def test_arguments_are_checked():
    model = dense_network(1)
    with pytest.raises(ValueError, match="`loss` needs `targets`"):
        signal_propagation(model, batch(2, 128), loss="mse")
    with pytest.raises(ValueError, match="`targets` need a `loss`"):
        signal_propagation(model, batch(2, 128), batch(2, 128))
