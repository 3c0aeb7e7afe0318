"""g and J^T H J of whole models, against differences of the Keras loss and of the network."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerazoo
from kerazoo.optimizers.levenberg_marquardt.linear_solvers import QR, Cholesky
from kerazoo.optimizers.levenberg_marquardt.objective import Objective

layers = keras.layers
RNG = np.random.default_rng(5)
BATCH = 6


def regression():
    l2 = keras.regularizers.L2(0.03)
    return keras.Sequential(
        [
            keras.Input((3,)),
            layers.Dense(4, "tanh", kernel_regularizer=l2),
            layers.Dense(2, bias_regularizer=keras.regularizers.L2(0.1)),
        ]
    )


def lasso():
    l1 = keras.regularizers.L1L2(0.02, 0.03)
    return keras.Sequential(
        [keras.Input((3,)), layers.Dense(3, "tanh", kernel_regularizer=l1), layers.Dense(2)]
    )


def frozen():
    model = regression()
    model.layers[0].trainable = False
    return model


def masked():
    return keras.Sequential(
        [
            keras.Input((4, 2)),
            layers.Masking(),
            layers.SimpleRNN(3, return_sequences=True),
            layers.Dense(3),
        ]
    )


def two_by_two():
    a, b = keras.Input((2,), name="a"), keras.Input((3,), name="b")
    h = layers.Dense(3, "tanh")(layers.Concatenate()([a, b]))
    outputs = {"mean": layers.Dense(2)(h), "kind": layers.Dense(3)(h)}
    return keras.Model({"a": a, "b": b}, outputs)


def real(*shape):
    return RNG.normal(size=shape)


def kinds(*shape):
    return RNG.integers(0, 3, shape)


def late_start():
    x = real(BATCH, 4, 2)
    x[:3, :2] = 0
    return x


def sparse():
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


CASES = {
    "mse": (regression, lambda: real(BATCH, 3), lambda: real(BATCH, 2), lambda: "mse", None),
    "huber": (regression, lambda: real(BATCH, 3), lambda: real(BATCH, 2), lambda: "huber", None),
    "l1": (lasso, lambda: real(BATCH, 3), lambda: real(BATCH, 2), lambda: "log_cosh", None),
    "frozen": (frozen, lambda: real(BATCH, 3), lambda: real(BATCH, 2), lambda: "mse", None),
    "masked": (masked, late_start, lambda: real(BATCH, 4, 3), lambda: "mse", None),
    "masked classes": (masked, late_start, lambda: kinds(BATCH, 4), sparse, None),
    "two outputs": (
        two_by_two,
        lambda: {"a": real(BATCH, 2), "b": real(BATCH, 3)},
        lambda: {"mean": real(BATCH, 2), "kind": kinds(BATCH)},
        lambda: {"kind": sparse(), "mean": "mse"},
        {"mean": 0.3, "kind": 2.0},
    ),
}


def pieces(name, jacobian_rows, weight):
    make_network, make_x, make_y, make_loss, loss_weights = CASES[name]
    keras.utils.set_random_seed(1)
    network = make_network()
    model = kerazoo.models.LeastSquares(network)
    model.compile(loss=make_loss(), loss_weights=loss_weights)
    x, y = make_x(), make_y()
    if weight is not None and isinstance(y, dict):
        weight = dict.fromkeys(y, weight)

    def keras_loss(outputs):
        return model.compute_loss(x, y, outputs, weight, training=False)

    optimizer = model.optimizer

    def objective():
        tensors = keras.tree.map_structure(tf.constant, x)
        made = Objective(network, optimizer.weights, keras_loss, model._curvature_forms, tensors)
        made.divide(jacobian_rows)
        return made

    return objective, optimizer.weights, network, x, keras_loss


def near(w, objective, solver):
    @tf.function
    def run(w):
        linearization = solver.linearize(objective(), w)
        return linearization.gradient, linearization.system, linearization.outputs

    return run(w)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_linearization_is_the_dense_one(name, weighted, float64):
    steps = (4,) if name.startswith("masked") else ()
    weight = RNG.uniform(0, 2, (BATCH, *steps)) if weighted else None
    objective, weights, network, x, keras_loss = pieces(name, 10**6, weight)
    w = weights.vector().numpy()
    step = 1e-5

    def total(w):
        weights.assign(tf.constant(w))
        return float(keras_loss(network(x, training=False)))

    def outputs(w):
        weights.assign(tf.constant(w))
        flat = keras.tree.flatten(network(x, training=False))
        return np.concatenate([np.reshape(z, [BATCH, -1]) for z in flat], axis=1)

    def along(f, w):
        return np.stack(
            [(f(w + step * e) - f(w - step * e)) / (2 * step) for e in np.eye(weights.size)], -1
        )

    g, J = along(total, w), along(outputs, w)
    weights.assign(tf.constant(w))
    found = {}
    for solver in (Cholesky(False), QR(False)):
        gradient, system, _ = near(tf.constant(w), objective, solver)
        np.testing.assert_allclose(gradient, g, atol=1e-8)
        found[solver] = system
    A = found.popitem()[1]
    A = A[:, :-1].numpy().T @ A[:, :-1].numpy()
    np.testing.assert_allclose(A, found.popitem()[1][:-1, :-1], atol=1e-12)
    np.testing.assert_allclose(A, gauss_newton(J, network, x, keras_loss, weights), atol=1e-7)


def gauss_newton(J, network, x, keras_loss, weights):
    """J^T H J with H by automatic differentiation of the Keras loss, plus the regularizers."""
    z = network(x, training=False)
    flat = keras.tree.flatten(z)
    with tf.GradientTape(persistent=True) as outer:
        outer.watch(flat)
        with tf.GradientTape() as inner:
            inner.watch(flat)
            value = keras_loss(z)
        gradients = inner.gradient(value, flat)
    A, first = 0, 0
    for output, gradient in zip(flat, gradients, strict=True):
        size = int(np.prod(output.shape[1:]))
        H = outer.jacobian(gradient, output, experimental_use_pfor=False).numpy()
        rows = J[:, first : first + size].reshape(BATCH * size, -1)
        A = A + rows.T @ H.reshape(BATCH * size, -1) @ rows
        first += size
    diagonal = []
    for variable in weights.variables:
        l2 = getattr(variable.regularizer, "l2", 0.0)
        diagonal.append(np.full(int(np.prod(variable.shape)), 2 * float(l2)))
    return A + np.diag(np.concatenate(diagonal))


@pytest.mark.parametrize(("name", "rows"), [("mse", 1), ("mse", 7), ("two outputs", 7)])
def test_chunks_add_up(name, rows, float64):
    weight = None if name.startswith("masked") else RNG.uniform(0, 2, BATCH)
    # The data are drawn anew for each, from the same state.
    state = RNG.bit_generator.state
    whole, weights, *_ = pieces(name, 10**6, weight)
    RNG.bit_generator.state = state
    chunked, *_ = pieces(name, rows, weight)
    w = weights.vector()
    for solver in (Cholesky(True), QR(True)):
        g, A, z = near(w, whole, solver)
        g_chunked, B, z_chunked = near(w, chunked, solver)
        np.testing.assert_allclose(g_chunked, g, atol=1e-14)
        for one, other in zip(z, z_chunked, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-14)
        A, B = A.numpy(), B.numpy()
        np.testing.assert_allclose(A.T @ A, B.T @ B, atol=1e-13)


def test_losses_inside_the_network_are_refused():
    network = keras.Sequential([keras.Input((2,)), layers.Dense(1, activity_regularizer="l2")])
    model = kerazoo.models.LeastSquares(network)
    model.compile()
    with pytest.raises(ValueError, match="make the quantity an output"):
        model.fit(np.ones((3, 2)), np.ones((3, 1)), verbose=0)
