import numpy as np
import pytest
import tensorflow as tf

from kerazoo.optimizers.levenberg_marquardt.linear_algebra import QR, Cholesky

RNG = np.random.default_rng(0)
J = RNG.normal(size=(40, 6))
R = RNG.normal(size=40)


def solvers(quadratic=True):
    return [Cholesky(quadratic), QR(quadratic)]


def fold(solver, chunks):
    @tf.function
    def run():
        system = solver.empty(J.shape[1], tf.float64)
        for rows in np.array_split(np.arange(len(J)), chunks):
            of_chunk = solver.of_rows(tf.constant(J[rows].T), tf.constant(R[rows]))
            system = solver.joined([system, of_chunk])
        return system

    return run()


@pytest.mark.parametrize("chunks", [1, 3, 40])
@pytest.mark.parametrize("solver", solvers() + solvers(False))
@pytest.mark.parametrize("damping", [0.0, 1e-3, 10.0])
def test_step_is_numpys(solver, chunks, damping):
    system, g = fold(solver, chunks), J.T @ R
    np.testing.assert_allclose(solver.column_norms(system, tf.float64), np.linalg.norm(J, axis=0))
    system = solver.scaled(system, tf.ones(6, tf.float64))
    A = J.T @ J + damping * np.eye(6)
    s, slope = solver.step(system, tf.constant(g), tf.constant(damping, tf.float64))
    expected = -np.linalg.solve(A, g)
    np.testing.assert_allclose(s, expected, rtol=1e-11)
    np.testing.assert_allclose(slope, expected @ np.linalg.solve(A, expected), rtol=1e-11)
    b = RNG.normal(size=6)
    correction = solver.correction(system, tf.constant(b), tf.constant(damping, tf.float64))
    np.testing.assert_allclose(correction, -np.linalg.solve(A, b), rtol=1e-11)
    np.testing.assert_allclose(
        solver.quadratic(system, s), expected @ (J.T @ J) @ expected, rtol=1e-11
    )


@pytest.mark.parametrize("solver", solvers())
def test_scaling_the_columns_is_scaling_j(solver):
    D = tf.constant(RNG.uniform(0.1, 10, size=6))
    g = tf.constant(J.T @ R) / D
    damping = tf.constant(0.3, tf.float64)
    system = solver.scaled(fold(solver, 2), D)
    s, slope = solver.step(system, g, damping)
    scaled = J / D.numpy()
    A = scaled.T @ scaled + 0.3 * np.eye(6)
    expected = -np.linalg.solve(A, g)
    np.testing.assert_allclose(s, expected, rtol=1e-11)
    np.testing.assert_allclose(slope, expected @ np.linalg.solve(A, expected), rtol=1e-11)
    np.testing.assert_allclose(
        solver.quadratic(system, s), np.sum((scaled @ expected) ** 2), rtol=1e-11
    )


@pytest.mark.parametrize("solver", solvers())
def test_rows_on_the_diagonal(solver):
    d, r = RNG.uniform(0.1, 2, 6), RNG.normal(size=6)
    system = solver.add_diagonal(fold(solver, 2), tf.constant(d), tf.constant(r))
    rows, residuals = np.vstack([J, np.diag(d)]), np.append(R, r)
    g = rows.T @ residuals
    np.testing.assert_allclose(solver.gradient(system), g, rtol=1e-11)
    s, _ = solver.step(
        solver.scaled(system, tf.ones(6, tf.float64)), tf.constant(g), tf.constant(0.3, tf.float64)
    )
    np.testing.assert_allclose(s, -np.linalg.solve(rows.T @ rows + 0.3 * np.eye(6), g), rtol=1e-10)


@pytest.mark.parametrize("solver", solvers())
def test_held_weights_stay_and_the_others_do_not_notice(solver):
    D = RNG.uniform(0.1, 10, size=6)
    held = np.array([0, 1, 0, 0, 1, 0.0])
    free = held == 0
    g = (J.T @ R / D) * free
    system = solver.without(solver.scaled(fold(solver, 2), tf.constant(D)), tf.constant(held))
    s, _ = solver.step(system, tf.constant(g), tf.constant(0.3, tf.float64))
    others = (J / D)[:, free]
    expected = np.zeros(6)
    expected[free] = -np.linalg.solve(others.T @ others + 0.3 * np.eye(4), g[free])
    np.testing.assert_allclose(s, expected, rtol=1e-10, atol=1e-14)


