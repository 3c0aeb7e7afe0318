import backends
import checks
import keras
import numpy as np
import pytest
from keras import ops

from kerazoo.losses import A2CActorLoss, PackedTargetsLoss, SoftFBeta, UnpackedMetric

SIZES = {"side": 2, "action": 3, "advantage": 1}  # not in alphabetic order
RNG = np.random.default_rng(0)
OLDEST_KERAS = keras.__version__.startswith("3.10.")
numpy = backends.to_numpy


@keras.saving.register_keras_serializable(package="tests")
def policy_gradient(y_pred, side, action, advantage):
    crossentropy = -ops.sum(action * ops.log_softmax(y_pred), axis=-1)
    return crossentropy * advantage[..., 0] + ops.sum(side, axis=-1)


def numpy_policy_gradient(y_pred, side, action, advantage):
    y_pred = np.asarray(y_pred, "float64")
    log_p = y_pred - np.log(np.exp(y_pred).sum(-1, keepdims=True))
    return -(action * log_p).sum(-1) * advantage[..., 0] + side.sum(-1)


def parts(*rows):
    action = np.eye(3)[RNG.integers(3, size=rows)]
    return {
        "action": action,
        "side": RNG.normal(size=(*rows, 2)),
        "advantage": RNG.normal(size=(*rows, 1)),
    }


@pytest.mark.parametrize("rows", [(5,), (1,), (5, 4), (4, 4), (2, 3, 4)])
def test_equals_numpy(rows):
    given, y_pred = parts(*rows), RNG.normal(size=(*rows, 3)).astype("float32")
    loss = PackedTargetsLoss(policy_gradient, SIZES, reduction=None)
    y_true = loss.pack(**given)
    assert y_true.shape == (*rows, 6)
    assert y_true.dtype == "float32"
    found, expected = numpy(loss(y_true, y_pred)), numpy_policy_gradient(y_pred, **given)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    for name, part in loss.unpack(y_true).items():
        np.testing.assert_array_equal(part, given[name].astype("float32"))
    unpacked = loss.unpack(ops.convert_to_tensor(y_true))
    np.testing.assert_array_equal(numpy(unpacked["action"]), given["action"])


@pytest.mark.parametrize(
    "inner",
    [
        "mse",
        keras.losses.mean_squared_error,
        keras.losses.MeanSquaredError(reduction=None),
        keras.losses.MeanSquaredError(reduction="none"),
    ],
)
def test_keras_loss_of_one_part(inner):
    loss = PackedTargetsLoss(inner, {"price": 2}, target="price")
    y, y_pred = RNG.normal(size=(4, 2)), RNG.normal(size=(4, 2))
    found = float(loss(loss.pack(price=y), y_pred))
    np.testing.assert_allclose(found, np.mean((y - y_pred) ** 2), 1e-5)


@keras.saving.register_keras_serializable(package="tests")
class PinballOfLevel(keras.losses.Loss):
    """A Keras loss that takes one part as y_true and the other as a further argument."""

    def call(self, y_true, y_pred, level):
        difference = y_true - y_pred
        return ops.mean(ops.maximum(level * difference, (level - 1) * difference), axis=-1)


def test_keras_loss_with_the_other_parts_as_arguments():
    sizes = {"level": 1, "price": 1}
    loss = PackedTargetsLoss(PinballOfLevel(reduction=None), sizes, target="price")
    level, price, y_pred = RNG.uniform(size=(3, 6, 1))
    expected = np.where(price > y_pred, level * (price - y_pred), (1 - level) * (y_pred - price))
    found = float(loss(loss.pack(level=level, price=price), y_pred))
    np.testing.assert_allclose(found, expected.mean(), rtol=1e-5)
    with pytest.raises(ValueError, match=r"`loss` must take `\(y_true, y_pred, other\)`"):
        PackedTargetsLoss(PinballOfLevel(reduction=None), {"price": 1, "other": 1}, "price")


