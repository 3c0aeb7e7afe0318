import keras
import numpy as np
import pytest
from backends import to_numpy
from data_sets import Batches
from keras import layers
from scipy import optimize
from scipy.special import expit, softmax

from kerazoo.initializers import initialize_output_bias
from kerazoo.layers import MaxoutDense

RNG = np.random.default_rng(0)
X = RNG.normal(size=(400, 5)).astype("float32")
RARE = (RNG.uniform(size=(400, 1)) < 0.02).astype("float32")
LABELS = RNG.choice(3, size=400, p=[0.8, 0.15, 0.05])
ONE_HOT = np.eye(3, dtype="float32")[LABELS]
MONEY = RNG.gamma(2.0, 75.0, size=(400, 1)).astype("float32")


def network(units, activation=None, **arguments):
    head = layers.Dense(units, activation, name="head", **arguments)
    return keras.Sequential([keras.Input((5,)), layers.Dense(8, "relu"), head])


LOGITS = {"from_logits": True}
CASES = {
    "sigmoid": (1, "sigmoid", "binary_crossentropy", RARE),
    "logits": (1, None, keras.losses.BinaryCrossentropy(from_logits=True), RARE),
    "several labels": (3, "sigmoid", "binary_crossentropy", ONE_HOT),
    "softmax": (3, "softmax", "categorical_crossentropy", ONE_HOT),
    "class logits": (3, None, keras.losses.CategoricalCrossentropy(**LOGITS), ONE_HOT),
    "labels": (3, "softmax", "sparse_categorical_crossentropy", LABELS),
    "label logits": (3, None, keras.losses.SparseCategoricalCrossentropy(**LOGITS), LABELS),
    "label smoothing": (
        3,
        "softmax",
        keras.losses.CategoricalCrossentropy(label_smoothing=0.2),
        ONE_HOT,
    ),
    "mse": (1, None, "mse", MONEY),
    "mse through softplus": (1, "softplus", "mse", MONEY),
    "mse of a flat array": (1, None, "mse", MONEY[:, 0]),
    "mse through a sigmoid": (1, "sigmoid", "mse", RARE),
    "mse through tanh": (1, "tanh", "mse", RARE - 0.5),
    "mae": (1, None, "mae", MONEY),
    "poisson": (1, "exponential", "poisson", MONEY),
    "focal": (1, "sigmoid", "binary_focal_crossentropy", RARE),
    "balanced focal logits": (
        3,
        None,
        keras.losses.BinaryFocalCrossentropy(
            apply_class_balancing=True, alpha=0.7, gamma=0.5, from_logits=True
        ),
        ONE_HOT,
    ),
    "focal of classes": (
        3,
        "softmax",
        keras.losses.CategoricalFocalCrossentropy([0.2, 0.5, 0.3], label_smoothing=0.1),
        ONE_HOT,
    ),
    "focal class logits": (
        3,
        None,
        keras.losses.CategoricalFocalCrossentropy(gamma=4.0, from_logits=True),
        ONE_HOT,
    ),
    "poisson without activation": (1, None, "poisson", MONEY),
}


@pytest.mark.parametrize("case", CASES)
def test_no_other_constant_has_a_lower_loss(case):
    """Moving the bias either way raises the compiled loss."""
    units, activation, loss, y = CASES[case]
    model = network(units, activation)
    model.compile("sgd", loss, run_eagerly=True)
    initialize_output_bias(model, y, smoothing=0)
    head = model.get_layer("head")
    np.testing.assert_array_equal(head.kernel, np.zeros((8, units)))
    best, lowest = to_numpy(head.bias), model.evaluate(X, y, 400, verbose=0)
    for unit in range(units):
        for step in (0.05, -0.05):
            head.bias.assign(best + step * max(1, abs(best[unit])) * np.eye(units)[unit])
            assert model.evaluate(X, y, 400, verbose=0) > lowest


def test_first_loss_is_the_entropy_of_the_base_rate():
    model = network(1, "sigmoid")
    model.compile("sgd", "binary_crossentropy")
    initialize_output_bias(model, RARE)
    p = RARE.mean()
    entropy = -p * np.log(p) - (1 - p) * np.log(1 - p)
    assert model.evaluate(X, RARE, verbose=0) == pytest.approx(entropy, rel=0.02)


