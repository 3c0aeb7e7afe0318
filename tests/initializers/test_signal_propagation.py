import random

import keras
import numpy as np
import pytest
from backends import to_numpy
from data_sets import Batches
from keras import layers

from kerazoo.initializers import SignalReport, initialize_output_bias, signal_propagation
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


@pytest.fixture(scope="module")
def two_heads():
    """Two layers of outputs, z before a, so that no order by name is the order of the outputs."""
    inputs = keras.Input((3,))
    h = layers.Dense(4, name="h", kernel_regularizer="l2")(inputs)
    z = layers.Dense(1, "exponential", name="z")(h)
    a = layers.Dense(2, name="a")(h)
    return inputs, h, z, a


X = batch(5, 3)
Z, A = np.abs(batch(5, seed=1)), batch(5, 2, seed=2)


def squared(y_true, y_pred):
    return keras.ops.mean(keras.ops.square(y_true - y_pred), axis=-1)


OUTPUTS = {
    "single": lambda z, a: z,
    "list": lambda z, a: [z, a],
    "dict": lambda z, a: {"z": z, "a": a},
    "other keys": lambda z, a: {"q": z, "b": a},
    "list of one": lambda z, a: [z],
    "nested": lambda z, a: {"in": {"z": z}, "out": a},
}
STRUCTURES = [
    ("single", Z, "mse"),
    ("single", Z, squared),
    ("single", Z[:, None], keras.losses.MeanSquaredError(reduction="sum")),
    ("single", Z, {"z": "poisson"}),
    ("single", [Z], ["mae"]),
    ("list of one", Z, "mse"),
    ("list of one", [Z], ["mae"]),
    ("list", [Z, A], "mse"),
    ("list", [Z, A], squared),
    ("list", (Z, A), ["poisson", squared]),
    ("list", {"z": Z, "a": A}, ["poisson", "mse"]),
    ("list", {"a": A, "z": Z}, {"a": "mse", "z": "poisson"}),
    ("list", [Z, A], {"z": "poisson", "a": "mae"}),
    ("list", [Z, A], [None, "mse"]),
    ("list", [Z, A], {"z": "mse", "a": None}),
    ("dict", {"z": Z, "a": A}, "mse"),
    ("dict", {"a": A, "z": Z}, {"z": "poisson", "a": squared}),
    ("dict", {"a": A, "z": Z}, {"z": "poisson"}),
    ("other keys", {"q": Z, "b": A}, {"b": "mae", "q": "mse"}),
    ("nested", {"in": {"z": Z}, "out": A}, {"in": {"z": "poisson"}, "out": "mae"}),
    ("nested", {"in": {"z": Z}, "out": A}, "mse"),
]


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("case", STRUCTURES, ids=[f"{i}-{c[0]}" for i, c in enumerate(STRUCTURES)])
def test_loss_is_that_of_fit(case, compiled, two_heads):
    """With the regularizer, for targets and losses in every structure that Keras takes."""
    kind, y, loss = case
    inputs, _, z, a = two_heads
    model = keras.Model(inputs, OUTPUTS[kind](z, a))
    other = keras.Model(inputs, OUTPUTS[kind](z, a))
    other.compile(loss=loss, run_eagerly=True)
    expected = np.ravel(other.evaluate(X, y, verbose=0, batch_size=5))[0]
    if compiled:
        model.compile(loss=loss)
    found = signal_propagation(model, X, y, None if compiled else loss).loss
    assert found == pytest.approx(expected, rel=1e-5)


def test_gradients_are_those_of_all_outputs(two_heads):
    """Written out; the targets by name, in the order of neither outputs nor names."""
    inputs, _, z, a = two_heads
    model = keras.Model(inputs, [z, a])
    model.compile(loss={"a": "mse", "z": "poisson"}, loss_weights={"a": 0.5, "z": 3.0})
    report = signal_propagation(model, X, {"z": Z, "a": A})
    weights = {layer.name: [to_numpy(w) for w in layer.weights] for layer in model.layers}
    h = X @ weights["h"][0] + weights["h"][1]
    z1 = h @ weights["z"][0] + weights["z"][1]
    d_z = 3 * (np.exp(z1) - Z[:, None]) / 5
    d_a = 0.5 * 2 * (h @ weights["a"][0] + weights["a"][1] - A) / 10
    d_h = d_z @ weights["z"][0].T + d_a @ weights["a"][0].T
    found = {s.layer: s for s in report.signals}
    for name, expected in (("z", d_z), ("a", d_a), ("h", d_h)):
        assert found[name].gradient_norm == pytest.approx(np.linalg.norm(expected), rel=1e-4)
    dW = X.T @ d_h + 2 * 0.01 * weights["h"][0]  # Keras's l2 takes a factor of 0.01
    expected = np.sqrt(np.sum(dW**2) + np.sum(d_h.sum(0) ** 2))
    assert found["h"].weight_gradient_norm == pytest.approx(expected, rel=1e-4)


