import keras
import numpy as np
import pytest

from kerazoo.models import LeastSquares
from kerazoo.optimizers import LevenbergMarquardt
from kerazoo.optimizers.levenberg_marquardt import solver_choice
from kerazoo.optimizers.levenberg_marquardt.solver_choice import Problem, choose

GIB = 2**30


def problem(rows, weights, **arguments):
    """A dense network of about that many weights: inner products cost inputs + outputs."""
    cost = int(4 * weights**0.5)
    arguments = {"floats_per_row": cost, "groups": 1, "double": False} | arguments
    return Problem(rows, weights, cost, **arguments)


@pytest.mark.parametrize(
    ("rows", "weights", "double", "chosen"),
    [
        (1000, 61, False, "cholesky"),
        (1000, 61, True, "qr"),
        (20, 61, False, "cholesky"),
        (8000, 911, False, "cholesky"),
        (4000, 3151, False, "cholesky"),
        (1280, 670_000, False, "dual"),
        (2000, 12_800_000, False, "dual"),
        (60_000, 10_000, False, "cholesky"),
        (200_000, 1_000_000, False, "cg"),
        (1000, 100_000_000, False, "dual"),
    ],
)
def test_auto(rows, weights, double, chosen):
    choice = choose("auto", "auto", problem(rows, weights, double=double), free_bytes=20 * GIB)
    assert choice.solver == chosen
    assert f"{rows} residuals, {weights} weights" in choice.reason


def test_constraints_need_weight_space():
    wanted = problem(100, 5000, weight_space=True)
    assert choose("auto", "auto", wanted, 20 * GIB).solver == "cholesky"
    assert choose("auto", "auto", problem(100, 5000), 20 * GIB).solver == "dual"
    momentum = problem(9000, 600, residual_space=True)
    assert choose("auto", "auto", momentum, 20 * GIB).solver == "dual"


def test_rows_at_a_time_follow_the_free_memory():
    def rows(free):
        return choose("cholesky", "auto", problem(10**6, 1000), free).rows_at_a_time

    # A quarter of three quarters of what is free, in float32, for J and what the layers keep.
    assert rows(GIB) == int(GIB * 0.75 * 0.25) // (4 * (1000 + 126))
    assert rows(GIB) > rows(GIB // 4)
    assert rows(100 * GIB) == 2**28 // (4 * 1126)
    assert choose("cholesky", 7, problem(10**6, 1000), GIB).rows_at_a_time == 7


def test_auto_takes_fewer_multiplications():
    # Of "cholesky" 2000 * 3000^2 / 2 + 3000^3 / 3 = 18e9; of "dual" 4e6 c + 2.7e9.
    for cost, solver in ((3600, "dual"), (5000, "cholesky")):
        wanted = Problem(2000, 3000, cost, floats_per_row=cost, groups=1, double=False)
        assert choose("auto", "auto", wanted, 20 * GIB).solver == solver


@pytest.mark.parametrize("rows_held", [1, 10**6])
@pytest.mark.parametrize(
    ("solver", "numbers", "floats_per_row", "groups"),
    [
        ("cholesky", 4 * 3000**2, 3100, 1),
        ("qr", 6 * 3000**2, 3100, 1),
        ("dual", 5 * 2000**2 + 10 * 3000, 100, 1),
        ("dual", 7 * 2000**2 + 10 * 3000, 100, 3),
        ("cg", 1024 * 2000 + 14 * 3000, 100, 1),
    ],
)
@pytest.mark.parametrize("double", [False, True])
def test_memory_is_counted_as_documented(
    solver, numbers, floats_per_row, groups, rows_held, double
):
    wanted = problem(2000, 3000, floats_per_row=100, groups=groups, double=double)
    # Two chunks are held, but never more rows than there are.
    held = numbers + min(2 * rows_held, 2000) * floats_per_row
    free = (8 if double else 4) * held / 0.75
    assert choose(solver, rows_held, wanted, 1.001 * free).solver == solver
    with pytest.raises(ValueError, match="more memory than three quarters"):
        choose(solver, rows_held, wanted, 0.999 * free)


@pytest.mark.parametrize(
    ("rows", "weights", "arguments"),
    [
        (1000, 61, {}),
        (1000, 61, {"double": True}),
        (100, 40_000, {}),
        (200_000, 1_000_000, {}),
        (100, 4000, {"residual_space": True}),
    ],
)
def test_several_devices_choose_as_one(rows, weights, arguments):
    one, four = (
        choose("auto", "auto", problem(rows, weights, replicas=n, **arguments), 20 * GIB)
        for n in (1, 4)
    )
    assert four.solver == one.solver
    assert "4 devices share the residuals" in four.reason


@pytest.mark.parametrize(
    ("solver", "numbers", "held"),
    [
        ("cholesky", 4 * 3000**2, 2 * 500),
        ("dual", 5 * 2000**2 + 10 * 3000, 2 * 500 + 2000),  # all rows, besides the shares
        ("cg", 1024 * 2000 + 14 * 3000, 2 * 500),
    ],
)
def test_memory_of_a_process_with_two_of_four_devices(solver, numbers, held):
    wanted = problem(2000, 3000, floats_per_row=100, replicas=4, devices=2)
    of_row = 3100 if solver == "cholesky" else 100
    free = 4 * (numbers + held * of_row) / 0.75
    assert choose(solver, 10**6, wanted, 1.001 * free).solver == solver
    with pytest.raises(ValueError, match="more memory than three quarters"):
        choose(solver, 10**6, wanted, 0.999 * free)


@pytest.mark.parametrize("solver", ["auto", "cholesky", "qr", "dual", "cg"])
def test_too_large_for_the_memory(solver):
    with pytest.raises(ValueError, match=r"more memory .* Received: solver=.*10000000 weights"):
        choose(solver, "auto", problem(10**6, 10**7), free_bytes=2**28)


def test_nothing_is_allocated_before_the_error(monkeypatch):
    """A network whose J^T J would take 3.6 TiB."""
    network = keras.Sequential([keras.Input((999,)), keras.layers.Dense(1000)])
    model = LeastSquares(network)
    model.compile(LevenbergMarquardt(solver="cholesky"))
    before = network.get_weights()
    with pytest.raises(ValueError, match="another solver"):
        model.fit(np.ones((2, 999)), np.ones((2, 1000)), verbose=0)
    np.testing.assert_array_equal(network.get_weights()[0], before[0])


def test_constraints_keep_the_norm_of_each_column(monkeypatch):
    """However many weights there are, if the memory is there."""
    monkeypatch.setattr(solver_choice, "MAX_WEIGHTS_TO_FACTOR", 5)
    dense = keras.layers.Dense(3, kernel_constraint="non_neg")
    model = LeastSquares(keras.Sequential([keras.Input((2,)), dense]))
    model.compile(LevenbergMarquardt())
    x = np.random.default_rng(0).normal(size=(20, 2))
    history = model.fit(x, x @ np.ones((2, 3)) + 1, epochs=10, verbose=0).history
    assert history["loss"][-1] < 1e-8
    assert "cholesky" in model.optimizer.choice
    assert model.optimizer.column_norms.shape == (9,)
