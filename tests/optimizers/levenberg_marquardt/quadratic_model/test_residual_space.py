"""Steps in residual space against the dense normal equations in float64, and through `fit`."""

import itertools
from functools import partial

import keras
import numpy as np
import pytest
import tensorflow as tf
from least_squares_cases import BATCH, RNG, pieces
from speed import slow_but

from kerazoo.models import LeastSquares
from kerazoo.optimizers import LeastSquaresProblem, LevenbergMarquardt
from kerazoo.optimizers.levenberg_marquardt.linear_algebra import Cholesky
from kerazoo.optimizers.levenberg_marquardt.method.damping_rules import RULES, DampingState
from kerazoo.optimizers.levenberg_marquardt.quadratic_model import (
    IterativeSpace,
    ResidualSpace,
    WeightSpace,
)

layers = keras.layers


def dense_system(objective, w):
    """A and g of the whole loss, regularizers included; test_objective.py holds them to account."""

    @tf.function
    def run(w):
        space = WeightSpace(objective(), w, Cholesky(False))
        return space.system.A[0], space.gradient

    return [value.numpy() for value in run(w)]


@pytest.mark.parametrize(
    ("name", "rows"),
    slow_but(
        ("mse", 10**6),
        of=[
            *itertools.product(["mse", "huber", "l1", "frozen", "two outputs"], [10**6, 7]),
            ("masked", 10**6),
        ],
    ),
)
def test_steps_are_the_dense_ones(name, rows, float64):
    weight = None if name == "masked" else RNG.uniform(0, 2, BATCH)
    objective, weights, *_ = pieces(name, rows, weight)
    w = weights.vector()
    A, g = dense_system(objective, w)
    dampings = [1e-3, 3.0]

    @tf.function
    def run(w):
        space = ResidualSpace(objective(), w, scaled=True)
        model = space.model(space.norms)
        steps = []
        for damping in dampings:
            candidate, length, slope = model.solve(tf.constant(damping, w.dtype))
            steps.append(
                (model.direction(candidate), length, slope, model.predicted_reduction(candidate))
            )
        lengths = model.gradient_length(), model.length_of_weights()
        return space.norms, space.gradient, lengths, steps

    norms, gradient, lengths, steps = run(w)
    starts = np.cumsum([0, *weights.sizes[:-1]])
    D = np.sqrt(np.add.reduceat(np.diag(A), starts) / weights.sizes)
    np.testing.assert_allclose(norms, D, rtol=1e-10)
    D = np.repeat(D, weights.sizes)
    np.testing.assert_allclose(gradient, g, rtol=1e-9, atol=1e-12)
    expected = np.linalg.norm(g / D), np.linalg.norm(D * w.numpy())
    np.testing.assert_allclose(lengths, expected, rtol=1e-9)
    for damping, (step, length, slope, predicted) in zip(dampings, steps, strict=True):
        s = -np.linalg.solve(A + damping * np.diag(D**2), g)
        np.testing.assert_allclose(step, s, rtol=1e-8, atol=1e-9 * np.abs(s).max())
        np.testing.assert_allclose(length, np.linalg.norm(D * s), rtol=1e-9)
        scaled = A / np.outer(D, D) + damping * np.eye(len(g))
        expected = (D * s) @ np.linalg.solve(scaled, D * s)
        np.testing.assert_allclose(slope, expected, rtol=1e-7)
        along_g = g @ s
        np.testing.assert_allclose(predicted, (along_g, -along_g - s @ A @ s / 2), rtol=1e-8)


def classifier(units=6):
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [keras.Input((5,)), layers.Dense(units, "tanh"), layers.Dense(3, name="logits")]
    )