def test_gradients_of_branches_are_apart():
    """Identity gives the tensor it got: what the other branch reads does not count there."""
    inputs = keras.Input((3,))
    h = layers.Dense(3, name="h")(inputs)
    model = keras.Model(inputs, layers.Add(name="sum")([layers.Identity(name="same")(h), h]))
    found = {s.layer: s.gradient_norm for s in signal_propagation(model, X).signals}
    assert found["h"] == pytest.approx(2 * found["same"], rel=1e-5)
    assert found["sum"] == pytest.approx(found["same"], rel=1e-5)


class OwnLoss(keras.Model):
    """Its `compute_loss` is its own, and counts in a tracker."""

    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(2)
        self.tracker = keras.metrics.Mean(name="own")

    def call(self, x):
        outputs = self.dense(x)
        self.add_loss(keras.ops.mean(outputs**2))
        return outputs

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        value = 3 * keras.ops.mean(keras.ops.abs(y - y_pred)) + sum(self.losses)
        self.tracker.update_state(value)
        return value


def test_compute_loss_of_the_users_own():
    model = OwnLoss()
    model.compile("sgd")
    outputs = to_numpy(model(X))
    expected = 3 * np.mean(np.abs(A - outputs)) + np.mean(outputs**2)
    assert signal_propagation(model, X, A).loss == pytest.approx(expected, rel=1e-5)
    assert float(model.tracker.result()) == 0


@pytest.mark.parametrize(
    ("y", "loss"),
    [
        ([Z, A], ["mse"]),
        ([Z], "mse"),
        ({"z": Z, "b": A}, "mse"),
        ([Z, A], {"z": "mse", "b": "mse"}),
        ([Z, A], ["mse", "mse", "mse"]),
    ],
)
def test_what_does_not_match_the_outputs_is_refused(y, loss, two_heads):
    inputs, _, z, a = two_heads
    with pytest.raises(ValueError, match="must match the model's outputs"):
        signal_propagation(keras.Model(inputs, [z, a]), X, y, loss)


def state_of(model):
    """All that a call could change and that can be seen from outside."""
    everything = [*model.variables, *model.metrics_variables, *model.optimizer.variables]
    return {
        "values": [to_numpy(keras.ops.convert_to_tensor(v)) for v in everything],
        "seeds": [
            to_numpy(keras.ops.convert_to_tensor(layer.seed_generator.state))
            for layer in model.layers
            if hasattr(layer, "seed_generator")
        ],
        "attributes": [sorted(vars(layer)) for layer in model.layers],
        "activations": [getattr(layer, "activation", None) for layer in model.layers],
        "trainable": [layer.trainable for layer in model.layers],
        "metrics": [metric.name for metric in model.metrics],
        "compiled": (model.compiled, model.loss, model.built, model.optimizer),
        "NumPy": np.random.get_state()[1].tolist(),
        "Python": random.getstate(),
    }


@pytest.fixture(scope="module", params=["fresh", "trained"])
def compiled_model(request):
    """With dropout, statistics, spectral norms, two outputs, and perhaps loss trackers in use."""
    inputs = keras.Input((4, 6))
    h = layers.LSTM(6, dropout=0.5, recurrent_dropout=0.5)(inputs)
    h = layers.Dropout(0.5)(layers.BatchNormalization()(h))
    h = layers.GaussianNoise(1.0)(layers.SpectralNormalization(layers.Dense(3))(h))
    model = keras.Model(inputs, [layers.Dense(1, name="z")(h), layers.Dense(2, name="a")(h)])
    model.compile("adam", {"a": "mse", "z": "mae"}, metrics={"a": ["mae"]}, run_eagerly=True)
    if request.param == "trained":
        model.fit(batch(8, 4, 6), {"z": batch(8, 1), "a": batch(8, 2)}, verbose=0)
    return model