def test_report():
    model = network(3, "softmax")
    (row,) = initialize_output_bias(model, LABELS, "sparse_categorical_crossentropy", smoothing=0)
    rates = np.bincount(LABELS) / 400
    assert row[:3] == ("head", "sparse_categorical_crossentropy", "softmax")
    np.testing.assert_allclose(row.prediction, rates)
    np.testing.assert_allclose(softmax(row.bias), rates)
    assert row.kernel_zeroed


def test_kernel_is_kept_if_asked():
    model = network(1, "sigmoid")
    before = to_numpy(model.get_layer("head").kernel)
    (row,) = initialize_output_bias(model, RARE, "binary_crossentropy", zero_kernel=False)
    np.testing.assert_array_equal(model.get_layer("head").kernel, before)
    assert not row.kernel_zeroed


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0, 5.0])
@pytest.mark.parametrize("balanced", [False, True])
def test_focal_minimum_is_that_of_brute_force(gamma, balanced, focal_heads):
    """Minimise Keras's own losses over a constant; at gamma 0 it is the base rate."""
    binary, classes = focal_heads
    loss = keras.losses.BinaryFocalCrossentropy(apply_class_balancing=balanced, gamma=gamma)
    (row,) = initialize_output_bias(binary, RARE, loss, smoothing=0)

    def value(bias):
        return float(loss(RARE, np.full_like(RARE, expit(bias))))

    found = optimize.minimize_scalar(value, bounds=(-8, 4), method="bounded")
    assert value(row.bias[0]) <= found.fun * (1 + 1e-6)
    assert row.bias[0] == pytest.approx(found.x, abs=0.02)
    if gamma == 0 and not balanced:
        assert row.prediction[0] == pytest.approx(RARE.mean(), rel=1e-6)

    loss = keras.losses.CategoricalFocalCrossentropy([0.2, 0.5, 0.3], gamma=gamma)
    (row,) = initialize_output_bias(classes, ONE_HOT, loss, smoothing=0)
    assert sum(row.prediction) == pytest.approx(1)
    rates = ONE_HOT.mean(axis=0) * [0.2, 0.5, 0.3]

    def of_classes(bias):
        p = softmax(bias)
        return np.sum(rates * (1 - p) ** gamma * -np.log(p))

    found = optimize.minimize(of_classes, np.zeros(3), method="BFGS", options={"gtol": 1e-9})
    assert of_classes(row.bias) == pytest.approx(found.fun, rel=1e-8)
    at_bias = np.tile(softmax(row.bias), (400, 1))
    assert float(loss(ONE_HOT, at_bias)) == pytest.approx(found.fun, rel=1e-4)


@pytest.fixture(scope="module")
def focal_heads():
    return network(1, "sigmoid"), network(3, "softmax")


def test_focal_targets_between_0_and_1_are_refused():
    loss = keras.losses.BinaryFocalCrossentropy()
    with pytest.raises(ValueError, match="`y` must be 0 or 1"):
        initialize_output_bias(network(1, "sigmoid"), np.full((4, 1), 0.3), loss)
    loss = keras.losses.BinaryFocalCrossentropy(label_smoothing=0.1)
    with pytest.raises(ValueError, match="`label_smoothing` 0"):
        initialize_output_bias(network(1, "sigmoid"), RARE, loss)


def test_a_name_without_activation_means_logits():
    model = network(1)
    (row,) = initialize_output_bias(model, RARE, "binary_crossentropy", smoothing=0)
    assert expit(row.bias[0]) == pytest.approx(RARE.mean(), rel=1e-5)


def test_weights_shift_the_rate():
    weights = np.where(RARE[:, 0], 30.0, 1.0)
    model = network(1, "sigmoid")
    expected = np.average(RARE[:, 0], weights=weights)
    for given in ({"sample_weight": weights}, {"class_weight": {0: 1.0, 1: 30.0}}):
        (row,) = initialize_output_bias(model, RARE, "binary_crossentropy", True, 0, **given)
        assert row.prediction[0] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    "tail",
    [
        [layers.Dense(3, name="head"), layers.Softmax()],
        [layers.Dense(3, name="head"), layers.Activation("softmax")],
        [keras.Sequential([keras.Input((8,)), layers.Dense(3, "softmax", name="head")])],
        [layers.Dense(4), keras.Sequential([keras.Input((4,)), layers.Dense(3)]), layers.Softmax()],
    ],
)
def test_activations_apart_and_nested_models(tail):
    x = inputs = keras.Input((5,))
    for layer in [layers.Dense(8), *tail]:
        x = layer(x)
    model = keras.Model(inputs, x)
    initialize_output_bias(model, ONE_HOT, "categorical_crossentropy", smoothing=0)
    np.testing.assert_allclose(to_numpy(model(X[:1]))[0], ONE_HOT.mean(axis=0), rtol=1e-5)