def test_sparse_classes_beside_a_weight():
    @keras.saving.register_keras_serializable(package="tests")
    def weighted(y_true, y_pred, weight):
        return keras.losses.sparse_categorical_crossentropy(y_true, y_pred) * weight[..., 0]

    loss = PackedTargetsLoss(weighted, {"weight": 1, "label": 1}, target="label")
    p = RNG.dirichlet(np.ones(4), size=6)
    label, weight = RNG.integers(4, size=6), RNG.uniform(size=6)
    expected = np.mean(-np.log(p[np.arange(6), label]) * weight)
    found = float(loss(loss.pack(label=label, weight=weight), p))
    np.testing.assert_allclose(found, expected, 1e-5)


# The silent traps: without the guard each of these gives a number, and a wrong one.


@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "sum", "mean_with_sample_weight"])
def test_inner_loss_that_reduces_is_refused(reduction):
    with pytest.raises(ValueError, match=r"`loss` must not reduce.*`reduction=None`"):
        PackedTargetsLoss(keras.losses.MeanSquaredError(reduction), {"price": 1}, target="price")


def scalar(y_pred, side, action, advantage):
    return ops.mean(policy_gradient(y_pred, side, action, advantage))


def batch_by_batch(y_pred, side, action, advantage):
    return keras.losses.categorical_crossentropy(action, y_pred, from_logits=True) * advantage


def kept_axis(y_pred, side, action, advantage):
    return ops.mean(y_pred, axis=-1, keepdims=True) * advantage


@pytest.mark.parametrize("rows", [(1,), (4,), (4, 4)])
@pytest.mark.parametrize("inner", [scalar, batch_by_batch, kept_axis])
def test_values_that_are_not_one_a_row_are_refused(inner, rows):
    loss = PackedTargetsLoss(inner, SIZES)
    y_true, y_pred = loss.pack(**parts(*rows)), np.ones((*rows, 3), "float32")
    with pytest.raises(ValueError, match="`loss` must return one value for each row"):
        loss(y_true, y_pred)
    unknown = [(*[None] * len(rows), width) for width in (6, 3)]
    for compiled in backends.compilations(loss, *unknown).values():
        with pytest.raises(ValueError, match="`loss` must return one value for each row"):
            compiled(ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred))


def test_integers_that_a_float_cannot_hold_are_refused():
    loss = PackedTargetsLoss("mse", {"id": 1}, target="id")
    exact = 2**24
    assert loss.pack(id=[exact, -exact]).ravel().tolist() == [exact, -exact]
    for large in ([exact + 1], [-exact - 1], np.array([2**63], "uint64"), [-(2**63)]):
        with pytest.raises(ValueError, match=r"Split large ids over two columns.*Received"):
            loss.pack(id=large)
    half = PackedTargetsLoss("mse", {"id": 1}, target="id", dtype="float16")
    with pytest.raises(ValueError, match="exact up to 2048"):
        half.pack(id=[2049])


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e39])
def test_values_that_are_not_finite_are_refused(value):
    loss = PackedTargetsLoss("mse", {"price": 1}, target="price")
    with pytest.raises(ValueError, match=r"`price` must be finite in float32.*1 of 2"):
        loss.pack(price=[1.0, value])


def test_values_that_the_dtype_of_the_loss_does_not_hold_are_refused():
    loss = PackedTargetsLoss("mse", {"price": 1}, target="price", dtype="float16")
    assert loss.pack(price=[65504.0]).dtype == "float32"
    with pytest.raises(ValueError, match=r"`price` must be finite in float16.*1 of 1"):
        loss.pack(price=[65600.0])


BOUNDS = {"lower": 1, "upper": 1}


@keras.saving.register_keras_serializable(package="tests")
def interval_censored(y_pred, lower, upper):
    """-log P(lower < y < upper) of normals with a predicted scale."""
    mean, scale = y_pred[..., :1], ops.softplus(y_pred[..., 1:])

    def below(bound):
        return 0.5 * (1 + ops.erf((ops.clip(bound, -1e6, 1e6) - mean) / (scale * 2**0.5)))

    return -ops.log(below(upper) - below(lower) + 1e-7)[..., 0]