@pytest.mark.parametrize(
    "loss", slow_but("sparse", of=["sparse", "binary", "mse", "huber", "poisson"])
)
def test_first_step_through_fit_is_the_dense_one(loss, float64):
    """scaling="identity", so that "cholesky" solves the very same system."""
    rng = np.random.default_rng(2)
    x = rng.normal(size=(8, 5))
    y = {
        "sparse": rng.integers(0, 3, 8),
        "binary": rng.integers(0, 2, (8, 3)),
        "poisson": rng.integers(0, 3, (8, 3)),
    }.get(loss, 3 * rng.normal(size=(8, 3)))
    losses = {
        "sparse": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        "binary": keras.losses.BinaryCrossentropy(from_logits=True),
    }
    stepped = {}
    for solver in ("cholesky", "dual"):
        network = classifier()
        if loss == "poisson":
            positive = layers.Activation("exponential")
            network = keras.Sequential([keras.Input((5,)), network, positive])
        model = LeastSquares(network)
        optimizer = LevenbergMarquardt(
            "nielsen", initial_damping=0.05, scaling="identity", solver=solver
        )
        model.compile(optimizer, loss=losses.get(loss, loss))
        history = model.fit(x, y, epochs=1, verbose=0).history
        stepped[solver] = optimizer.weights.vector().numpy(), history
    w, history = stepped["dual"]
    expected, history_of_dense = stepped["cholesky"]
    np.testing.assert_allclose(w, expected, rtol=1e-9, atol=1e-10)
    for name in ("attempts", "loss", "gain_ratio", "gradient_norm", "step_norm", "damping"):
        np.testing.assert_allclose(history[name], history_of_dense[name], rtol=1e-7)


@pytest.mark.slow
@pytest.mark.parametrize("rows", ["auto", 6])
@pytest.mark.parametrize("penalized", [False, True])
def test_conjugate_gradients_reach_the_dense_step(penalized, rows, float64):
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(9, 5)), 3 * rng.normal(size=(9, 3))
    stepped = {}
    for solver in ("cholesky", "cg"):
        network = classifier(40)
        if penalized:
            network.layers[0].kernel.regularizer = keras.regularizers.L2(0.01)
        optimizer = LevenbergMarquardt(
            "nielsen",
            initial_damping=0.05,
            scaling="identity",
            solver=solver,
            cg_tolerance=1e-13,
            jacobian_rows=rows,
        )
        model = LeastSquares(network)
        model.compile(optimizer)
        history = model.fit(x, y, epochs=1, verbose=0).history
        assert (history["cg_iterations"][0] > 0) == (solver == "cg")
        stepped[solver] = optimizer.weights.vector().numpy(), history
    w, history = stepped["cg"]
    np.testing.assert_allclose(w, stepped["cholesky"][0], rtol=1e-8, atol=1e-9)
    for name in ("attempts", "loss", "gain_ratio"):
        np.testing.assert_allclose(history[name], stepped["cholesky"][1][name], rtol=1e-7)


@pytest.mark.slow
def test_a_looser_tolerance_takes_fewer_iterations():
    rng = np.random.default_rng(2)
    x = rng.normal(size=(900, 5)).astype("float32")
    y = np.sin(3 * x[:, :3])
    counts = []
    for tolerance in (1e-5, 1e-1):
        model = LeastSquares(classifier(300))
        arguments = {"initial_damping": 1e-2, "solver": "cg", "cg_tolerance": tolerance}
        model.compile(LevenbergMarquardt("nielsen", **arguments))
        counts.append(model.fit(x, y, epochs=1, verbose=0).history["cg_iterations"][0])
    assert 0 < counts[1] < counts[0] / 2


def with_momentum(momentum, solver):
    """A fresh network, its optimizer and its compiled model."""
    network = classifier(20)
    optimizer = LevenbergMarquardt(
        "nielsen",
        initial_damping=0.5,
        scaling="identity",
        solver=solver,
        momentum=momentum,
        cg_tolerance=1e-13,
    )
    model = LeastSquares(network)
    model.compile(optimizer)
    return network, optimizer, model