def test_pixels_and_steps():
    y = (RNG.uniform(size=(20, 6, 6, 1)) < 0.1).astype("float32")
    image = keras.Sequential([keras.Input((6, 6, 2)), layers.Conv2D(1, 3, padding="same")])
    (row,) = initialize_output_bias(image, y, "binary_crossentropy", smoothing=0)
    assert row.prediction[0] == pytest.approx(y.mean(), rel=1e-6)
    steps = keras.Sequential([keras.Input((9, 2)), layers.TimeDistributed(layers.Dense(3))])
    labels = RNG.integers(3, size=(20, 9))
    kind = "sparse_categorical_crossentropy"
    (row,) = initialize_output_bias(steps, labels, kind, smoothing=0)
    np.testing.assert_allclose(row.prediction, np.bincount(labels.ravel()) / 180)


def two_outputs():
    inputs = keras.Input((5,))
    return keras.Model(
        inputs,
        [layers.Dense(1, "sigmoid", name="fraud")(inputs), layers.Dense(1, name="amount")(inputs)],
    )


@pytest.mark.parametrize(
    ("y", "loss"),
    [
        ([RARE, MONEY], ["binary_crossentropy", "mse"]),
        ({"amount": MONEY, "fraud": RARE}, {"amount": "mse", "fraud": "binary_crossentropy"}),
    ],
)
def test_several_outputs(y, loss):
    model = two_outputs()
    model.compile("sgd", loss)
    fraud, amount = initialize_output_bias(model, y)
    assert (fraud.layer, amount.layer) == ("fraud", "amount")
    assert amount.bias[0] == pytest.approx(MONEY.mean(), rel=1e-5)


def test_pairing_is_that_of_compile_and_fit():
    """Every structure that Keras takes gives each output its own mean."""
    inputs = keras.Input((5,))
    z, a = layers.Dense(1, name="z")(inputs), layers.Dense(2, name="a")(inputs)
    y_z, y_a = MONEY[:, 0], ONE_HOT[:, :2]
    by_name = {"a": y_a, "z": y_z}
    for outputs, y, loss in (
        ([z, a], [y_z, y_a], "mse"),
        ([z, a], by_name, "mse"),
        ([z, a], by_name, ["mse", "mse"]),
        ([z, a], (y_z, y_a), {"a": "mse", "z": "mse"}),
        ({"z": z, "a": a}, by_name, {"a": "mse", "z": "mse"}),
        ({"b": z, "a": a}, {"b": y_z, "a": y_a}, "mse"),
        ({"in": {"z": z}, "out": [a]}, {"in": {"z": y_z}, "out": [y_a]}, "mse"),
        (z, y_z, {"z": "mse"}),
        ([z], [y_z], ["mse"]),
        (z, MONEY[:, 0].tolist(), "mse"),
    ):
        model = keras.Model(inputs, outputs)
        for compiled in (False, True):
            if compiled:
                model.compile(loss=loss)
            rows = initialize_output_bias(model, y, None if compiled else loss)
            found = {row.layer: row.prediction for row in rows}
            np.testing.assert_allclose(found["z"], y_z.mean(), rtol=1e-5)
            if len(model.outputs) > 1:
                np.testing.assert_allclose(found["a"], y_a.mean(axis=0), rtol=1e-5)


@pytest.mark.parametrize(
    ("y", "loss", "message"),
    [
        ([RARE], "mse", "must match the model's outputs"),
        ([RARE, MONEY], ["mse"], "must match the model's outputs"),
        ({"fraud": RARE, "amounts": MONEY}, "mse", "`y` must name outputs"),
        ([RARE, MONEY], {"amounts": "mse"}, "`loss` must name outputs"),
    ],
)
def test_what_does_not_match_the_outputs_is_refused(y, loss, message):
    with pytest.raises(ValueError, match=message):
        initialize_output_bias(two_outputs(), y, loss)


class Endless(Batches):
    num_batches = None