def test_infinities_where_they_are_meant():
    """Bounds of observations some of which are open: the values of SciPy's normal, and training."""
    from scipy.stats import norm

    loss = PackedTargetsLoss(interval_censored, BOUNDS, infinite=["lower", "upper"])
    loss = PackedTargetsLoss.from_config(loss.get_config())
    lower, upper = np.float32([0, 2, -np.inf, -1]), np.float32([1, np.inf, 3, -0.5])
    y_true = loss.pack(lower=lower, upper=upper)
    np.testing.assert_array_equal(y_true, np.stack([lower, upper], axis=-1))
    y_pred = RNG.normal(size=(4, 2)).astype("float32")
    mean, scale = y_pred[:, 0], np.log1p(np.exp(y_pred[:, 1]))
    expected = -np.log(norm.cdf(upper, mean, scale) - norm.cdf(lower, mean, scale) + 1e-7)
    np.testing.assert_allclose(float(loss(y_true, y_pred)), expected.mean(), rtol=1e-4)
    model = network(outputs=2)
    model.compile("sgd", loss)
    model.fit(RNG.normal(size=(4, 2)), y_true, epochs=2, verbose=0)
    assert all(np.isfinite(weight).all() for weight in model.get_weights())


def test_infinities_elsewhere():
    loss = PackedTargetsLoss(interval_censored, BOUNDS, infinite=("upper",))
    assert loss.pack(lower=[0], upper=[np.inf]).tolist() == [[0, np.inf]]
    with pytest.raises(ValueError, match=r"`lower` must be finite.*infinite=\[...\].*1 of 1"):
        loss.pack(lower=[-np.inf], upper=[1.0])
    for value in (np.nan, 1e39):  # 1e39 would become infinite, and is not.
        with pytest.raises(ValueError, match=r"`upper` must be finite.*1 of 1"):
            loss.pack(lower=[0.0], upper=[value])
    for wrong in ("upper", ["uper"], None, [1], True):
        with pytest.raises(ValueError, match=r"`infinite` must be a list of some.*Received: inf"):
            PackedTargetsLoss(interval_censored, BOUNDS, infinite=wrong)


def test_predictions_keep_their_last_axis():
    """A plain function as a loss gets (batch, time, 1) squeezed; the parts would not fit."""
    seen = []

    def inner(y_pred, price):
        seen.append(y_pred.shape)
        return ops.sum((y_pred - price) ** 2, axis=-1)

    loss = PackedTargetsLoss(inner, {"price": 1})
    model = keras.Sequential([keras.Input((4, 2)), keras.layers.Dense(1)])
    model.compile("sgd", loss)
    model.train_on_batch(np.ones((3, 4, 2)), loss.pack(price=np.ones((3, 4))))
    assert {len(shape) for shape in seen} == {3}


@pytest.mark.parametrize(("true", "pred"), [((4,), (4, 4)), ((4, 4), (4,)), ((4,), (5,))])
def test_rows_of_targets_must_be_rows_of_predictions(true, pred):
    loss = PackedTargetsLoss("mse", {"price": 1}, target="price")
    with pytest.raises(ValueError, match="must have the same axes before the last"):
        loss(np.ones((*true, 1)), np.ones((*pred, 1)))


def test_packed_width():
    loss = PackedTargetsLoss(policy_gradient, SIZES)
    for wrong in ((4, 5), (4, 7), (6,)):
        with pytest.raises(ValueError, match=r"shape \(batch, ..., 6\).*Received"):
            loss(np.ones(wrong), np.ones((4, 3)))
        with pytest.raises(ValueError, match=r"shape \(batch, ..., 6\).*Received"):
            loss.unpack(np.ones(wrong))
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    model.compile("sgd", loss)
    with pytest.raises(ValueError, match=r"shape \(batch, ..., 6\)"):
        model.fit(np.ones((4, 2)), np.ones((4, 5)), verbose=0)


@backends.needs_tensorflow("other backends know every shape")
def test_packed_width_that_only_the_data_tell():
    loss = PackedTargetsLoss(policy_gradient, SIZES)
    compiled = backends.compilations(loss, (None, None), (None, None))["graph"]
    given, y_pred = parts(4), np.ones((4, 3), "float32")
    expected = numpy_policy_gradient(y_pred, **given).mean()
    np.testing.assert_allclose(compiled(loss.pack(**given), y_pred), expected, 1e-5)
    message = "the_columns_of_y_true_must_be_those_of_sizes"
    with pytest.raises(Exception, match=message):
        compiled(np.ones((4, 7), "float32"), y_pred)