@pytest.mark.parametrize("solver", slow_but("dual", of=["dual", "cg"]))
def test_momentum_is_kept_by_the_damping(solver, float64):
    """`s = argmin |J s + r|^2 + damping |s - v|^2` for v a part of the last step."""
    rng = np.random.default_rng(2)
    x = rng.normal(size=(2, 6, 5))
    y = x @ rng.normal(size=(5, 3))
    network, optimizer, model = with_momentum(0.4, solver)
    vector = optimizer.weights.vector
    start = vector().numpy()
    model.fit(x[0], y[0], epochs=1, verbose=0)
    before, damping = vector().numpy(), float(optimizer.damping.value)
    problem = LeastSquaresProblem(network, x[1], y[1])
    J, r = problem.flat_jacobian(before), problem.flat_residuals(before)
    history = model.fit(x[1], y[1], epochs=1, verbose=0).history
    assert history["attempts"] == [1]
    v = 0.4 * (before - start)
    # F is the sum of squares, so that its curvature is 2 J^T J.
    A = 2 * J.T @ J + damping * np.eye(len(v))
    s = v - np.linalg.solve(A, 2 * J.T @ (r + J @ v))
    np.testing.assert_allclose(vector().numpy() - before, s, rtol=1e-7, atol=1e-10)
    predicted = -(2 * (J.T @ r) @ s + np.sum((J @ s) ** 2))
    gained = np.sum(r**2) - np.sum(problem.flat_residuals(vector().numpy()) ** 2)
    np.testing.assert_allclose(history["gain_ratio"], gained / predicted, rtol=1e-7)


@pytest.mark.slow
@pytest.mark.parametrize("solver", ["dual", "cg"])
def test_momentum_is_given_up_when_it_misleads(solver, float64):
    """The second attempt is the plain step with Nielsen's double damping."""
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(6, 5)), rng.normal(size=(6, 3))
    network, optimizer, model = with_momentum(0.9, solver)
    w = optimizer.weights.vector().numpy()
    optimizer.last_step.assign(10 * rng.normal(size=w.shape))
    problem = LeastSquaresProblem(network, x, y)
    J, r = problem.flat_jacobian(w), problem.flat_residuals(w)
    history = model.fit(x, y, epochs=1, verbose=0).history
    assert history["attempts"] == [2]
    s = -np.linalg.solve(2 * J.T @ J + np.eye(len(w)), 2 * J.T @ r)
    np.testing.assert_allclose(optimizer.weights.vector().numpy() - w, s, rtol=1e-7, atol=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize(
    "space_at",
    [ResidualSpace, partial(IterativeSpace, tolerance=1e-12, count=lambda _: None)],
)
def test_momentum_stays_in_the_trust_region(space_at, float64):
    """Also where the last step would lead to a larger gradient than the one here."""
    objective, weights, *_ = pieces("huber", 10**6, None)
    w, radius = weights.vector(), 0.01
    v = tf.constant(3 * RNG.normal(size=w.shape))

    @tf.function
    def run(w):
        space = space_at(objective(), w, scaled=True)
        model = space.model(space.norms, v)
        state = DampingState(*(tf.constant(value, w.dtype) for value in (0.0, 2.0, radius)))
        return RULES["trust_region"].propose(state, model)[1]

    np.testing.assert_allclose(run(w), radius, rtol=0.1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "rows"),
    [*itertools.product(["mse", "huber", "two outputs"], [10**6, 7])],
)
def test_acceleration_is_that_of_the_weights(name, rows, float64):
    objective, weights, *_ = pieces(name, rows, RNG.uniform(0, 2, BATCH))
    w = weights.vector()
    s = tf.constant(0.3 * RNG.normal(size=w.shape))
    norms = {True: tf.ones(len(weights.sizes), w.dtype), False: tf.ones_like(w)}
    spaces = [
        partial(WeightSpace, solver=Cholesky(False)),
        partial(ResidualSpace, scaled=True),
        partial(IterativeSpace, scaled=True, tolerance=1e-13, count=lambda _: None),
    ]

    @tf.function
    def run(w, s):
        found = []
        for space_at in spaces:
            space = space_at(objective(), w)
            model = space.model(norms[space.norms_by_variable])
            found.append(model.acceleration(s, tf.constant(0.1, w.dtype)))
        return found

    (expected, expected_length), *others = run(w, s)
    assert expected_length > 0
    for a, length in others:
        np.testing.assert_allclose(a, expected, rtol=1e-7, atol=1e-10)
        np.testing.assert_allclose(length, expected_length, rtol=1e-8)