def test_targets_and_weights_of_a_data_set():
    """All batches are read."""
    weights = RNG.uniform(size=400).astype("float32")
    expected = np.average(MONEY[:, 0], weights=weights)
    data = [Batches(X, MONEY, weights, count=4, size=100)]
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        examples = tf.data.Dataset.from_tensor_slices((X, MONEY[:, 0], weights))
        data += [examples, examples.batch(90)]
        with pytest.raises(ValueError, match="`y` must be finite"):
            initialize_output_bias(network(1), examples.repeat(), "mse")
    if keras.backend.backend() == "torch":
        import torch

        tensors = [torch.as_tensor(array) for array in (X, MONEY, weights)]
        examples = torch.utils.data.TensorDataset(*tensors)
        data += [torch.utils.data.DataLoader(examples, batch_size=90)]
    for y in data:
        (row,) = initialize_output_bias(network(1), y, "mse")
        assert row.bias[0] == pytest.approx(expected, rel=1e-5)
    by_output = Batches(X, {"amount": MONEY, "fraud": RARE}, count=4, size=100)
    _, amount = initialize_output_bias(two_outputs(), by_output, "mse", smoothing=0)
    assert amount.bias[0] == pytest.approx(MONEY.mean(), rel=1e-5)
    with pytest.raises(ValueError, match="`sample_weight` must be None"):
        initialize_output_bias(network(1), by_output, "mse", sample_weight=weights)
    with pytest.raises(ValueError, match=r"`y` must give `\(inputs, targets\)`"):
        initialize_output_bias(network(1), Batches(X, count=4, size=100), "mse")
    with pytest.raises(ValueError, match="`y` must be finite"):
        initialize_output_bias(network(1), Endless(X, MONEY, count=4, size=100), "mse")
    with pytest.raises(ValueError, match="`y` must not be a generator"):
        initialize_output_bias(network(1), iter([MONEY]), "mse")


def test_a_kernel_that_another_layer_has_is_not_zeroed():
    class Tied(layers.Layer):
        def __init__(self, source):
            super().__init__()
            self.source = source

        def build(self, _):
            self.kernel = self.source.kernel

        def call(self, x):
            return x @ self.kernel

    inputs = keras.Input((5,))
    head = layers.Dense(5, name="head")
    outputs = head(inputs)
    model = keras.Model(inputs, [outputs, Tied(head)(inputs)])
    before = model.get_weights()
    y = {"head": RNG.normal(size=(9, 5))}
    with pytest.raises(ValueError, match="Pass `zero_kernel=False`"):
        initialize_output_bias(model, y, {"head": "mse"})
    np.testing.assert_equal(model.get_weights(), before)
    initialize_output_bias(model, y, {"head": "mse"}, zero_kernel=False)
    np.testing.assert_array_equal(model.get_weights()[0], before[0])


def test_only_the_last_bias_and_kernel_change():
    model = network(1)
    model.compile("adam", "mse")
    head = model.get_layer("head")
    others = [
        v
        for v in [*model.variables, *model.optimizer.variables, *model.metrics_variables]
        if v is not head.kernel and v is not head.bias
    ]
    before, metrics = [to_numpy(v) for v in others], len(model.metrics)
    initialize_output_bias(model, MONEY)
    np.testing.assert_equal([to_numpy(v) for v in others], before)
    assert len(model.metrics) == metrics


def test_an_output_without_loss_stays():
    model = two_outputs()
    before = model.get_layer("fraud").get_weights()
    (row,) = initialize_output_bias(model, {"amount": MONEY}, {"amount": "mse"})
    assert row.layer == "amount"
    np.testing.assert_equal(model.get_layer("fraud").get_weights(), before)


def subclassed():
    class Net(keras.Model):
        pass

    return Net()


def shared_head():
    inputs = [keras.Input((5,)), keras.Input((5,))]
    head = layers.Dense(1)
    return keras.Model(inputs, layers.Add()([head(x) for x in inputs]))


