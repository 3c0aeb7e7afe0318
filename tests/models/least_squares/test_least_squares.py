import inspect
import json
import warnings

import checks
import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.optimize import minimize, nnls
from speed import slow_but

import kerazoo
from kerazoo.models import LeastSquares
from kerazoo.optimizers import LevenbergMarquardt

layers = keras.layers
RNG = np.random.default_rng(7)
X = RNG.normal(size=(60, 3))
Y = (np.sin(X[:, :1]) + X[:, 1:2] * X[:, 2:]).astype("float32")
RULES = ("trust_region", "nielsen", "marquardt")


def network(*hidden, outputs=1, inputs=(3,), seed=0, **arguments):
    keras.utils.set_random_seed(seed)
    hidden = hidden or (layers.Dense(5, "tanh"),)
    return keras.Sequential([keras.Input(inputs), *hidden, layers.Dense(outputs, **arguments)])


def linear(size=3, **arguments):
    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.Input((size,)), layers.Dense(1, **arguments)])


def compiled(model, *arguments, loss="mse", metrics=None, **named):
    model = LeastSquares(model)
    model.compile(LevenbergMarquardt(*arguments, **named), loss=loss, metrics=metrics)
    return model


def weights_of(model):
    return np.concatenate([np.ravel(weight) for weight in model.get_weights()])


def fit(model, x=X, y=Y, **arguments):
    return model.fit(x, y, verbose=0, **arguments).history


# What it reaches


@pytest.mark.parametrize("solver", ["cholesky", "qr"])
@pytest.mark.parametrize("rule", RULES)
def test_linear_regression_is_lstsq(rule, solver, float64):
    model = compiled(linear(), rule, solver=solver)
    fit(model, epochs=60)
    expected, *_ = np.linalg.lstsq(np.column_stack([X, np.ones(60)]), Y, rcond=None)
    np.testing.assert_allclose(weights_of(model), expected[:, 0], rtol=1e-13, atol=1e-14)
    assert model.optimizer.converged.numpy() == 1


@pytest.mark.parametrize("scaling", ["max", "diagonal", "identity"])
@pytest.mark.parametrize("geodesic", slow_but(False, of=[False, True]))
def test_every_scaling_descends(scaling, geodesic):
    model = compiled(network(), scaling=scaling, geodesic_acceleration=geodesic)
    loss = fit(model, epochs=40)["loss"]
    assert np.all(np.diff(loss) <= 0)
    assert loss[-1] < 0.05 * loss[0]


@pytest.mark.slow
def test_sample_and_class_weights(float64):
    weight = RNG.uniform(0, 2, 60)
    model = compiled(linear())
    fit(model, sample_weight=weight, epochs=30)
    A = np.column_stack([X, np.ones(60)]) * np.sqrt(weight)[:, None]
    expected, *_ = np.linalg.lstsq(A, Y * np.sqrt(weight)[:, None], rcond=None)
    np.testing.assert_allclose(weights_of(model), expected[:, 0], rtol=1e-12)

    labels = (Y > 0).astype(int)
    by_class = compiled(linear())
    fit(by_class, y=labels, class_weight={0: 1.0, 1: 3.0}, epochs=30)
    by_sample = compiled(linear())
    fit(by_sample, y=labels, sample_weight=np.where(labels[:, 0], 3.0, 1.0), epochs=30)
    np.testing.assert_allclose(weights_of(by_class), weights_of(by_sample), rtol=1e-13)


def test_ridge_has_its_closed_form(float64):
    model = compiled(linear(kernel_regularizer=keras.regularizers.L2(0.125), use_bias=False))
    w = model.get_weights()[0]
    history = fit(model, epochs=30)
    gradient = 2 * X.T @ (X @ w - Y) / 60 + 0.25 * w
    np.testing.assert_allclose(history["gradient_norm"][0], np.linalg.norm(gradient), rtol=1e-12)
    expected = np.linalg.solve(X.T @ X / 60 + 0.125 * np.eye(3), X.T @ Y / 60)
    np.testing.assert_allclose(weights_of(model), expected[:, 0], rtol=1e-12)
    assert history["polish"][-1] == 1
    loss = np.mean((X @ expected - Y) ** 2) + 0.125 * np.sum(expected**2)
    np.testing.assert_allclose(history["loss"][-1], loss, rtol=1e-12)


def test_constraint_is_nnls(float64):
    model = compiled(linear(kernel_constraint="non_neg", use_bias=False))
    y = X @ [[1.0], [-2.0], [0.5]]
    fit(model, y=y, epochs=200)
    np.testing.assert_allclose(weights_of(model), nnls(X, y[:, 0])[0], atol=1e-6)


GENERALIZED = {
    "binary_crossentropy": ("sigmoid", lambda z: np.logaddexp(0, z) - (Y[:, 0] > 0) * z),
    "poisson": ("exponential", lambda z: np.exp(z) - np.round(np.exp(Y[:, 0])) * z),
}


@pytest.mark.parametrize("loss", GENERALIZED)
def test_generalized_linear_models(loss, float64):
    activation, values = GENERALIZED[loss]
    y = (Y > 0).astype(float) if loss == "binary_crossentropy" else np.round(np.exp(Y))
    model = compiled(linear(activation=activation), loss=loss)
    fit(model, y=y, epochs=60)
    A = np.column_stack([X, np.ones(60)])
    expected = minimize(lambda b: values(A @ b).mean(), np.zeros(4), method="BFGS", tol=1e-10).x
    np.testing.assert_allclose(weights_of(model), expected, atol=1e-5)


@pytest.mark.parametrize("loss", ["huber", "log_cosh"])
def test_robust_losses(loss, float64):
    y = Y + 20.0 * (RNG.uniform(size=(60, 1)) > 0.9)
    model = compiled(linear(), loss=loss)
    fit(model, y=y, epochs=100)
    A = np.column_stack([X, np.ones(60)])
    function = keras.losses.get(loss)

    def objective(b):
        return float(np.mean(function(y, (A @ b)[:, None])))

    expected = minimize(objective, np.zeros(4), method="Nelder-Mead", tol=1e-12).x
    np.testing.assert_allclose(weights_of(model), expected, atol=1e-4)