@pytest.mark.parametrize("call", ["direction", "compiled", "given", "mismatched"])
def test_nothing_changes(call, compiled_model):
    """Weights, statistics, seeds, loss trackers, optimizer, attributes, random state."""
    model, x, y = compiled_model, batch(8, 4, 6), {"z": batch(8, 1), "a": batch(8, 2)}
    arguments = {
        "direction": (),
        "compiled": (y,),
        "given": (y, {"a": "mae", "z": "mse"}),
        "mismatched": ([batch(8, 1)],),
    }[call]
    before = state_of(model)
    reports = []
    for _ in range(2):
        try:
            reports.append(signal_propagation(model, x, *arguments).table())
        except ValueError:
            reports.append("refused")
    assert reports[0] == reports[1]
    assert (reports[0] == "refused") == (call == "mismatched")
    np.testing.assert_equal(state_of(model), before)


def data_sets(*arrays):
    yield Batches(*arrays, count=2, size=4)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        yield tf.data.Dataset.from_tensor_slices(arrays).batch(4)
        yield tf.data.Dataset.from_tensor_slices(tuple(array[:4] for array in arrays))
    if keras.backend.backend() == "torch":
        import torch

        tensors = [torch.as_tensor(array) for array in arrays]
        yield torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*tensors), batch_size=4)


def test_data_sets_give_inputs_targets_and_weights():
    x, y, w = batch(8, 3), batch(8, 2), np.arange(8, dtype="float32")
    model = keras.Sequential([keras.Input((3,)), layers.Dense(2)])
    without = signal_propagation(model, x[:4])
    weighted = np.mean(w[:4, None] * (to_numpy(model(x[:4])) - y[:4]) ** 2)
    for data in data_sets(x, y, w):
        assert signal_propagation(model, data).table() == without.table()
        assert signal_propagation(model, data, loss="mse").loss == pytest.approx(weighted, rel=1e-5)
        with pytest.raises(ValueError, match="`targets` must be None where `inputs` is a data set"):
            signal_propagation(model, data, y, "mse")
    model.compile(loss="mse")
    expected = signal_propagation(model, x[:4], y[:4]).loss
    for data in data_sets(x, y):
        assert signal_propagation(model, data).loss == pytest.approx(expected, rel=1e-6)
    for data in data_sets(x):
        with pytest.raises(ValueError, match="`loss` needs `targets`"):
            signal_propagation(model, data, loss="mse")


def test_a_generator_is_refused_unread():
    model = keras.Sequential([keras.Input((3,)), layers.Dense(2)])
    data = iter([batch(8, 3)])
    with pytest.raises(ValueError, match="`inputs` must not be a generator"):
        signal_propagation(model, data)
    assert next(data).shape == (8, 3)


def test_an_empty_data_set_is_refused():
    model = keras.Sequential([keras.Input((3,)), layers.Dense(2)])
    with pytest.raises(ValueError, match="`inputs` must not be empty"):
        signal_propagation(model, Batches(count=0, size=1))


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


def test_the_bias_of_an_output_is_no_matter_of_depth():
    """A regression in raw units starts from its mean: nothing explodes."""
    keras.utils.set_random_seed(0)
    model = dense_network(3)
    model = keras.Sequential([model, layers.Dense(1, kernel_initializer="zeros", name="head")])
    y = 5000 + batch(64, 1)
    initialize_output_bias(model, y, "mse", zero_kernel=False)
    model.layers[1].kernel.assign(batch(128, 1, seed=5) / np.sqrt(128))
    report = signal_propagation(model, batch(64, 128), y, "mse")
    assert report.diagnosis.startswith("healthy: the mean square goes from ")
    assert f"(with the bias of 'head': {report.signals[-1].mean_square:.2g})" in report.diagnosis
    z = to_numpy(model(batch(64, 128)))
    bias = to_numpy(model.layers[1].bias)
    found = report.signals[-1].mean_square_without_bias
    assert found == pytest.approx(np.mean((z - bias) ** 2), rel=1e-2)
    softmax = keras.Sequential([model, layers.Activation("sigmoid")])
    assert signal_propagation(softmax, batch(64, 128)).signals[
        -2
    ].mean_square_without_bias == pytest.approx(found)
    assert np.isnan(report.signals[1].mean_square_without_bias)


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
    report = signal_propagation(model, keras.ops.convert_to_tensor(batch(4, 8)))
    assert all(np.isfinite(s.gradient_norm) for s in report.signals)


def test_arguments_are_checked():
    model = dense_network(1)
    with pytest.raises(ValueError, match="`loss` needs `targets`"):
        signal_propagation(model, batch(2, 128), loss="mse")
    with pytest.raises(ValueError, match="`targets` need a `loss`"):
        signal_propagation(model, batch(2, 128), batch(2, 128))
    with pytest.raises(ValueError, match="`model` must be a Keras model"):
        signal_propagation(model.layers[0], batch(2, 128))