@pytest.mark.parametrize(
    ("make", "arguments", "message"),
    [
        (subclassed, {"loss": "mse"}, "functional or sequential model that is built"),
        (lambda: network(1), {}, "`loss` is needed"),
        (lambda: network(1), {"loss": "hinge"}, "`loss` must be one"),
        (lambda: network(1), {"loss": "mse", "zero_kernel": 1}, "`zero_kernel` must be"),
        (lambda: network(1), {"loss": "mse", "smoothing": np.nan}, "`smoothing` must be"),
        (lambda: network(1, use_bias=False), {"loss": "mse"}, "a kernel and a bias"),
        (lambda: network(1, "gelu"), {"loss": "mse"}, "at most one activation"),
        (lambda: network(1, "sigmoid"), {"loss": "mse"}, "cannot give the best"),
        (lambda: network(2), {"loss": "mse"}, "`y` must have 2 values"),
        (lambda: network(1, "softmax"), {"loss": "binary_crossentropy"}, "not to a softmax"),
        (
            lambda: network(1),
            {"loss": keras.losses.BinaryCrossentropy()},
            "reads the outputs as probabilities",
        ),
        (
            lambda: network(1, "sigmoid"),
            {"loss": keras.losses.BinaryCrossentropy(from_logits=True)},
            "reads the outputs as logits",
        ),
        (shared_head, {"loss": "mse"}, "a kernel and a bias"),
        (two_outputs, {"loss": "mse"}, "`y` must be a list or dict"),
        (
            lambda: keras.Sequential([keras.Input((5,)), MaxoutDense(1, 2)]),
            {"loss": "mse"},
            "at most one activation",
        ),
    ],
)
def test_what_cannot_be_set_is_refused_and_kept(make, arguments, message):
    model = make()
    before = model.get_weights()
    y = RARE if "binary" in str(arguments).lower() else MONEY
    with pytest.raises(ValueError, match=message):
        initialize_output_bias(model, y, **arguments)
    np.testing.assert_equal(model.get_weights(), before)


def test_a_later_output_that_fails_leaves_the_first():
    model = two_outputs()
    before = model.get_weights()
    with pytest.raises(ValueError, match="must be finite"):
        initialize_output_bias(model, [RARE, MONEY * np.nan], ["binary_crossentropy", "mse"])
    np.testing.assert_equal(model.get_weights(), before)


@pytest.mark.parametrize("single", [False, True])
def test_outputs_in_a_dict_go_by_its_keys(single):
    inputs = keras.Input((3,))
    outputs = {"zeta": layers.Dense(2, name="first")(inputs)}
    y = {"zeta": np.array([[1.0, 5.0], [3.0, 5.0]])}
    if not single:
        outputs["alpha"] = layers.Dense(1, name="last")(inputs)
        y["alpha"] = np.array([7.0, 9.0])
    model = keras.Model(inputs, outputs)
    model.compile("adam", dict.fromkeys(outputs, "mse"))
    initialize_output_bias(model, y)
    found = {k: to_numpy(v) for k, v in model(np.ones((1, 3))).items()}
    np.testing.assert_allclose(found["zeta"], [[2, 5]])
    if not single:
        np.testing.assert_allclose(found["alpha"], [[8]])


def test_a_head_of_two_uses_is_refused():
    head = layers.Dense(1)
    inputs = [keras.Input((3,)), keras.Input((3,))]
    model = keras.Model(inputs, [head(x) for x in inputs])
    with pytest.raises(ValueError, match="used once"):
        initialize_output_bias(model, [np.ones(2), np.zeros(2)], loss="mse")