@pytest.mark.slow
def test_classification_learns():
    labels = np.digitize(Y[:, 0], [-0.5, 0.5])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model = compiled(network(outputs=3), loss=loss, metrics=["accuracy"])
    assert fit(model, y=labels, epochs=30)["accuracy"][-1] > 0.95


# What Keras gives it


def test_logs_are_keras_own(float64):
    model = compiled(network(), metrics=["mae"], ftol=0.0)
    history = fit(model, epochs=3, validation_data=(X, Y))
    keys = {"damping", "attempts", "gain_ratio", "gradient_norm", "step_norm", "polish"}
    keys |= {"cg_iterations", "stop_code"}
    assert keys | {"loss", "mae", "val_loss", "val_mae"} == set(history)
    loss, mae = model.evaluate(X, Y, verbose=0)
    np.testing.assert_allclose(history["loss"][-1], loss, rtol=1e-14)
    np.testing.assert_allclose(history["val_loss"], history["loss"], rtol=1e-12)
    np.testing.assert_allclose(history["mae"][-1], mae, rtol=1e-14)
    assert history["damping"][-1] == model.optimizer.damping.numpy()


def test_gradient_norm_is_the_gradients(float64):
    model = compiled(network())
    with tf.GradientTape() as tape:
        loss = model.compute_loss(X, Y, model(X))
    gradients = tape.gradient(loss, [v.value for v in model.trainable_variables])
    expected = np.sqrt(sum(np.sum(np.square(g)) for g in gradients))
    np.testing.assert_allclose(fit(model, epochs=1)["gradient_norm"][0], expected, rtol=1e-12)


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 3

    def __getitem__(self, i):
        return X[20 * i : 20 * i + 20], Y[20 * i : 20 * i + 20]


@pytest.mark.slow
def test_data_sets_are_the_same_batches():
    expected = fit(compiled(network()), batch_size=20, shuffle=False, epochs=3)
    data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(20)
    for source in (data, Batches(), (Batches()[i % 3] for i in range(9))):
        model = compiled(network())
        history = model.fit(source, epochs=3, steps_per_epoch=3, verbose=0, shuffle=False).history
        np.testing.assert_allclose(history["loss"], expected["loss"], rtol=1e-4)
        assert "20 residuals" in model.optimizer.choice
    model = LeastSquares(network())
    model.compile(LevenbergMarquardt(), steps_per_execution=3)
    history = model.fit(data, epochs=3, verbose=0, shuffle=False).history
    np.testing.assert_allclose(history["loss"], expected["loss"], rtol=1e-4)


def test_steps_at_once_are_an_epoch_of_as_many_steps():
    """A data set without end gives Keras whole executions, whatever `steps_per_epoch` says."""
    model = LeastSquares(network())
    model.compile(LevenbergMarquardt(), steps_per_execution=3)
    model.fit(X, Y, epochs=2, verbose=0)
    assert int(model.optimizer.iterations) == 6


def test_arrays_that_do_not_fit_together_are_refused():
    model = compiled(linear())
    for y, weight in ((Y[:30], None), (Y[:1], None), (Y, np.ones(1))):
        with pytest.raises(ValueError, match="the same number of examples"):
            fit(model, y=y, sample_weight=weight)
    with pytest.raises(ValueError, match="the same number of examples"):
        fit(model, x=X[:0], y=Y[:0])


def test_masked_values_are_refused():
    """Keras reads what is under the mask."""
    mask = np.zeros((60, 1), bool)
    mask[7] = True
    model = compiled(linear())
    x, y = np.ma.array(X, mask=mask | np.zeros((60, 3), bool)), np.ma.array(Y, mask=mask)
    for name, call in (
        ("y", lambda: fit(model, y=y)),
        ("x", lambda: fit(model, x=x)),
        ("y", lambda: fit(model, validation_data=(X, y))),
        ("y", lambda: model.evaluate(X, y, verbose=0)),
        ("y", lambda: model.train_on_batch(X, y)),
        ("x", lambda: model.test_on_batch(x, Y)),
        ("x", lambda: model.predict(x, verbose=0)),
    ):
        with pytest.raises(ValueError, match=f"`{name}` must be an array without masked values"):
            call()
    fit(model, y=np.ma.array(Y))  # nothing is masked


def test_loss_weights_are_checked():
    for weight in (-1.0, np.nan, True, "one"):
        with pytest.raises(ValueError, match="`loss_weights` must be a finite number of at least"):
            LeastSquares(linear()).compile(loss_weights=weight)
    with pytest.raises(ValueError, match=r"`loss_weights` .* Received: loss_weights=-1\.0"):
        LeastSquares(two_by_two()).compile(loss_weights={"value": -1.0, "kind": 1.0})
    model = LeastSquares(linear())
    losses = []
    for weight in (1.0, np.float32(2), np.int64(2), 2):
        model.compile(loss_weights=weight)
        losses.append(model.compute_loss(X, Y, model(X), None, training=False))
    np.testing.assert_allclose(losses, losses[0] * [1, 2, 2, 2], rtol=1e-6)


def test_class_weight_needs_classes():
    model, labels = compiled(linear()), (Y > 0).astype("float32")
    with pytest.raises(ValueError, match="`class_weight` needs targets that are class indices"):
        fit(model, class_weight={0: 1.0, 1: 2.0})
    with pytest.raises(ValueError, match=r"`class_weight` must .* for the classes \[1\]"):
        fit(model, y=labels, class_weight={0: 2.0})
    with pytest.raises(ValueError, match=r"`class_weight` must .* for the classes \[1\]"):
        model.train_on_batch(X, labels, class_weight={0: 2.0})
    data = tf.data.Dataset.from_tensors((X, labels))
    with pytest.raises(ValueError, match=r"`class_weight` must .* for the classes \[1\]"):
        fit(model, x=data, y=None, class_weight={0: 2.0}, shuffle=False)
    fit(model, x=data, y=None, class_weight={0: 2.0, 1: 1.0}, shuffle=False)