@backends.needs_tensorflow("other backends know every shape")
@pytest.mark.parametrize(
    "make",
    [
        lambda: (PackedTargetsLoss("mse", {"y": 3}, target="y"), []),
        lambda: (PackedTargetsLoss("mse", {"y": 3}, target="y"), ["mse"]),
        lambda: (SoftFBeta(average="macro"), []),
        lambda: (A2CActorLoss("gaussian"), []),
    ],
)
def test_other_targets_for_a_model_that_was_fitted(make):
    """`fit` compiles anew for shapes of which TensorFlow then tells nothing, not even the rank."""
    loss, metrics = make()
    model = network(outputs=3 if not isinstance(loss, A2CActorLoss) else 4)
    metrics = [UnpackedMetric(name, {"y": 3}, "y") for name in metrics]
    model.compile("sgd", loss, metrics=metrics)
    x, y = np.ones((4, 2)), np.ones((4, 3))
    model.fit(x, y, verbose=0)
    for wrong in (np.ones(4), np.ones((4, 2, 3))):
        with pytest.raises(ValueError, match=r"must have the s.*y_true.shape=unknown \(the model"):
            model.fit(x, wrong, verbose=0)
    with pytest.raises(Exception, match=r"_of_y_(true|pred)|columns of the action"):
        model.fit(x, y[:, :1], verbose=0)  # MSE and F-beta would be broadcast.
    model.fit(x, y, verbose=0)


def test_names_in_the_logs_do_not_depend_on_earlier_losses():
    for loss in (PackedTargetsLoss, SoftFBeta, A2CActorLoss):
        arguments = ("mse", {"y": 3}, "y") if loss is PackedTargetsLoss else ()
        name = {PackedTargetsLoss: "packed_targets_loss", SoftFBeta: "soft_f_beta"}
        for _ in range(2):
            assert loss(*arguments).name == name.get(loss, "a2c_actor_loss")
        assert loss(*arguments, name="mine").name == "mine"


# pack


def test_pack_takes_parts_of_one_column_without_their_axis():
    loss = PackedTargetsLoss(lambda y_pred, a, b: None, {"a": 2, "b": 1})
    for rows in ((3,), (1,), (3, 4), (3, 1), (0,)):
        a, b = RNG.normal(size=(*rows, 2)), RNG.normal(size=rows)
        expected = np.concatenate([a, b[..., None]], -1).astype("float32")
        np.testing.assert_array_equal(loss.pack(a=a, b=b), expected)
        np.testing.assert_array_equal(
            loss.pack(b=b[..., None], a=ops.convert_to_tensor(a)), expected
        )
    ones = PackedTargetsLoss(lambda y_pred, a, b: None, {"a": 1, "b": 1})
    assert ones.pack(a=[[1], [2]], b=[3, 4]).tolist() == [[1, 3], [2, 4]]
    assert ones.pack(a=[[1], [2]], b=[[3], [4]]).tolist() == [[1, 3], [2, 4]]
    assert ones.pack(a=[True, False], b=np.float64([3, 4])).tolist() == [[1, 3], [0, 4]]


@pytest.mark.parametrize(
    ("a", "b"),
    [((3, 2), (4,)), ((3, 2), (3, 2)), ((3, 3), (3,)), ((2,), (2,)), ((3, 4, 2), (3,))],
)
def test_pack_checks_lengths_and_ranks(a, b):
    loss = PackedTargetsLoss(lambda y_pred, a, b: None, {"a": 2, "b": 1})
    with pytest.raises(ValueError, match=r"The parts must have the shape.*Received.*shapes="):
        loss.pack(a=np.ones(a), b=np.ones(b))


def test_pack_checks_names_and_types():
    loss = PackedTargetsLoss("mse", {"price": 1}, target="price")
    with pytest.raises(ValueError, match=r"Each part must be given once: \['price'\]. Received"):
        loss.pack(price=[1], weight=[1])
    with pytest.raises(ValueError, match="Each part must be given once"):
        loss.pack()
    for wrong in (["a"], [1j], [None]):
        with pytest.raises(TypeError, match="`price` must hold real numbers"):
            loss.pack(price=wrong)