def test_one_hot_rows_are_no_labels():
    model = keras.Sequential([keras.Input((3,)), layers.Dense(3, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    initialize_output_bias(model, np.array([[0], [2]]))
    before = to_numpy(model.layers[-1].bias)
    with pytest.raises(ValueError, match="one-hot"):
        initialize_output_bias(model, np.eye(3))
    np.testing.assert_array_equal(model.layers[-1].bias, before)


def channels_first(*layers_after, units=6):
    """A convolution does not run in this format on every backend; its bias is set on all."""
    head = layers.Conv2D(units, 1, data_format="channels_first")
    return keras.Sequential([keras.Input((4, 6, 6)), head, *layers_after])


def test_channels_first():
    y = np.broadcast_to(np.arange(6.0)[:, None, None], (8, 6, 6, 6))
    model = channels_first()
    model.compile("sgd", "mse")
    (row,) = initialize_output_bias(model, y, sample_weight=np.arange(8))
    np.testing.assert_array_equal(row.bias, np.arange(6))
    if keras.backend.backend() != "tensorflow":
        assert model.evaluate(np.ones((8, 4, 6, 6)), y, verbose=0) == 0
    classes = np.moveaxis(np.eye(3)[RNG.choice(3, (8, 6, 6), p=[0.6, 0.3, 0.1])], -1, 1)
    loss = keras.losses.CategoricalCrossentropy(axis=1)
    (row,) = initialize_output_bias(channels_first(layers.Softmax(1), units=3), classes, loss)
    np.testing.assert_allclose(row.prediction, (classes.sum((0, 2, 3)) + 1) / (8 * 36 + 3))


@pytest.mark.parametrize(
    ("model", "y", "loss", "arguments", "message"),
    [
        (lambda: channels_first(), np.ones((8, 5, 6, 6)), "mse", {}, "`y` must be of shape"),
        (
            lambda: channels_first(),
            np.ones((8, 6, 6, 6)),
            "mse",
            {"sample_weight": np.ones((8, 6, 6))},
            "one value for each example",
        ),
        (
            lambda: channels_first(layers.Softmax()),
            np.ones((8, 6, 6, 6)),
            "mse",
            {},
            "softmax must be over the units",
        ),
        (
            lambda: channels_first(layers.Softmax(1)),
            np.ones((8, 6, 6, 6)),
            "categorical_crossentropy",
            {},
            "classes on the axis of the units",
        ),
    ],
)
def test_channels_first_has_limits(model, y, loss, arguments, message):
    with pytest.raises(ValueError, match=message):
        initialize_output_bias(model(), y, loss, **arguments)


@pytest.mark.parametrize("max_value", [None, 0.0, 1.0])
def test_only_plain_activations_of_keras_are_inverted(max_value):
    def relu(x):
        return 2 * x

    tails = [layers.ReLU(max_value, slope, at) for slope, at in ((0.1, 0), (0, 2.0))]
    tails += [layers.ReLU(max_value)] if max_value is not None else []
    for tail in [*tails, layers.Activation(relu)]:
        model = keras.Sequential([keras.Input((5,)), layers.Dense(1), tail])
        with pytest.raises(ValueError, match="at most one activation"):
            initialize_output_bias(model, np.full((9, 1), 3.0), "mse")
    model = keras.Sequential([keras.Input((5, 2)), layers.Dense(3), layers.Softmax(axis=1)])
    with pytest.raises(ValueError, match=r"softmax over axis 1, units of .* on axis 2"):
        initialize_output_bias(model, np.ones((9, 5, 3)), "categorical_crossentropy")


@pytest.mark.parametrize(("ignored", "smoothing"), [(-1, 0), (0, 1e-6)])
def test_ignored_labels_count_for_nothing(ignored, smoothing):
    y = np.where(RNG.uniform(size=400) < 0.3, ignored, LABELS)
    loss = keras.losses.SparseCategoricalCrossentropy(ignore_class=ignored)
    model = network(3, "softmax")
    model.compile("sgd", loss, run_eagerly=True)
    weights = RNG.uniform(0.5, 2, size=400)
    (row,) = initialize_output_bias(model, y, smoothing=smoothing, sample_weight=weights)
    expected = np.bincount(y[y != ignored], weights[y != ignored], minlength=3)
    np.testing.assert_allclose(row.prediction, expected / expected.sum(), atol=1e-7)
    bias, best = model.get_layer("head").bias, to_numpy(row.bias)
    lowest = model.evaluate(X, y, 400, sample_weight=weights, verbose=0)
    for step in np.vstack([0.05 * np.eye(3), -0.05 * np.eye(3)]):
        bias.assign(best + step)
        found = model.evaluate(X, y, 400, sample_weight=weights, verbose=0)
        assert found > lowest - 1e-6


def test_all_labels_ignored():
    loss = keras.losses.SparseCategoricalCrossentropy(ignore_class=1)
    with pytest.raises(ValueError, match="other than `ignore_class`"):
        initialize_output_bias(network(3, "softmax"), np.ones(9), loss)


def embedded():
    inputs = keras.Input((5,))
    return inputs, layers.Embedding(7, 4, mask_zero=True)(inputs)


def masked_directly():
    inputs, x = embedded()
    return keras.Model(inputs, layers.Dense(1)(x))


def masked_before_a_nested_head():
    inputs, x = embedded()
    head = keras.Sequential([keras.Input((5, 4)), layers.Dense(1)])
    return keras.Model(inputs, head(x))


def masked_inside_a_nested_model():
    inputs = keras.Input((5,))
    return keras.Model(inputs, layers.Dense(1)(keras.Model(*embedded())(inputs)))


def masked_by_numbers():
    return keras.Sequential([keras.Input((5, 2)), layers.Masking(), layers.Dense(1)])


@pytest.mark.filterwarnings("ignore:Layer .* was passed an input with a mask")
@pytest.mark.parametrize(
    "make",
    [
        masked_directly,
        masked_before_a_nested_head,
        masked_inside_a_nested_model,
        masked_by_numbers,
    ],
)
def test_masked_outputs_are_refused(make):
    with pytest.raises(ValueError, match="No output may be masked"):
        initialize_output_bias(make(), np.ones((9, 5, 1)), "mse")


def test_a_mask_that_is_used_up_is_none():
    inputs, x = embedded()
    for pooled in (layers.GlobalAveragePooling1D()(x), layers.SimpleRNN(3)(x)):
        model = keras.Model(inputs, layers.Dense(1)(pooled))
        model.compile("sgd", "mse", run_eagerly=True)
        initialize_output_bias(model, np.full((9, 1), 3.0))
        assert model.evaluate(np.eye(5)[[0, 1, 2] * 3], np.full((9, 1), 3.0), verbose=0) == 0


def test_one_bias_has_one_constant():
    inputs = keras.Input((5,))
    z = layers.Dense(1)(inputs)
    model = keras.Model(inputs, {"a": z, "b": layers.Activation("linear")(z)})
    before = model.get_weights()
    y = np.full((9, 1), 3.0)
    with pytest.raises(ValueError, match="reaches several outputs"):
        initialize_output_bias(model, {"a": y, "b": y + 2}, "mse")
    np.testing.assert_equal(model.get_weights(), before)
    initialize_output_bias(model, {"a": y, "b": y}, "mse")
    assert all((to_numpy(v) == 3).all() for v in model(X[:9]).values())


@pytest.mark.parametrize("shape", [(), (200,), (2, 400), (5, 400), (400, 6), (1,)])
def test_sample_weights_are_those_of_examples_or_positions(shape):
    steps = keras.Sequential([keras.Input((5, 2)), layers.Dense(1)])
    y = RNG.normal(size=(400, 5, 1))
    with pytest.raises(ValueError, match="`sample_weight` must have one value"):
        initialize_output_bias(steps, y, "mse", sample_weight=np.ones(shape))
    weights = RNG.uniform(size=(400, 5))
    for given in (weights, weights[..., None]):
        (row,) = initialize_output_bias(steps, y, "mse", sample_weight=given)
        assert row.bias[0] == pytest.approx(np.average(y[..., 0], weights=weights))


def mean_squared_error(y_true, y_pred):
    return keras.ops.abs(y_true - y_pred)


class MeanSquaredError(keras.losses.Loss):
    def call(self, y_true, y_pred):
        return mean_squared_error(y_true, y_pred)


@pytest.mark.parametrize("loss", [mean_squared_error, MeanSquaredError()])
def test_a_loss_that_only_has_the_name_is_refused(loss):
    with pytest.raises(ValueError, match="`loss` must be one whose best constant"):
        initialize_output_bias(network(1), MONEY, loss)


class Doubled(layers.Dense):
    def call(self, inputs):
        return 2 * super().call(inputs)


class Named(layers.Dense):
    pass


def test_a_head_of_ones_own_must_give_its_bias():
    x = keras.Input((5,))
    for outputs in (
        Doubled(1)(x),
        layers.TimeDistributed(Doubled(1))(layers.Reshape((5, 1))(x)),
    ):
        y = np.full((9, *outputs.shape[1:]), 3.0)
        with pytest.raises(ValueError, match="must end in a layer that gives"):
            initialize_output_bias(keras.Model(x, outputs), y, "mse")
    model = keras.Sequential([x, Named(1, "sigmoid")])
    initialize_output_bias(model, RARE, "binary_crossentropy", smoothing=0)
    np.testing.assert_allclose(to_numpy(model(X[:9])), RARE.mean(), rtol=1e-5)


@pytest.mark.parametrize("shape", [(9,), (9, 1), (9, 4), (9, 4, 1), (9, 5, 1, 1)])
def test_targets_of_another_shape_are_refused(shape):
    model = keras.Sequential([keras.Input((5, 2)), layers.Dense(1)])
    with pytest.raises(ValueError, match="`y` must be of the shape of the outputs"):
        initialize_output_bias(model, np.ones(shape), "mse")