def test_data_that_is_no_arrays_is_explained():
    model = compiled(linear())
    y = Y[:, 0]
    for call, message in (
        (lambda: fit(model, y=list(y)), "`y` must be an array: call `np.array`"),
        (lambda: model.evaluate(X, list(y), verbose=0), "`y` must be an array: call `np.array`"),
        (lambda: fit(model, x=X.tolist(), y=y.tolist()), "`x` must be an array: call `np.array`"),
        (lambda: fit(model, y=list(Y)), r"`y` must be .* one array for each output.*60 arrays"),
        (lambda: fit(model, y=None), "`y` is needed.*: give it"),
        (lambda: model.evaluate(X, verbose=0), "`y` is needed.*: give it"),
        (lambda: fit(model, x=(X, Y), y=None), "`y` is needed.*as two arguments"),
    ):
        with pytest.raises(ValueError, match=message) as caught:
            call()
        assert len(str(caught.value)) < 500
    with pytest.raises(ValueError, match="`y` should not be passed"):
        fit(model, x=tf.data.Dataset.from_tensors((X, Y)))


@pytest.mark.parametrize("shape", [(60, 2), (60, 3), (60, 60), (60, 1, 1, 1)])
def test_targets_that_would_be_broadcast_are_refused(shape):
    """Plain Keras fits (60, 2) to (60, 1), each output to both targets."""
    model = compiled(linear())
    before = weights_of(model)
    for call in (
        lambda: fit(model, y=np.ones(shape)),
        lambda: fit(model, y=np.ones(shape), batch_size=20),
        lambda: model.evaluate(X, np.ones(shape), verbose=0),
    ):
        with pytest.raises(ValueError, match=r"`y` must .*shape.* Received: y of shape \("):
            call()
    np.testing.assert_array_equal(weights_of(model), before)


@pytest.mark.parametrize("loss", ["huber", "poisson", "binary_crossentropy"])
def test_targets_of_other_elementwise_losses(loss):
    net = network(activation="sigmoid")
    with pytest.raises(ValueError, match="`y` must have the shape"):
        fit(compiled(net, loss=loss), y=np.ones((60, 2)))


@pytest.mark.slow
def test_targets_are_compared_in_every_later_call():
    """The second graph of Keras is for any number of examples and of features."""
    model = compiled(linear())
    two, three = np.ones((60, 2)), np.ones((60, 3))
    with pytest.raises(ValueError, match=r"`y` must have the shape .*\(60, 2\)"):
        fit(model, y=two)
    fit(model)
    model.evaluate(X, Y, verbose=0)
    before = weights_of(model)
    for call, found in (
        (lambda: fit(model, y=three), r"\(60, 3\)"),
        (lambda: fit(model, x=X[:50], y=two[:50]), r"\(50, 2\)"),
        (lambda: model.evaluate(X, three, verbose=0), r"\(32, 3\)"),
        (lambda: model.train_on_batch(X, three), r"\(60, 3\)"),
        (lambda: model.test_on_batch(X, three), r"\(60, 3\)"),
    ):
        with pytest.raises(ValueError, match=f"`y` must have the shape .*{found}"):
            call()
    np.testing.assert_array_equal(weights_of(model), before)
    fit(model)
    assert np.any(weights_of(model) != before)


@pytest.mark.parametrize(
    "loss", ["cosine_similarity", "kl_divergence", "categorical_focal_crossentropy", "dice"]
)
def test_targets_of_losses_of_whole_outputs(loss):
    net = network(activation="sigmoid")
    with pytest.raises(ValueError, match="`y` must have the shape"):
        fit(compiled(net, loss=loss), y=np.ones((60, 2)))


@pytest.mark.slow
def test_targets_that_a_function_may_broadcast_are_warned_about():
    def loss(y, outputs):
        return keras.ops.mean((y - outputs) ** 2, axis=-1)

    with pytest.warns(UserWarning, match="`y` has another shape than the model's outputs"):
        fit(compiled(linear(), loss=loss), y=np.ones((60, 2)))
    model = compiled(linear(), loss=loss)
    fit(model)
    with pytest.raises(ValueError, match=r"`y` must have the shape .*\(60, 2\)"):
        fit(model, y=np.ones((60, 2)))


def test_negative_weights_are_refused():
    model, weight = compiled(linear()), -np.ones(60, "float32")
    before = weights_of(model)
    data = tf.data.Dataset.from_tensors((X, Y, weight))
    for call in (
        lambda: fit(model, sample_weight=weight),
        lambda: fit(model, validation_data=(X, Y, weight)),
        lambda: model.evaluate(X, Y, sample_weight=weight, verbose=0),
        lambda: model.train_on_batch(X, Y, weight),
        lambda: fit(model, x=data, y=None, shuffle=False),
    ):
        with pytest.raises(ValueError, match="`sample_weight` must be at least 0 everywhere"):
            call()
        np.testing.assert_array_equal(weights_of(model), before)


@pytest.mark.parametrize("y", [Y[:, 0], Y[:, :, None]])
def test_targets_that_keras_squeezes(y):
    """(60,) and (60, 1, 1) for outputs (60, 1) are the targets that Keras takes them for."""
    model = compiled(linear())
    expected = keras.losses.MeanSquaredError()(y, model(X))
    np.testing.assert_allclose(expected, np.mean((model(X) - Y) ** 2), rtol=1e-5)
    np.testing.assert_allclose(model.evaluate(X, y, verbose=0), expected, rtol=1e-5)