def test_few_examples_of_many_outputs_are_fitted(float64):
    """More rows than one panel of the inner products takes, but fewer examples than panels."""
    network = keras.Sequential([keras.Input((4,)), layers.Dense(600)])
    model = LeastSquares(network)
    optimizer = LevenbergMarquardt(
        "nielsen", initial_damping=0.01, scaling="identity", solver="dual"
    )
    model.compile(optimizer)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(3, 4)), rng.normal(size=(3, 600))
    kernel = network.get_weights()[0]
    model.fit(x, y, epochs=1, verbose=0)
    # Each output has weights of its own: a ridge regression, with the mean over 1800 residuals.
    a = np.column_stack([x, np.ones(3)])
    A = 2 * a.T @ a / 1800 + 0.01 * np.eye(5)
    s = np.linalg.solve(A, 2 * a.T @ (y - x @ kernel) / 1800)
    np.testing.assert_allclose(network.get_weights()[0] - kernel, s[:4], rtol=1e-9, atol=1e-12)


@pytest.mark.slow
def test_conjugate_gradients_of_more_residuals_than_weights(float64):
    """The inner products of the sampled rows are singular; they precondition all the same."""
    rng = np.random.default_rng(0)
    network = keras.Sequential([keras.Input((5,)), layers.Dense(20, "tanh"), layers.Dense(1)])
    optimizer = LevenbergMarquardt("nielsen", 0.5, solver="cg", cg_tolerance=1e-13)
    model = LeastSquares(network)
    model.compile(optimizer)
    w = rng.normal(size=optimizer.weights.size)
    optimizer.weights.assign(tf.constant(w))
    x, y = rng.normal(size=(511, 5)), rng.normal(size=(511, 1))
    problem = LeastSquaresProblem(network, x, y)
    J, r = problem.flat_jacobian(w), problem.flat_residuals(w)
    history = model.fit(x, y, epochs=1, verbose=0).history
    assert history["attempts"] == [1]
    assert history["cg_iterations"][0] < 5
    A, starts = 2 * J.T @ J, np.cumsum([0, *optimizer.weights.sizes[:-1]])
    squares = np.add.reduceat(np.diag(A), starts) / optimizer.weights.sizes
    damped = A + 0.5 * np.diag(np.repeat(squares, optimizer.weights.sizes))
    s = -np.linalg.solve(damped, 2 * J.T @ r)
    np.testing.assert_allclose(optimizer.weights.vector().numpy() - w, s, rtol=1e-9)


def test_residuals_that_repeat_are_damped_beyond_rounding(float64):
    """Many times more residuals than weights: a singular matrix of inner products."""
    rng = np.random.default_rng(0)
    x, y = np.repeat(rng.normal(size=(15, 2)), 4, axis=0), rng.normal(size=(60, 1))
    network = keras.Sequential([keras.Input((2,)), layers.Dense(1)])
    model = LeastSquares(network)
    model.compile(LevenbergMarquardt("nielsen", 1e-30, solver="dual"))
    history = model.fit(x, y, epochs=1, verbose=0).history
    assert history["attempts"] == [1]
    residual = np.linalg.lstsq(np.column_stack([x, np.ones(60)]), y, rcond=None)[1]
    np.testing.assert_allclose(history["loss"], residual / 60, rtol=0.05)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"momentum": 1.0}, "`momentum` must be a finite number of at least 0 and below 1"),
        ({"momentum": 0.5, "solver": "qr"}, "`momentum` needs solver 'dual' or 'cg'"),
        ({"geodesic_acceleration": True, "momentum": 0.5}, "without geodesic acceleration"),
        ({"cg_tolerance": 0.0}, "`cg_tolerance` must be"),
    ],
)
def test_what_does_not_go_together_is_refused(arguments, message):
    with pytest.raises(ValueError, match=f"{message}.* Received: "):
        LevenbergMarquardt(**arguments)