def test_pack_changes_nothing_of_the_callers():
    given = parts(3)
    copies = {name: part.copy() for name, part in given.items()}
    PackedTargetsLoss(policy_gradient, SIZES).pack(**given)[:] = 0
    for name, part in given.items():
        np.testing.assert_array_equal(part, copies[name])


def test_float64(float64):
    loss = PackedTargetsLoss(policy_gradient, SIZES)
    given, y_pred = parts(5), RNG.normal(size=(5, 3))
    y_true = loss.pack(**given)
    assert y_true.dtype == "float64"
    model = keras.Sequential([keras.Input((3,)), keras.layers.Identity()])
    model.compile("sgd", loss)
    expected = numpy_policy_gradient(y_pred, **given).mean()
    rtol = 1e-12 if backends.BACKEND != "torch" else 1e-6  # Keras 3.15 computes in float32 there
    np.testing.assert_allclose(float(loss(y_true, y_pred)), expected, rtol=rtol)
    found = model.evaluate(y_pred, y_true, batch_size=5, verbose=0)
    np.testing.assert_allclose(found, expected, rtol=rtol)
    ids = PackedTargetsLoss("mse", {"id": 1}, target="id")
    assert ids.pack(id=[2**24 + 1]).item() == 2**24 + 1


# In compiled models


def network(outputs=3):
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [keras.Input((2,)), keras.layers.Dense(4, "tanh"), keras.layers.Dense(outputs)]
    )


@pytest.mark.parametrize("jit_compile", backends.JIT)
def test_trains_as_a_hand_written_step(jit_compile):
    """Two steps of SGD with sample weights equal those of a GradientTape on separate tensors."""
    x, given = RNG.normal(size=(8, 2)).astype("float32"), parts(8)
    weight = RNG.uniform(size=8).astype("float32")
    loss = PackedTargetsLoss(policy_gradient, SIZES)
    model, by_hand = network(), network()
    model.compile(keras.optimizers.SGD(0.1), loss, jit_compile=jit_compile)
    tensors = {name: ops.convert_to_tensor(part, "float32") for name, part in given.items()}

    def by_definition(*weights):
        y_pred, _ = by_hand.stateless_call(weights, [], ops.convert_to_tensor(x))
        values = policy_gradient(y_pred, **tensors)
        return ops.mean(ops.convert_to_tensor(weight) * values)

    weights = by_hand.get_weights()
    for _ in range(2):
        model.train_on_batch(x, loss.pack(**given), sample_weight=weight)
        _, gradients = backends.value_and_gradients(by_definition, *weights)
        weights = [w - np.float32(0.1) * g for w, g in zip(weights, gradients, strict=True)]
    for found, expected in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_dataset_and_validation():
    loss = PackedTargetsLoss(policy_gradient, SIZES)
    metric = UnpackedMetric("categorical_accuracy", SIZES, target="action")
    x, given = RNG.normal(size=(8, 2)).astype("float32"), parts(8)
    y = loss.pack(**given)
    model = network()
    model.compile(keras.optimizers.SGD(0.0), loss, metrics=[metric])
    batches = (x, y)
    if backends.ON_TENSORFLOW:
        import tensorflow as tf

        batches = (tf.data.Dataset.from_tensor_slices((x, y)).batch(3),)
    arguments = {"validation_data": (x, y), "epochs": 2, "shuffle": False, "verbose": 0}
    history = model.fit(*batches, **arguments).history
    expected = numpy_policy_gradient(model.predict(x, verbose=0), **given).mean()
    np.testing.assert_allclose(history["val_loss"], [expected] * 2, rtol=1e-5)
    accuracy = np.mean(model.predict(x, verbose=0).argmax(-1) == given["action"].argmax(-1))
    for key in ("categorical_accuracy", "val_categorical_accuracy"):
        np.testing.assert_allclose(history[key], [accuracy] * 2, rtol=1e-6)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision(policy):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        model = network()
    finally:
        keras.config.set_dtype_policy(before)
    loss = PackedTargetsLoss(policy_gradient, SIZES)
    x, given = RNG.normal(size=(8, 2)).astype("float32"), parts(8)
    model.compile(keras.optimizers.SGD(0.01), loss)
    expected = numpy_policy_gradient(numpy(ops.cast(model(x), "float32")), **given).mean()
    found = model.train_on_batch(x, loss.pack(**given))
    np.testing.assert_allclose(found, expected, rtol=1e-2)
    assert all(np.isfinite(weight).all() for weight in model.get_weights())