@pytest.mark.slow
def test_sparse_labels_are_no_shapes_of_outputs():
    labels = np.arange(60) % 3
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    found = [fit(compiled(network(outputs=3), loss=loss), y=y) for y in (labels, labels[:, None])]
    np.testing.assert_allclose(found[0]["loss"], found[1]["loss"], rtol=1e-5)


@pytest.mark.slow
def test_targets_of_each_output_are_checked():
    names = {"sum": Y, "rest": X[:, :2]}
    bad = {"sum": X[:, :2], "rest": X[:, :2]}
    inputs = keras.Input((3,))
    outputs = {"sum": layers.Dense(1)(inputs), "rest": layers.Dense(2)(inputs)}
    by_name = keras.Model(inputs, outputs)
    fit(compiled(by_name, loss={"sum": "mse", "rest": "huber"}), y=names)
    in_a_list = keras.Model(inputs, [outputs["sum"], outputs["rest"]])
    for model, y in ((by_name, bad), (in_a_list, [X[:, :2], X[:, :2]])):
        with pytest.raises(ValueError, match=r"y of shape \(60, 2\) for outputs .*\(60, 1\)"):
            fit(compiled(model), y=y)
    # What has no loss is compared with nothing.
    fit(compiled(in_a_list, loss=["mse", None]), y=[Y, np.ones((60, 7))])


def test_another_number_of_axes_than_before_is_refused():
    """Keras's graph takes any rank the second time: "Cannot take the length of shape"."""
    model = compiled(linear())
    fit(model, y=Y[:, 0])
    with pytest.raises(ValueError, match="`y` must have the same number of axes"):
        fit(model, y=Y)


def test_the_name_of_the_optimizer():
    model = LeastSquares(linear())
    for optimizer in ("levenberg_marquardt", None, "kerazoo>LevenbergMarquardt"):
        model.compile(optimizer)
        assert type(model.optimizer) is LevenbergMarquardt
    model.compile("adam")
    assert type(model.optimizer) is keras.optimizers.Adam


def test_there_is_no_learning_rate():
    with pytest.raises(TypeError, match=r"`learning_rate` is no .*`initial_damping`.*_rate=0\.1"):
        LevenbergMarquardt(learning_rate=0.1)
    with pytest.raises(TypeError, match=r"`clipnorm` is no .* Received: clipnorm=1"):
        LevenbergMarquardt(clipnorm=1)


def test_inputs_that_are_not_dense_are_refused():
    sparse, model = tf.sparse.from_dense(X.astype("float32")), compiled(linear())
    for arguments in ({"x": sparse}, {"x": tf.data.Dataset.from_tensors((sparse, Y)), "y": None}):
        with pytest.raises(ValueError, match="must be dense tensors"):
            fit(model, **arguments, shuffle=False)