def test_held_weights_in_another_unit_do_not_damp_the_others():
    unit = np.array([1, 1e-8, 1, 1, 1, 1])
    columns = J * unit
    D, held = np.linalg.norm(columns, axis=0), np.array([0, 1, 0, 0, 0, 0.0])
    solver, free = Cholesky(residual_form=True), held == 0
    system = solver.of_rows(tf.constant(columns.T), tf.constant(R))
    system = solver.without(solver.scaled(system, tf.constant(D)), tf.constant(held))
    s, _ = solver.step(system, tf.zeros(6, tf.float64), tf.zeros([], tf.float64))
    expected = np.linalg.lstsq(-J[:, free], R, rcond=None)[0]
    np.testing.assert_allclose((s / D).numpy()[free], expected, rtol=1e-10)


def test_singular_system_has_a_step_without_damping():
    """In units far from 1, with rank 3 of 9: as good as any, to half of the digits."""
    columns = 1e8 * np.tile(J[:, :3], 3)
    D = np.linalg.norm(columns, axis=0)
    solver = Cholesky(residual_form=True)
    system = solver.of_rows(tf.constant(columns.T), tf.constant(R))
    system = solver.scaled(system, tf.constant(D))
    s, _ = solver.step(system, tf.constant(columns.T @ R / D), tf.zeros([], tf.float64))
    expected = columns @ np.linalg.lstsq(-columns, R, rcond=None)[0]
    np.testing.assert_allclose(columns @ (s / D).numpy(), expected, atol=1e-8)


def test_qr_keeps_digits_that_the_normal_equations_lose():
    columns = np.vander(np.linspace(1, 2, 40), 9)
    truth = np.ones(9)
    r = columns @ -truth

    def error(solver):
        system = solver.of_rows(tf.constant(columns.T), tf.constant(r))
        system = solver.scaled(system, tf.ones(9, tf.float64))
        g = tf.constant(columns.T @ r)
        return np.abs(solver.step(system, g, tf.zeros([], tf.float64))[0] - truth).max()

    assert error(QR(residual_form=True)) < 1e-4 * error(Cholesky(residual_form=True))


def test_rank_of_a_triangle():
    qr = QR(residual_form=True)
    assert qr.is_full_rank(fold(qr, 2))
    twice = np.column_stack([J[:, :3], J[:, 2] * 7])
    system = qr.of_rows(tf.constant(twice.T), tf.constant(R))
    assert not qr.is_full_rank(system)


def test_float32_jacobian_keeps_its_digits_in_the_normal_equations():
    """Columns of condition 1e5: squared in float32, nothing would be left of A."""
    nearly = np.column_stack([J[:, 0], J[:, 0] + 1e-5 * J[:, 1]]).astype("float32")
    r = (nearly.astype("float64") @ [1.0, -2.0]).astype("float32")
    solver = Cholesky(residual_form=True)
    A = solver.of_rows(tf.constant(nearly.T), tf.constant(r))
    A = solver.scaled(A, tf.ones(2))
    g = tf.constant((nearly.astype("float64").T @ r).astype("float32"))
    np.testing.assert_allclose(solver.step(A, g, 0.0)[0], [-1, 2], rtol=1e-2)
    assert solver.step(A, g, 0.0)[0].dtype == tf.float32


@pytest.mark.parametrize("solver", solvers())
def test_nothing_moves_where_all_weights_are_held(solver):
    system = solver.scaled(fold(solver, 2), tf.constant(RNG.uniform(0.1, 10, size=6)))
    system = solver.without(system, tf.ones(6, tf.float64))
    s, _ = solver.step(system, tf.zeros(6, tf.float64), tf.zeros([], tf.float64))
    np.testing.assert_array_equal(s, np.zeros(6))