@pytest.mark.slow
def test_masked_sequences():
    """Padded steps count for nothing, in the loss and in a metric; weights weigh sequences."""
    x = RNG.normal(size=(4, 4, 2)).astype("float32")
    x[0, 2:] = x[2, 1:] = 0
    real = (x != 0).any(-1)
    given, weight = parts(4, 4), np.array([1.0, 2, 3, 4])
    inputs = keras.Input((None, 2))
    outputs = keras.layers.LSTM(3, return_sequences=True)(keras.layers.Masking()(inputs))
    model = keras.Model(inputs, outputs)
    loss = PackedTargetsLoss(policy_gradient, SIZES)
    metric = UnpackedMetric("categorical_accuracy", SIZES, target="action")
    model.compile("sgd", loss, metrics=[metric])
    y_pred, y = model.predict(x, verbose=0), loss.pack(**given)
    values = numpy_policy_gradient(y_pred, **given)
    correct = y_pred.argmax(-1) == given["action"].argmax(-1)
    found, accuracy = model.evaluate(x, y, verbose=0)
    np.testing.assert_allclose(found, values[real].mean(), rtol=1e-5)
    # Keras 3.10 leaves the mask out of every metric.
    counted = real if not OLDEST_KERAS else np.ones_like(real)
    np.testing.assert_allclose(accuracy, correct[counted].mean(), rtol=1e-6)
    found, _ = model.evaluate(x, y, sample_weight=weight, verbose=0)
    expected = (values * weight[:, None])[real].sum() / real.sum()
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.slow
def test_saved_model_with_several_outputs(tmp_path):
    """Weights, losses by output name and their metrics survive, `safe_mode` and a new process."""
    inputs = keras.Input((2,))
    hidden = keras.layers.Dense(4, "tanh")(inputs)
    outputs = {
        "actor": keras.layers.Dense(3, name="actor")(hidden),
        "critic": keras.layers.Dense(1, name="critic")(hidden),
    }
    model = keras.Model(inputs, outputs)
    loss = PackedTargetsLoss(policy_gradient, SIZES)
    pinball = PackedTargetsLoss(
        PinballOfLevel(reduction=None), {"level": 1, "price": 1}, target="price"
    )
    model.compile(
        keras.optimizers.Adam(),
        loss={"actor": loss, "critic": pinball},
        loss_weights={"actor": 1.0, "critic": 0.5},
        metrics={
            "actor": [UnpackedMetric("categorical_accuracy", SIZES, "action")],
            "critic": [UnpackedMetric("mae", pinball.sizes, "price", name="error")],
        },
    )
    x, given = RNG.normal(size=(8, 2)).astype("float32"), parts(8)
    level, price = RNG.uniform(size=(2, 8))
    y = {"actor": loss.pack(**given), "critic": pinball.pack(level=level, price=price)}
    model.fit(x, y, verbose=0)
    found = model.evaluate(x, y, return_dict=True, verbose=0)
    y_pred = model.predict(x, verbose=0)
    np.testing.assert_allclose(
        found["actor_loss"], numpy_policy_gradient(y_pred["actor"], **given).mean(), rtol=1e-5
    )
    np.testing.assert_allclose(
        found["critic_error"], abs(price - y_pred["critic"][:, 0]).mean(), rtol=1e-5
    )
    total = found["actor_loss"] + 0.5 * found["critic_loss"]
    np.testing.assert_allclose(found["loss"], total, rtol=1e-6)

    model.save(tmp_path / "model.keras")
    np.savez(tmp_path / "data.npz", x=x, actor=y["actor"], critic=y["critic"])
    printed = checks.run_in_fresh_process(
        """
        import sys
        import keras, kerazoo, numpy as np
        from keras import ops

        @keras.saving.register_keras_serializable(package="tests")
        def policy_gradient(y_pred, side, action, advantage):
            crossentropy = -ops.sum(action * ops.log_softmax(y_pred), axis=-1)
            return crossentropy * advantage[..., 0] + ops.sum(side, axis=-1)

        @keras.saving.register_keras_serializable(package="tests")
        class PinballOfLevel(keras.losses.Loss):
            def call(self, y_true, y_pred, level):
                difference = y_true - y_pred
                return ops.mean(ops.maximum(level * difference, (level - 1) * difference), axis=-1)

        model = keras.saving.load_model(sys.argv[1] + "/model.keras", safe_mode=True)
        data = np.load(sys.argv[1] + "/data.npz")
        y = {"actor": data["actor"], "critic": data["critic"]}
        values = model.evaluate(data["x"], y, return_dict=True, verbose=0)
        print({name: float(value) for name, value in values.items()})
        model.fit(data["x"], y, verbose=0)
        """,
        tmp_path,
    )
    loaded = eval(printed)
    assert loaded.keys() == found.keys()
    for name, value in found.items():
        np.testing.assert_allclose(loaded[name], value, rtol=1e-6)