@pytest.mark.parametrize("batch_size", slow_but(25, of=[1, 25, 60, 1000]))
def test_batch_sizes(batch_size):
    model = compiled(linear(), ftol=0.0, xtol=0.0, gtol=0.0)
    history = fit(model, y=X @ [[1.0], [2.0], [3.0]], batch_size=batch_size, epochs=15)
    assert history["loss"][-1] < 1e-4
    assert int(model.optimizer.iterations) == 15 * -(-60 // batch_size)


@pytest.mark.slow
def test_chunks_change_nothing(float64):
    whole, chunked = compiled(network()), compiled(network(), jacobian_rows=7)
    a, b = fit(whole, epochs=5), fit(chunked, epochs=5)
    np.testing.assert_allclose(a["loss"], b["loss"], rtol=1e-10)


@pytest.mark.slow
def test_validation_split_holds_out_the_last_rows(float64):
    a, b = compiled(linear()), compiled(linear())
    split = fit(a, validation_split=0.25, epochs=4)
    apart = fit(b, x=X[:45], y=Y[:45], validation_data=(X[45:], Y[45:]), epochs=4)
    np.testing.assert_array_equal(split["val_loss"], apart["val_loss"])
    with pytest.raises(ValueError, match="`validation_split`"):
        fit(a, validation_split=0.9999)


def test_callbacks(tmp_path):
    callbacks = [
        keras.callbacks.EarlyStopping("loss", patience=1, min_delta=1e9),
        keras.callbacks.ModelCheckpoint(tmp_path / "{epoch}.keras"),
    ]
    before = list(callbacks)
    model = compiled(network())
    assert len(fit(model, epochs=10, callbacks=callbacks)["loss"]) == 2
    assert callbacks == before
    np.testing.assert_array_equal(
        weights_of(keras.models.load_model(tmp_path / "2.keras")), weights_of(model)
    )


def two_by_two():
    keras.utils.set_random_seed(0)
    a, b = keras.Input((2,), name="a"), keras.Input((1,), name="b")
    h = layers.Dense(4, "tanh")(layers.Concatenate()([a, b]))
    outputs = [layers.Dense(1, name="value")(h), layers.Dense(2, name="kind")(h)]
    return keras.Model([a, b], outputs)


@pytest.mark.slow
def test_several_inputs_and_outputs():
    model = LeastSquares(two_by_two())
    sparse = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(
        loss={"value": "mse", "kind": sparse},
        loss_weights={"value": 0.5, "kind": 2.0},
        metrics={"kind": ["accuracy"]},
    )
    x, y = [X[:, :2], X[:, 2:]], {"value": Y, "kind": (Y[:, 0] > 0).astype(int)}
    history = fit(model, x=x, y=y, epochs=30)
    parts = 0.5 * history["value_loss"][-1] + 2 * history["kind_loss"][-1]
    np.testing.assert_allclose(history["loss"][-1], parts, rtol=1e-5)
    evaluated = model.evaluate(x, y, batch_size=60, return_dict=True, verbose=0)
    np.testing.assert_allclose(history["kind_loss"][-1], evaluated["kind_loss"], rtol=1e-4)
    assert history["kind_accuracy"][-1] > 0.95


@pytest.mark.slow
def test_sample_weights_of_one_output_alone(float64):
    keras.utils.set_random_seed(0)
    x = keras.Input((3,))
    net = keras.Model(x, [layers.Dense(1, name="a")(x), layers.Dense(1, name="b")(x)])
    weight = RNG.uniform(size=60)
    fit(compiled(net), y=[Y, Y], sample_weight=[weight, None], epochs=10)
    design = np.column_stack([X, np.ones(60)])
    for name, root in (("a", np.sqrt(weight)[:, None]), ("b", 1.0)):
        expected, *_ = np.linalg.lstsq(design * root, Y * root, rcond=None)
        found = weights_of(net.get_layer(name))
        np.testing.assert_allclose(found, expected[:, 0], rtol=1e-10)


@pytest.mark.slow
def test_sequences_and_recurrent_networks():
    x = RNG.normal(size=(12, 6, 2))
    y = np.cumsum(x[..., :1], axis=1) / 3
    model = compiled(network(layers.LSTM(4, return_sequences=True), inputs=(6, 2)))
    y[3, 2:] = 100.0  # counts for nothing
    weight = np.ones((12, 6))
    weight[3, 2:] = 0.0
    assert fit(model, x=x, y=y, sample_weight=weight, epochs=30)["loss"][-1] < 0.01


@pytest.mark.slow
def test_sequences_of_unknown_length(float64):
    x = np.random.default_rng(0).normal(size=(60, 5, 2))
    data = tf.data.Dataset.from_tensors((x, x[:, -1, :1])).repeat()
    anonymous = data.map(
        lambda x, y: (
            tf.ensure_shape(tf.py_function(lambda v: v, [x], x.dtype), [None, None, 2]),
            y,
        )
    )
    losses = []
    for source in (data, anonymous):
        keras.utils.set_random_seed(0)
        model = compiled(network(layers.LSTM(2), inputs=(None, 2)))
        history = model.fit(source, steps_per_epoch=2, verbose=0, shuffle=False).history
        losses.append(history["loss"])
    np.testing.assert_allclose(*losses, rtol=1e-9)


def test_outputs_of_unknown_length_are_refused():
    x = RNG.normal(size=(4, 5, 2)).astype("float32")
    data = tf.data.Dataset.from_generator(
        lambda: [(x, x)], output_signature=(tf.TensorSpec([None, None, 2]),) * 2
    )
    model = compiled(keras.Sequential([keras.Input((None, 2)), layers.Dense(2)]))
    with pytest.raises(ValueError, match="The shape of each output must be known"):
        model.fit(data, verbose=0, shuffle=False)


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.hidden = layers.Dense(4, "tanh")
        self.last = layers.Dense(1)

    def call(self, x):
        return self.last(self.hidden(x))


def test_subclassed_model():
    model = Subclassed()
    with pytest.raises(ValueError, match="`model` must be a built Keras model"):
        LeastSquares(model)
    model(X)
    assert np.diff(fit(compiled(model), epochs=5)["loss"]).max() < 0


# A rejected step changes nothing


class Cliff(layers.Layer):
    """The slope at 0 points to where the function is not finite, or is worse."""

    def __init__(self, beyond, **arguments):
        super().__init__(**arguments)
        self.beyond = beyond
        self.b = self.add_weight(shape=(), initializer="zeros")

    def call(self, x):
        b = keras.ops.convert_to_tensor(self.b)
        return x * keras.ops.where(b > 1e-8, self.beyond, b)


@pytest.mark.parametrize("beyond", [-10.0, np.nan, np.inf])
def test_rejected_steps_change_nothing(beyond):
    keras.utils.set_random_seed(0)
    net = keras.Sequential(
        [keras.Input((1,)), layers.BatchNormalization(trainable=False), Cliff(beyond)]
    )
    with pytest.warns(UserWarning, match="training=False"):
        model = compiled(net, metrics=["mae"], max_attempts=3, initial_damping=1e-3)
    x = np.ones((8, 1))
    before = model.evaluate(x, x, verbose=0)
    weights = [w.tobytes() for w in model.get_weights()]
    damping = 0
    for _ in range(2):
        history = fit(model, x=x, y=x, epochs=1)
        assert [w.tobytes() for w in model.get_weights()] == weights
        assert [history["loss"][0], history["mae"][0]] == before
        assert history["step_norm"] == [0]
        assert history["damping"][0] > damping
        damping = history["damping"][0]


def test_damping_rises_until_a_step_is_short_enough():
    net = keras.Sequential([keras.Input((1,)), Cliff(-10.0)])
    model = compiled(net, "nielsen", max_attempts=5)
    x = np.ones((8, 1))
    fit(model, x=x, y=x, epochs=1)
    assert weights_of(model) == 0
    fit(model, x=x, y=x, epochs=8)
    assert weights_of(model) > 0


# States at the edge


@pytest.mark.slow
def test_zero_residual_and_zero_gradient():
    model = compiled(linear())
    exact = model.predict(X, verbose=0)
    before = weights_of(model)
    history = fit(model, y=exact, epochs=5)
    assert len(history["loss"]) == 1
    assert history["loss"][0] < 1e-12
    np.testing.assert_allclose(weights_of(model), before, atol=1e-6)
    flat = keras.Sequential([keras.Input((3,)), layers.Dense(1), layers.ReLU(threshold=1e6)])
    model = compiled(flat, max_attempts=4)
    before = weights_of(model)
    with pytest.warns(UserWarning, match="no output depends on any weight"):
        history = fit(model, epochs=3)
    np.testing.assert_array_equal(weights_of(model), before)
    assert all(np.isfinite(values).all() for values in history.values())


@pytest.mark.slow
@pytest.mark.parametrize("rule", RULES)
def test_a_batch_without_gradient_leaves_no_trace(rule):
    """The first of three has sample weights of zero: nothing to learn, and nothing from it."""
    weight = np.repeat([0.0, 1.0, 1.0], 20)
    model, without = compiled(linear(), rule), compiled(linear(), rule)
    for _ in range(2):
        found = fit(model, sample_weight=weight, batch_size=20, shuffle=False)
        expected = fit(without, x=X[20:], y=Y[20:], batch_size=20, shuffle=False)
        assert found["step_norm"][0] > 0
        np.testing.assert_allclose(found["damping"], expected["damping"], rtol=1e-3)
        np.testing.assert_allclose(weights_of(model), weights_of(without), rtol=1e-4)


@pytest.mark.parametrize("solver", ["cholesky", "qr"])
@pytest.mark.parametrize("rule", slow_but("trust_region", of=RULES))
def test_singular_normal_equations(rule, solver, float64):
    x = np.column_stack([X[:, 0], X[:, 0], np.zeros(60)])
    model = compiled(linear(), rule, solver=solver)
    history = fit(model, x=x, epochs=60)
    residual = np.linalg.lstsq(np.column_stack([x, np.ones(60)]), Y, rcond=None)[1]
    np.testing.assert_allclose(history["loss"][-1], residual / 60, rtol=1e-9)
    assert np.isfinite(weights_of(model)).all()


def test_one_weight():
    model = compiled(linear(1, use_bias=False))
    fit(model, x=X[:, :1], y=3 * X[:, :1], epochs=20)
    np.testing.assert_allclose(weights_of(model), [3], rtol=1e-6)


def test_a_test_that_is_off_does_not_stop():
    model = compiled(linear(), ftol=0.0, xtol=0.0, gtol=0.0)
    assert len(fit(model, epochs=12)["loss"]) == 12


def test_more_weights_than_residuals():
    model = compiled(network(layers.Dense(30, "tanh")))
    assert fit(model, x=X[:5], y=Y[:5], epochs=40)["loss"][-1] < 1e-9


# Going on


@pytest.mark.slow
def test_other_optimizers_first():
    model = LeastSquares(network())
    model.compile("adam", loss="mse")
    adam = fit(model, epochs=3)["loss"]
    assert len(adam) == 3
    weights = weights_of(model)
    second = LevenbergMarquardt()
    model.compile(second, loss="mse")
    np.testing.assert_array_equal(weights_of(model), weights)
    loss = fit(model, epochs=5)["loss"]
    assert loss[-1] < 0.5 * adam[-1]
    assert fit(model, epochs=5)["loss"][0] < loss[-1]
    steps, radius = int(second.iterations), float(second.trust_radius)
    model.compile(second, loss="mse")
    assert (int(second.iterations), float(second.trust_radius)) == (steps, radius)
    model.compile("sgd", loss="mse")
    assert "damping" not in fit(model, epochs=1)


@pytest.mark.parametrize("solver", ["qr", "dual"])
@pytest.mark.parametrize("rule", slow_but("trust_region", of=RULES))
def test_other_data_after_convergence(rule, solver):
    model = compiled(linear(), rule, solver=solver)
    fit(model, epochs=60)
    fit(model, y=X @ [[1.0], [2.0], [3.0]], epochs=60)
    np.testing.assert_allclose(weights_of(model), [1, 2, 3, 0], atol=1e-4)


def test_clone_and_plain_network_share_or_not(tmp_path):
    net = network()
    model = compiled(net)
    clone = keras.models.clone_model(model)
    assert type(clone) is LeastSquares
    fit(model, epochs=3)
    np.testing.assert_array_equal(net.predict(X, verbose=0), model.predict(X, verbose=0))
    assert not np.allclose(clone.predict(X, verbose=0), net.predict(X, verbose=0))
    model.model.save(tmp_path / "plain.keras")
    plain = keras.models.load_model(tmp_path / "plain.keras")
    assert type(plain) is keras.Sequential
    np.testing.assert_array_equal(plain.predict(X, verbose=0), net.predict(X, verbose=0))


def test_frozen_layers_stay():
    net = network()
    first, second = (layer for layer in net.layers if layer.weights)
    model = compiled(net)
    optimizer = model.optimizer
    first.trainable = False
    with pytest.raises(ValueError, match="a new LevenbergMarquardt"):
        model.compile(optimizer)
    model.compile(LevenbergMarquardt())
    frozen, free = weights_of(first), weights_of(second)
    fit(model, epochs=3)
    np.testing.assert_array_equal(weights_of(first), frozen)
    assert not np.allclose(weights_of(second), free)
    first.trainable = True
    with pytest.raises(ValueError, match="a new LevenbergMarquardt"):
        fit(model, epochs=1)
    model.compile(LevenbergMarquardt())
    fit(model, epochs=1)
    assert not np.allclose(weights_of(first), frozen)


@pytest.mark.slow
def test_training_goes_on_in_a_fresh_process(tmp_path):
    model = compiled(network(), metrics=["mae"])
    fit(model, epochs=4)
    model.save(tmp_path / "half.keras")
    np.savez(tmp_path / "data.npz", x=X, y=Y)
    expected = fit(model, epochs=4)
    printed = checks.run_in_fresh_process(
        """
        import sys, json, keras, kerazoo, numpy as np
        data = np.load(sys.argv[1] + "/data.npz")
        model = keras.models.load_model(sys.argv[1] + "/half.keras")
        history = model.fit(data["x"], data["y"], epochs=4, verbose=0).history
        print(json.dumps({k: [float(v) for v in values] for k, values in history.items()}))
        """,
        tmp_path,
    )
    found = json.loads(printed.splitlines()[-1])
    assert found.keys() == expected.keys()
    for key in ("loss", "mae", "damping", "attempts"):
        np.testing.assert_array_equal(found[key], expected[key])


@pytest.mark.parametrize("rule", slow_but("trust_region", of=RULES))
def test_training_goes_on_after_loading(rule, tmp_path):
    model = compiled(network(), rule)
    fit(model, batch_size=20, shuffle=False, epochs=2)
    model.save(tmp_path / "half.keras")
    expected = fit(model, batch_size=20, shuffle=False, epochs=2)
    found = fit(
        keras.models.load_model(tmp_path / "half.keras"), batch_size=20, shuffle=False, epochs=2
    )
    np.testing.assert_array_equal(found["loss"], expected["loss"])


@pytest.mark.slow
def test_changing_the_pace_after_loading(tmp_path):
    model = compiled(network(), "nielsen")
    fit(model, epochs=3)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.optimizer.damping.numpy() == model.optimizer.damping.numpy()
    loaded.optimizer.damping.assign(1e6)
    assert fit(loaded, epochs=1)["step_norm"][0] < 1e-3
    wide = compiled(network())
    fit(wide, epochs=3)
    wide.optimizer.trust_radius.assign(1e-6)
    assert fit(wide, epochs=1)["step_norm"][0] < 1e-3

    ordinary = LeastSquares(network())
    ordinary.compile(keras.optimizers.SGD(0.1), loss="mse")
    fit(ordinary, epochs=1)
    ordinary.save(tmp_path / "sgd.keras")
    loaded = keras.models.load_model(tmp_path / "sgd.keras")
    loaded.optimizer.learning_rate = 0.0
    before = weights_of(loaded)
    fit(loaded, epochs=1)
    np.testing.assert_array_equal(weights_of(loaded), before)


def test_reset_begins_anew():
    model = compiled(network())
    weights = model.get_weights()
    first = fit(model, epochs=3)["loss"]
    model.set_weights(weights)
    model.optimizer.reset()
    np.testing.assert_array_equal(fit(model, epochs=3)["loss"], first)


def test_reset_forgets_momentum_and_norms_of_variables():
    model = compiled(network(), "nielsen", solver="dual", momentum=0.5)
    fit(model, epochs=2)
    remembered = model.optimizer.last_step, model.optimizer.variable_norms
    assert all(np.any(v.numpy()) for v in remembered)
    model.optimizer.reset()
    assert not any(np.any(v.numpy()) for v in remembered)


def test_loss_of_an_epoch_weighs_batches_by_their_examples():
    """With so much damping no weight moves."""
    model = compiled(network(), "nielsen", initial_damping=1e25, ftol=0.0, xtol=0.0)
    loss = fit(model, batch_size=50)["loss"][0]  # 50 and 10
    np.testing.assert_allclose(loss, model.evaluate(X, Y, verbose=0), rtol=1e-5)


def test_first_damping_is_relative_to_the_steepest_weight(float64):
    """Without a scale: 1e-3 of the largest diagonal entry of A = 2 J^T J / n."""
    model = compiled(linear(), "nielsen", scaling="identity")
    history = fit(model, epochs=1)
    J = np.column_stack([X, np.ones(60)])
    expected = 1e-3 * np.max(np.sum(2 * J**2 / 60, axis=0))
    shrink = max(1 - (2 * history["gain_ratio"][0] - 1) ** 3, 1 / 3)
    np.testing.assert_allclose(history["damping"][0], shrink * expected, rtol=1e-12)


def test_stationary_weights_end_a_fit_by_gtol_alone(float64):
    expected, *_ = np.linalg.lstsq(np.column_stack([X, np.ones(60)]), Y, rcond=None)
    model = compiled(linear(), ftol=0.0, xtol=0.0, gtol=1e-12, polish=False)
    model.model.set_weights([expected[:3], expected[3]])
    assert len(fit(model, epochs=5)["loss"]) == 1
    assert model.optimizer.converged.numpy() == 1


@pytest.mark.slow
def test_polish_is_for_full_batches(float64):
    model = compiled(network())
    assert fit(model, epochs=2)["polish"][-1] == 1
    assert fit(model, batch_size=20, epochs=2)["polish"] == [0, 0]


# What is refused


@pytest.mark.parametrize("steps_per_execution", [1, 4])
@pytest.mark.parametrize("where", ["x", "y"])
def test_not_a_number_names_its_batch(where, steps_per_execution):
    data = {"x": X.astype("float32"), "y": Y.copy()}
    data[where][45] = np.nan
    model = LeastSquares(network())
    model.compile(LevenbergMarquardt(), steps_per_execution=steps_per_execution)
    with pytest.raises(ValueError, match="NaN or Inf in batch 5 of this fit, counting from 1"):
        fit(model, **data, batch_size=10, shuffle=False)
    assert np.isfinite(weights_of(model)).all()
    fit(model, batch_size=10)
    data[where][58] = np.nan  # the first is named, and counted from the beginning of its own fit
    with pytest.raises(ValueError, match="NaN or Inf in batch 5 of this fit, counting from 1"):
        fit(model, **data, batch_size=10, shuffle=False)


def test_loss_that_is_not_finite_at_the_start():
    model = compiled(linear())
    model.model.layers[0].kernel.assign(np.full((3, 1), 1e38))
    with pytest.raises(ValueError, match="The loss and its gradient must be finite"):
        fit(model)


class Centred(layers.Layer):
    def call(self, x):
        return x - keras.ops.mean(x, axis=0, keepdims=True)


@pytest.mark.slow
def test_layers_that_mix_examples_are_named():
    model = compiled(network(layers.Dense(3), Centred(name="centred")))
    before = weights_of(model)
    with pytest.raises(ValueError, match="layer=centred"):
        fit(model)
    np.testing.assert_array_equal(weights_of(model), before)
    inputs = keras.Input((3,))
    outputs = [Centred(name="centred")(layers.Dense(1)(inputs)), layers.Dense(1)(inputs)]
    with pytest.raises(ValueError, match="layer=centred"):
        fit(compiled(keras.Model(inputs, outputs)), y=[Y, Y])
    kept = layers.LSTM(2, stateful=True, name="kept")
    stateful = keras.Sequential([keras.Input(batch_shape=(2, 3, 1)), kept])
    with pytest.raises(ValueError, match=r"stateful layer.*Received: layer=kept"):
        compiled(stateful)


def test_training_mode_is_warned_about_once():
    net = network(layers.Dropout(0.5, name="drop"), layers.BatchNormalization(name="norm"))
    with pytest.warns(UserWarning, match="difference to: drop, norm") as caught:
        model = compiled(net)
    assert len(caught) == 1
    before = model.model.get_layer("norm").moving_mean.numpy()
    fit(model, epochs=2)  # no further warning: warnings are errors here
    np.testing.assert_array_equal(model.model.get_layer("norm").moving_mean, before)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compiled(network(layers.Dropout(0.0)))


def test_losses_in_less_precision_are_warned_about():
    with pytest.warns(UserWarning, match="half of the digits are lost"):
        compiled(keras.Sequential([keras.Input((3,)), layers.Dense(1, dtype="float64")]))


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_is_refused(policy):
    with pytest.raises(ValueError, match="float32 or float64 throughout"):
        compiled(network(layers.Dense(2, dtype=policy)))


def test_a_global_half_precision_does_not_reach_the_network():
    net = network()
    expected = net.predict(X, verbose=0)
    keras.mixed_precision.set_dtype_policy("mixed_float16")
    try:
        model = compiled(net)
    finally:
        keras.mixed_precision.set_dtype_policy("float32")
    np.testing.assert_array_equal(model.predict(X, verbose=0), expected)
    assert fit(model, epochs=5)["loss"][-1] < np.mean((expected - Y) ** 2)


@pytest.mark.slow
def test_learning_rates_are_warned_about():
    with pytest.warns(UserWarning, match="no learning rate"):
        fit(compiled(network()), callbacks=[keras.callbacks.LearningRateScheduler(lambda _: 0.1)])


def test_eager_execution_is_refused():
    model = compiled(network())
    tf.config.run_functions_eagerly(True)
    try:
        with pytest.raises(ValueError, match="runs as a graph"):
            fit(model)
    finally:
        tf.config.run_functions_eagerly(False)
    model.run_eagerly = True
    with pytest.raises(ValueError, match="runs as a graph"):
        fit(model)


@pytest.mark.slow
def test_integers_are_multiplied():
    """The one-hot rows of a lookup are integers, and reach a layer as such."""
    names = np.array([["a"], ["b"], ["c"]] * 4)
    y = np.array([[1.0], [2.0], [4.0]] * 4)
    lookup = layers.StringLookup(vocabulary=["a", "b", "c"], output_mode="one_hot")
    for solver in ("cholesky", "dual"):
        net = keras.Sequential([keras.Input((1,), dtype="string"), lookup, layers.Dense(1)])
        history = compiled(net, solver=solver).fit(tf.constant(names), y, epochs=20, verbose=0)
        assert history.history["loss"][-1] < 1e-9


@pytest.mark.slow
def test_weights_that_the_first_call_makes():
    glorot = keras.initializers.GlorotUniform(1)
    inside = network(layers.Dense(4, layers.PReLU("ones"), kernel_initializer=glorot))
    apart = network(layers.Dense(4, kernel_initializer=glorot), layers.PReLU("ones"))
    expected = fit(compiled(apart), epochs=4)["loss"]
    np.testing.assert_allclose(fit(compiled(inside), epochs=4)["loss"], expected, rtol=1e-5)
    assert len(inside.trainable_variables) == 5


def test_refusals():
    with pytest.raises(ValueError, match="`loss` must be smooth"):
        compiled(network(), loss="mae")
    with pytest.raises(ValueError, match="`loss` must be reduced to one number"):
        compiled(network(), loss=keras.losses.MeanSquaredError(reduction=None))
    with pytest.raises(ValueError, match="at least one trainable weight"):
        compiled(keras.Sequential([keras.Input((3,)), layers.Flatten()]))
    with pytest.raises(ValueError, match="`model` must be a built Keras model"):
        LeastSquares("network")
    model = LeastSquares(network())
    with pytest.raises(ValueError, match="`jit_compile`"):
        model.compile(LevenbergMarquardt(), jit_compile="yes")
    with pytest.raises(ValueError, match="run_eagerly"):
        model.compile(LevenbergMarquardt(), **{"run_eagerly": True})
    with pytest.raises(ValueError, match=r"`polish` needs float64 weights.*polish=True"):
        fit(compiled(network(), polish=True))
    inputs = keras.Input((3,))
    h = layers.Dense(2)(inputs)
    both = keras.Model(inputs, [h, keras.ops.argmax(h, axis=-1)])
    with pytest.raises(ValueError, match=r"floating numbers.*'int32'"):
        fit(compiled(both, loss=["mse", None]), y=[X[:, :2], Y])
    with pytest.raises(ValueError, match=r"`loss` must be one for all outputs.*for 2 outputs"):
        fit(compiled(two_by_two(), loss=["mse"]), x=[X[:, :2], Y], y=[Y, X[:, :2]])
    plain = network()
    plain.compile(LevenbergMarquardt(), loss="mse")
    with pytest.raises(ValueError, match=r"kerazoo\.models\.LeastSquares\(model\)"):
        plain.fit(X, Y, verbose=0)


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("damping_rule", "delayed"),
        ("scaling", "none"),
        ("solver", "lu"),
        ("initial_damping", 0),
        ("max_attempts", 0),
        ("polish", "yes"),
        ("geodesic_acceleration", "yes"),
        ("ftol", -1.0),
        ("xtol", "small"),
        ("jacobian_rows", 1.5),
    ],
)
def test_arguments_are_checked(argument, value):
    with pytest.raises(ValueError, match=rf"`{argument}` .*Received: {argument}={value!r}"):
        LevenbergMarquardt(**{argument: value})


def test_fit_has_the_arguments_of_keras():
    ours, theirs = (inspect.signature(f.fit).parameters for f in (LeastSquares, keras.Model))
    assert {n: p.default for n, p in ours.items()} == {n: p.default for n, p in theirs.items()}


def test_package_exports():
    assert kerazoo.models.LeastSquares is LeastSquares