@pytest.mark.parametrize(("name", "value"), [("regularizer", "l2"), ("constraint", "non_neg")])
def test_momentum_with_a_penalty_or_a_constraint_is_refused(name, value):
    dense = layers.Dense(3, **{f"kernel_{name}": value})
    network = keras.Sequential([keras.Input((2,)), dense])
    with pytest.raises(ValueError, match=rf"{name}s\. Received: momentum=0\.5"):
        LeastSquares(network).compile(LevenbergMarquardt(momentum=0.5))


@pytest.mark.slow
def test_float32_step_agrees_with_float64():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 5)), rng.normal(size=(40, 3))
    arguments = {"initial_damping": 0.1, "scaling": "identity"}
    network = classifier(80)
    start = network.get_weights()
    model = LeastSquares(network)
    model.compile(LevenbergMarquardt("nielsen", solver="dual", **arguments))
    model.fit(x.astype("float32"), y.astype("float32"), epochs=1, verbose=0)
    single = np.concatenate(
        [(a - b).ravel() for a, b in zip(network.get_weights(), start, strict=True)]
    )
    keras.config.set_floatx("float64")
    try:
        network = classifier(80)
        network.set_weights(start)
        model = LeastSquares(network)
        model.compile(LevenbergMarquardt("nielsen", solver="cholesky", **arguments))
        model.fit(x, y, epochs=1, verbose=0)
    finally:
        keras.config.set_floatx("float32")
    double = np.concatenate(
        [(a - b).ravel() for a, b in zip(network.get_weights(), start, strict=True)]
    )
    assert np.linalg.norm(single - double) < 1e-4 * np.linalg.norm(double)


def test_more_weights_than_residuals_are_fitted_exactly(float64):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(30, 5)), rng.normal(size=(30, 3))
    model = LeastSquares(classifier(300))
    model.compile(LevenbergMarquardt(solver="dual"))
    history = model.fit(x, y, epochs=60, verbose=0).history
    assert history["loss"][-1] < 1e-20
    assert "dual" in model.optimizer.choice


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["trust_region", "nielsen", "marquardt"])
def test_batches_of_any_size_descend(rule):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(70, 5)).astype("float32")
    y = x[:, :3].argmax(axis=1)
    model = LeastSquares(classifier(200))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(LevenbergMarquardt(rule, solver="dual"), loss=loss, metrics=["accuracy"])
    history = model.fit(x, y, batch_size=32, epochs=8, verbose=0).history  # 32, 32, 6
    assert history["accuracy"][-1] > 0.9


def test_constraints_are_refused():
    network = keras.Sequential([keras.Input((2,)), layers.Dense(3, kernel_constraint="non_neg")])
    model = LeastSquares(network)
    model.compile(LevenbergMarquardt(solver="dual"))
    with pytest.raises(
        ValueError, match=r"`solver` 'dual' cannot keep weights .* Received: solver='dual'"
    ):
        model.fit(np.ones((2, 2)), np.ones((2, 3)), verbose=0)


@pytest.mark.slow
def test_labels_of_a_known_batch_are_fitted_in_chunks(float64):
    """The loss of labels knows the shape of its gradient, where chunks leave that of K open."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(12, 3)), rng.integers(0, 3, 12)
    found = []
    for rows in (36, 12):
        keras.utils.set_random_seed(1)
        model = LeastSquares(keras.Sequential([keras.Input((3,)), layers.Dense(3)]))
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        optimizer = LevenbergMarquardt(initial_damping=0.1, solver="dual", jacobian_rows=rows)
        model.compile(optimizer, loss=loss)
        model.fit(x, y, batch_size=12, shuffle=False, verbose=0)
        found.append(model.get_weights()[0])
    np.testing.assert_allclose(found[1], found[0], rtol=1e-9)
