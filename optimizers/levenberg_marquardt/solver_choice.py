"""Which solver a step takes with `solver="auto"`, and how much memory it may use.

For n residuals and p weights:

| solver     | multiplications                | numbers held, besides a chunk of rows |
|------------|--------------------------------|---------------------------------------|
| `cholesky` | n p^2 / 2 + p^3 / 3            | 4 p^2                                 |
| `qr`       | 2 n p^2 + 2 p^3                | 6 p^2                                 |
| `dual`     | n^2 c + n^3 / 3                | (4 + groups) n^2 + 10 p               |
| `cg`       | a few passes an iteration      | 1024 n + 14 p (twice 512 rows)        |

c is what the inner product of two rows of J costs over all layers (inputs + outputs of a dense
one); there is one group, or with an L2 penalty one for each variable. A row takes p numbers with
the first two, and what the layers keep of it with the others.

Of R replicas that share the rows, each takes n / R: so many rows at most are held by each device of
a process, with "dual" besides a chunk of all rows. What is counted above is in every process.

The bound on all that is three quarters of the memory that is free when a step is traced, a
container's own limit included; of several workers, that of the one which has least.
"""

from typing import NamedTuple

from .free_memory import free_memory

_SHARE_OF_FREE = 0.75
# Chunks of rows beyond this would be no faster.
_MAX_BYTES_OF_CHUNK = {"cholesky": 2**28, "qr": 2**28, "dual": 2**30, "cg": 2**30}
_SHARE_OF_CHUNK = 0.25
# Up to here QR costs little beside the Jacobian, and a step is too short for "dual" to pay.
_FEW_WEIGHTS = 500
# Above this many weights "auto" skips solvers that factor a (weights, weights) matrix.
MAX_WEIGHTS_TO_FACTOR = 30_000


class Problem(NamedTuple):
    """Sizes that the choice depends on."""

    rows: int  # n, as far as known
    weights: int  # p
    product_cost: int  # c
    floats_per_row: int  # that the layers keep
    groups: int
    double: bool  # precision
    weight_space: bool = False  # there are constraints
    residual_space: bool = False  # momentum is wanted
    replicas: int = 1  # that share the rows
    devices: int = 1  # of them, those of this process


class Choice(NamedTuple):
    solver: str
    rows_at_a_time: int
    reason: str


def choose(solver, jacobian_rows, problem, free_bytes=None):
    """The solver, the rows of J to hold at a time, and a sentence that says why.

    Args:
        solver: "auto" or a name.
        jacobian_rows: "auto" or a number.
        problem: The `Problem`.
        free_bytes: Of memory. Default: what this process can still take.

    Raises:
        ValueError: No solver, or not the one asked for, keeps the bound on memory, or it cannot
            do what is asked for.
    """
    bound = _SHARE_OF_FREE * (free_memory() if free_bytes is None else free_bytes)
    needs = {name: _bytes_needed(name, jacobian_rows, problem, bound) for name in _NUMBERS}
    possible = _possible(solver, problem)
    fitting = [name for name in possible if needs[name] <= bound]
    sizes = f"{problem.rows} residuals, {problem.weights} weights"
    if solver == "auto" and fitting:
        chosen, why = _preferred(problem, fitting)
    elif solver in fitting:
        chosen, why = solver, "as asked for"
    elif solver not in possible and solver != "auto":
        raise ValueError(
            f"`solver` {solver!r} cannot keep weights at the bounds of their constraints: use "
            f"'cholesky' or leave the constraints out. Received: solver={solver!r}"
        )
    else:
        least = min(possible, key=needs.get) if solver == "auto" else solver
        raise ValueError(
            "This step needs more memory than three quarters of what is free, "
            f"{_in_words(bound)}: {_in_words(needs[least])} with solver={least!r}. Use smaller "
            "batches, fewer weights, fewer `jacobian_rows` or another solver. "
            f"Received: solver={solver!r}, jacobian_rows={jacobian_rows!r}, {sizes}"
        )
    rows = _rows_at_a_time(chosen, jacobian_rows, problem, bound)
    reason = f"{chosen} ({why}): {sizes}, at most {_in_words(needs[chosen])}"
    if problem.replicas > 1:
        reason += f" in each process; {problem.replicas} devices share the residuals"
    return Choice(chosen, rows, reason)


def may_factor(solver, weights, weight_space, residual_space):
    """Whether a (weights, weights) matrix may be factored: then each column of J has its norm."""
    if weight_space or solver != "auto":
        return weight_space or solver in ("cholesky", "qr")
    return weights <= MAX_WEIGHTS_TO_FACTOR and not residual_space


def _possible(solver, problem):
    if problem.weight_space:
        return ["cholesky", "qr"]
    if solver != "auto" or may_factor(solver, problem.weights, False, problem.residual_space):
        return list(_NUMBERS)
    return ["dual", "cg"]


def _preferred(problem, fitting):
    if problem.double and problem.weights <= _FEW_WEIGHTS and "qr" in fitting:
        return "qr", "float64 and few weights"
    exact = [name for name in ("cholesky", "dual") if name in fitting]
    if not exact:
        return fitting[-1], "all others need more memory"
    fewer = problem.rows < problem.weights and problem.weights > _FEW_WEIGHTS
    if "cholesky" in exact and not (fewer and "dual" in exact):
        few = (
            "few weights" if problem.weights <= _FEW_WEIGHTS else "no fewer residuals than weights"
        )
        return "cholesky", few if "dual" in exact else "the other needs more memory"
    chosen = min(exact, key=lambda name: _OPERATIONS[name](problem))
    return chosen, "fewer multiplications"


_OPERATIONS = {
    "cholesky": lambda q: q.rows * q.weights**2 / 2 + q.weights**3 / 3,
    "dual": lambda q: q.rows**2 * q.product_cost + q.rows**3 / 3,
}
_NUMBERS = {
    "cholesky": lambda q: 4 * q.weights**2,
    "qr": lambda q: 6 * q.weights**2,
    "dual": lambda q: (4 + q.groups) * q.rows**2 + 10 * q.weights,
    "cg": lambda q: 1024 * q.rows + 14 * q.weights,
}


def _numbers_of_a_row(solver, problem):
    written_out = problem.weights if solver in ("cholesky", "qr") else 0
    return problem.floats_per_row + written_out


def _rows_at_a_time(solver, jacobian_rows, problem, bound):
    if jacobian_rows != "auto":
        return jacobian_rows
    of_chunk = min(_SHARE_OF_CHUNK * bound, _MAX_BYTES_OF_CHUNK[solver])
    of_row = _width(problem) * _numbers_of_a_row(solver, problem)
    return max(1, int(of_chunk // (problem.devices * of_row)))


def _bytes_needed(solver, jacobian_rows, problem, bound):
    rows = _rows_at_a_time(solver, jacobian_rows, problem, bound)
    # "dual" holds two chunks where there is more than one.
    share = -(-problem.rows // problem.replicas)
    held = problem.devices * min(share, 2 * rows)
    if solver == "dual" and problem.replicas > 1:
        held += min(problem.rows, rows)
    numbers = _NUMBERS[solver](problem) + held * _numbers_of_a_row(solver, problem)
    return _width(problem) * numbers


def _width(problem):
    return 8 if problem.double else 4


def _in_words(count):
    return f"{count / 2**30:.2g} GiB" if count >= 2**28 else f"{count / 2**20:.2g} MiB"
