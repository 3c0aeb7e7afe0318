from typing import NamedTuple

import keras
import numpy as np

from ....optimizers import Box
from ....optimizers.levenberg_marquardt.method import tolerances


class Settings(NamedTuple):
    """What many fits take from the optimizer and the constraints; it can be a key."""

    damping_rule: str
    initial_damping: object
    scaling: str
    max_attempts: int
    polish: bool
    ftol: float
    xtol: float
    gtol: float
    lower: tuple | None  # for each weight, where there are bounds
    upper: tuple | None

    @property
    def bounded(self):
        return self.lower is not None

    @property
    def tolerances(self):
        """As the sentence of a `StopCode` takes them."""
        names = "ftol", "xtol", "gtol", "max_attempts"
        return {name: getattr(self, name) for name in names}


def settings_of(optimizer):
    """The `Settings` of a built `LevenbergMarquardt`.

    Raises:
        ValueError: An argument, a constraint or a regularizer that many fits cannot honour.
    """
    cannot = {
        "momentum": optimizer.momentum != 0,
        "solver": optimizer.solver in ("dual", "cg"),
        "geodesic_acceleration": optimizer.geodesic_acceleration,
    }
    for name, refused in cannot.items():
        if refused:
            raise ValueError(
                "`fit_many` takes plain steps by QR, of few weights and full batches: compile with "
                f"the default of `{name}`. Received: {name}={getattr(optimizer, name)!r}"
            )
    double = optimizer.weights.dtype.name == "float64"
    if optimizer.polish is True and not double:
        raise ValueError(
            "`polish` needs float64 weights: leave it at 'auto'. Received: polish=True"
        )
    lower, upper = _bounds(optimizer.weights.variables)
    numbers = tolerances(optimizer)
    return Settings(
        damping_rule=_rule(optimizer.damping_rule),
        initial_damping=optimizer.initial_damping,
        scaling=optimizer.scaling,
        max_attempts=optimizer.max_attempts,
        polish=optimizer.polish is not False and double,
        ftol=float(numbers["ftol"]),
        xtol=float(numbers["xtol"]),
        gtol=float(numbers["gtol"]),
        lower=lower,
        upper=upper,
    )


def _rule(name):
    return "trust_region" if name == "auto" else name


def _bounds(variables):
    """Lower and upper bounds, one for each weight, or None, None."""
    lower, upper = [], []
    for variable in variables:
        if variable.regularizer is not None:
            raise ValueError(
                "`fit_many` minimizes sums of squares alone: leave regularizers out. "
                f"Received: {variable.path} with a regularizer"
            )
        constraint, shape = variable.constraint, tuple(variable.shape)
        if constraint is None:
            ends = -np.inf, np.inf
        elif isinstance(constraint, keras.constraints.NonNeg):
            ends = 0.0, np.inf
        elif isinstance(constraint, Box):
            ends = constraint.lower, constraint.upper
        else:
            raise ValueError(
                "`fit_many` takes constraints that bound each weight by itself, "
                "`kerazoo.optimizers.Box` and `keras.constraints.NonNeg`. "
                f"Received: {constraint} of {variable.path}"
            )
        for bounds, end in zip((lower, upper), ends, strict=True):
            bounds.append(np.broadcast_to(np.asarray(end, "float64"), shape).reshape(-1))
    lower, upper = np.concatenate(lower), np.concatenate(upper)
    if np.isinf(lower).all() and np.isinf(upper).all():
        return None, None
    return tuple(lower.tolist()), tuple(upper.tolist())