# Arguments


@pytest.mark.parametrize(
    "sizes", [{}, None, ["a"], {"a": 0}, {"a": 1.0}, {"a": True}, {"a b": 1}, {1: 1}, {"y_pred": 1}]
)
def test_sizes_must_name_positive_integers(sizes):
    with pytest.raises(ValueError, match=r"`sizes`.*Received"):
        PackedTargetsLoss(lambda y_pred, a: None, sizes)


def test_loss_and_target_must_fit():
    for inner in ("mse", keras.losses.MeanSquaredError(reduction=None), 3, None):
        with pytest.raises(ValueError, match=r"`target` must name the part.*Received"):
            PackedTargetsLoss(inner, {"price": 1})
    with pytest.raises(ValueError, match=r"`target` must be one of 'price', or None"):
        PackedTargetsLoss("mse", {"price": 1}, target="prize")
    for wrong in (3, "msee"):
        with pytest.raises(ValueError, match=r"`loss` must be a function, a Keras loss.*Received"):
            PackedTargetsLoss(wrong, {"price": 1}, target="price")
    half = keras.losses.MeanSquaredError(reduction=None, dtype="float16")
    with pytest.raises(ValueError, match=r"The `dtype` of `loss` has no effect.*float16"):
        PackedTargetsLoss(half, {"price": 1}, target="price")
    PackedTargetsLoss(half, {"price": 1}, target="price", dtype="float16")
    with pytest.raises(ValueError, match=r"`loss` must take `\(y_pred, price, weight\)`"):
        PackedTargetsLoss(lambda y_pred, price: None, {"price": 1, "weight": 1})
    with pytest.raises(ValueError, match=r"`loss` must take `\(y_true, y_pred, weight\)`"):
        PackedTargetsLoss("mse", {"price": 1, "weight": 1}, target="price")


@pytest.mark.skipif(OLDEST_KERAS, reason="Keras 3.10 weighs rows in another way")
def test_class_weight_takes_the_largest_column_for_the_class():
    """No loss can see it; the docstring says so. This fails when Keras changes that."""
    sizes = {"label": 2, "advantage": 1}

    @keras.saving.register_keras_serializable(package="tests")
    def label_only(y_true, y_pred, advantage):
        return keras.losses.mean_squared_error(y_true, y_pred)

    loss = PackedTargetsLoss(label_only, sizes, target="label")
    model = network(outputs=2)
    model.compile(keras.optimizers.SGD(0.0), loss)
    x, y = np.ones((4, 2)), loss.pack(label=np.eye(2)[[0, 1, 0, 1]], advantage=[5, 5, 5, 5])
    plain = model.train_on_batch(x, y)
    weighted = model.train_on_batch(x, y, class_weight={0: 1.0, 1: 1.0, 2: 10.0})
    np.testing.assert_allclose(weighted, 10 * plain, rtol=1e-5)
