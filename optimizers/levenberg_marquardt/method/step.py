"""One step: the loss near the weights, the search for a smaller one, whether the fit has converged.

`take_step` takes the `LevenbergMarquardt`, which holds the arguments and the state.
"""

from functools import partial
from typing import NamedTuple

import tensorflow as tf

from ..linear_algebra import QR, Cholesky
from ..objective import masks_of, with_masks
from ..quadratic_model import SCALINGS, IterativeSpace, ResidualSpace, WeightSpace, length_of
from ..solver_choice import Problem, choose
from .convergence import Measured, largest_cosine, rounding_of_loss, stop_code, tolerances
from .damping_rules import RULES, DampingState
from .failures import Failure
from .polish import polish, polishes
from .search import search
from .stop_codes import StopCode


class Step(NamedTuple):
    """What one step did; all but the outputs are numbers for the log."""

    outputs: list
    loss: tf.Tensor  # there
    attempts: tf.Tensor
    gain_ratio: tf.Tensor
    gradient_norm: tf.Tensor
    step_norm: tf.Tensor
    polish: tf.Tensor
    stop_code: tf.Tensor
    measured: Measured


def take_step(optimizer, objective, full_batch, data, compiled):
    """The `Step`; the weights and the optimizer's state are updated.

    Args:
        optimizer: The `LevenbergMarquardt`.
        objective: The `Objective` of the batch.
        full_batch: Whether every step sees this same batch: only then do the convergence tests and
            the polish mean something.
        data: The batch, looked through for NaN and Inf.
        compiled: Whether XLA compiles the step.
    """
    weights = optimizer.weights
    objective, space_at = _choose(optimizer, objective, compiled)
    # No step would gain from a start outside the constraints to one inside.
    w = weights.constrain(weights.vector())
    space = space_at(objective, w)
    linearization = space.linearization
    loss = linearization.loss
    healthy = tf.math.is_finite(loss) & tf.reduce_all(tf.math.is_finite(space.gradient))
    sloped = objective.agreed(tf.reduce_any(space.gradient != 0))
    rule = RULES["trust_region" if optimizer.damping_rule == "auto" else optimizer.damping_rule]
    state = DampingState(
        optimizer.damping.value, optimizer.growth.value, optimizer.trust_radius.value
    )
    start = optimizer.way_back.start(
        optimizer, objective, linearization, w, healthy, data, state, rule
    )
    healthy = (start.failure == Failure.NONE) & ~start.taken_back
    known_norms = optimizer.variable_norms if space.norms_by_variable else optimizer.column_norms
    largest_norms = SCALINGS[optimizer.scaling].norms(known_norms.value, space.norms)
    if optimizer.momentum:
        model = space.model(largest_norms, optimizer.momentum * optimizer.last_step.value)
    else:
        model = space.model(largest_norms)
    first_damping = _first_damping(optimizer, rule, space, model)
    found = search(
        space,
        model,
        start._replace(state=rule.begin(start.state, model, first_damping)),
        loss,
        rule,
        tf.where(healthy, optimizer.max_attempts, 0),
        (_tolerance(optimizer, "ftol"), _tolerance(optimizer, "xtol")),
        optimizer.geodesic_acceleration,
        optimizer.way_back.check_gradient.value > 0 if full_batch else None,
    )
    best = found.w, found.outputs, found.loss
    polished = polishes(optimizer, objective, full_batch)
    finished = found.stop_code != StopCode.GOES_ON
    if full_batch:
        code, measured = _judged(optimizer, space, model, found, loss, sloped, healthy)
        converged = (code > StopCode.GOES_ON) & (code <= StopCode.ROUNDING)
        optimizer.converged.assign(tf.cast(converged, tf.int32))
        finished |= (code > StopCode.GOES_ON) & (code <= StopCode.NO_DESCENT)
        if polished:
            best = tf.cond(converged, partial(_polished, objective, found.w), lambda: best)
    else:
        code = tf.where(found.accepted, int(StopCode.GOES_ON), int(StopCode.REJECTED))
        measured = Measured(*[tf.zeros_like(loss)] * len(Measured._fields))
    # A region with no room left in it would hold on to the weights for other data too.
    radius = tf.where(finished, tf.zeros_like(found.state.radius), found.state.radius)
    state = found.state._replace(radius=radius)
    _remember(optimizer, start, state, known_norms, largest_norms, healthy & sloped)
    new_w, z, new_loss = best
    step = new_w - w
    step_norm = length_of(step)
    way_back = tf.where(healthy, step_norm, tf.zeros_like(step_norm))
    optimizer.way_back.remember(w, loss, way_back)
    weights.assign(new_w)
    if optimizer.momentum:
        optimizer.last_step.assign(tf.where(healthy, step, tf.zeros_like(step)))
    return Step(
        outputs=objective.structured(with_masks(z, masks_of(linearization.outputs))),
        loss=new_loss,
        attempts=tf.where(start.taken_back, 1, found.attempts),
        gain_ratio=tf.where(start.taken_back, -tf.ones_like(loss), found.gain_ratio),
        gradient_norm=length_of(space.gradient),
        step_norm=step_norm,
        polish=tf.constant(float(polished)),
        stop_code=tf.where(start.taken_back, int(StopCode.TAKEN_BACK), code),
        measured=measured,
    )


