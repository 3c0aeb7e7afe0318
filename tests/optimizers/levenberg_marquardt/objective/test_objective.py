"""g and J^T H J of whole models, against differences of the Keras loss and of the network."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from least_squares_cases import BATCH, CASES, RNG, pieces
from speed import slow_but

import kerazoo
from kerazoo.optimizers.levenberg_marquardt.linear_algebra import QR, Cholesky
from kerazoo.optimizers.levenberg_marquardt.quadratic_model import WeightSpace


def near(w, objective, solver):
    @tf.function
    def run(w):
        space = WeightSpace(objective(), w, solver)
        return space.gradient, space.system, space.linearization.outputs

    return run(w)


@pytest.mark.parametrize("weighted", slow_but(True, of=[False, True]))
@pytest.mark.parametrize("name", slow_but("mse", "masked classes", of=CASES))
def test_linearization_is_the_dense_one(name, weighted, float64):
    steps = (4,) if name.startswith("masked") else ()
    weight = RNG.uniform(0, 2, (BATCH, *steps)) if weighted else None
    objective, weights, network, x, keras_loss = pieces(name, 10**6, weight)
    w = weights.vector().numpy()
    step = 1e-5

    def loss_and_outputs(w):
        weights.assign(tf.constant(w))
        z = network(x, training=False)
        flat = [np.reshape(output, [BATCH, -1]) for output in keras.tree.flatten(z)]
        return np.append(float(keras_loss(z)), np.concatenate(flat, axis=1))

    differences = [
        (loss_and_outputs(w + step * e) - loss_and_outputs(w - step * e)) / (2 * step)
        for e in np.eye(weights.size)
    ]
    differences = np.stack(differences, -1)
    g, J = differences[0], differences[1:].reshape(BATCH, -1, weights.size)
    weights.assign(tf.constant(w))
    found = {}
    for solver in (Cholesky(False), QR(False)):
        gradient, system, _ = near(tf.constant(w), objective, solver)
        np.testing.assert_allclose(gradient, g, atol=1e-8)
        found[solver] = system
    A = found.popitem()[1]
    A = A[:, :-1].numpy().T @ A[:, :-1].numpy()
    np.testing.assert_allclose(A, found.popitem()[1].A[0], atol=1e-12)
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


@pytest.mark.parametrize(
    ("name", "rows"), slow_but(("two outputs", 7), of=[("mse", 1), ("mse", 7), ("two outputs", 7)])
)
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
        if isinstance(solver, QR):
            A, B = (tf.matmul(T, T, transpose_a=True) for T in (A, B))
        tf.nest.map_structure(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-13), A, B)


def test_losses_inside_the_network_are_refused():
    network = keras.Sequential(
        [keras.Input((2,)), keras.layers.Dense(1, activity_regularizer="l2")]
    )
    model = kerazoo.models.LeastSquares(network)
    model.compile()
    with pytest.raises(ValueError, match="make the quantity an output"):
        model.fit(np.ones((3, 2)), np.ones((3, 1)), verbose=0)