def _choose(optimizer, objective, compiled):
    """The objective in chunks, and the function of objective and w to the solver's space."""
    layered, penalized = objective.layered_jacobian, bool(objective.penalty.regularized)
    weights = optimizer.weights
    problem = Problem(
        rows=objective.rows * (objective.chunks.static_batch or optimizer.examples_expected),
        weights=weights.size,
        product_cost=layered.product_cost,
        floats_per_row=layered.floats_per_row,
        groups=len(weights.variables) if penalized else 1,
        double=weights.dtype == tf.float64,
        weight_space=weights.constrained,
        residual_space=bool(optimizer.momentum),
        replicas=objective.num_replicas,
        devices=objective.num_devices,
    )
    free_bytes = objective.free_memory()
    choice = choose(optimizer.solver, optimizer.jacobian_rows, problem, free_bytes)
    optimizer.choice = choice.reason
    scaled = optimizer.scaling != "identity"
    if choice.solver == "cg":
        optimizer.cg_iterations.assign(0)
        count = optimizer.cg_iterations.assign_add
        space_at = partial(
            IterativeSpace, scaled=scaled, tolerance=optimizer.cg_tolerance, count=count
        )
    elif choice.solver == "dual":
        space_at = partial(ResidualSpace, scaled=scaled)
    else:
        if choice.solver == "qr":
            solver = QR(objective.quadratic)
        else:
            solver = Cholesky(objective.quadratic, by_elimination=compiled)
        space_at = partial(WeightSpace, solver=solver)
    return objective.in_chunks(choice.rows_at_a_time), space_at


def _first_damping(optimizer, rule, space, model):
    if optimizer.initial_damping != "auto":
        return tf.constant(optimizer.initial_damping, space.gradient.dtype)
    if rule.first_damping is None:
        return None
    # Relative to the largest diagonal entry, which is 1 unless scaling="identity".
    return rule.first_damping * tf.reduce_max((space.norms / model.D) ** 2)


def _tolerance(optimizer, name):
    return tf.constant(tolerances(optimizer)[name], optimizer.weights.dtype)


def _judged(optimizer, space, model, found, loss, sloped, healthy):
    """The `StopCode` of a step on a full batch, and what it was `Measured` by if not `GOES_ON`."""
    objective, linearization = space.objective, space.linearization
    ftol, gtol = _tolerance(optimizer, "ftol"), _tolerance(optimizer, "gtol")
    downhill = objective.weights.downhill(space.w, space.gradient)
    cosine = largest_cosine(space.gradient_sizes(downhill), space.norms, loss)
    gained = found.accepted & (found.stop_code == StopCode.GOES_ON)
    goes_on = ~healthy | (gained & sloped & ~((gtol > 0) & (cosine <= gtol)))
    nothing = [tf.zeros_like(loss)] * len(Measured._fields)

    def look():
        gain = tf.maximum(tf.abs(found.reduction), found.predicted)
        outputs = linearization.outputs, linearization.output_gradients
        measured = Measured(
            gain=tf.math.divide_no_nan(gain, tf.abs(loss)),
            length=tf.math.divide_no_nan(found.length, model.length_of_weights()),
            cosine=cosine,
            predicted=found.predicted,
            rounding=rounding_of_loss(loss, *outputs),
        )
        is_flat = ~sloped & tf.reduce_all(space.norms == 0) & (loss != 0)
        return stop_code(found, measured, loss, is_flat, ftol, gtol), measured

    # Nearly all steps go on, and all this is as much work as a tenth of a small step.
    code, measured = tf.cond(goes_on, lambda: (int(StopCode.GOES_ON), Measured(*nothing)), look)
    return objective.agreed(code), measured


def _polished(objective, w):
    """Weights, outputs and loss."""
    w = polish(objective, w)
    near_w = WeightSpace(objective, w, QR(residual_form=True)).linearization  # it is made already
    return w, near_w.outputs, near_w.loss


def _remember(optimizer, start, state, known_norms, norms, learned):
    """Keeps the state for the next step.

    A batch with NaN leaves no trace, and one without a gradient, as where all sample
    weights are zero, none: it says nothing about how far to go.
    """
    for variable, value, before in (
        (optimizer.damping, state.damping, start.state.damping),
        (optimizer.growth, state.growth, start.state.growth),
        (optimizer.trust_radius, state.radius, start.state.radius),
        (known_norms, norms, known_norms.value),
    ):
        variable.assign(tf.where(learned, value, before))
    optimizer.iterations.assign_add(1)
