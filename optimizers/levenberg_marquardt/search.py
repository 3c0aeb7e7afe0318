from typing import NamedTuple

import tensorflow as tf

from .convergence import is_converged
from .damping_rules import Attempt, DampingState
from .gain_ratio import SMALLEST_GAIN, gain_ratio, reduction
from .geodesic_acceleration import LARGEST_RATIO


class Found(NamedTuple):
    """Where the attempts of a step ended: at the first that gained, or where they began."""

    attempts: tf.Tensor
    accepted: tf.Tensor
    converged: tf.Tensor
    w: tf.Tensor
    outputs: list
    state: DampingState
    gain_ratio: tf.Tensor  # of the last attempt


def search(
    objective,
    linearization,
    all_attempts,
    w,
    loss,
    rule,
    state,
    most_attempts,
    tolerances,
    accelerate,
):
    """Tries steps with ever more damping until one lowers the loss.

    The Jacobian is that at w for all of them: an attempt costs a factorization and a forward pass.

    Args:
        objective: The `Objective` of the batch.
        linearization: Of the objective at w.
        all_attempts: The solver's model of it, a `ScaledModel` or a `ResidualModel`.
        w: The weights, (weights,).
        loss: F(w).
        rule: Damping rule.
        state: Its `DampingState`.
        most_attempts: Scalar tensor.
        tolerances: ftol and xtol.
        accelerate: Whether to add the geodesic acceleration.
    """
    weights = objective.weights
    weights_length = all_attempts.length_of_weights()

    def attempt(found):
        model = all_attempts.at_attempt(found.attempts)
        candidate, length, state = rule.propose(found.state, model)
        direction = model.direction(candidate)
        if accelerate:
            direction += _acceleration(model, candidate, length, state.damping)
        trial = weights.constrain(w + direction)
        z = objective.outputs(trial)
        # What is promised is promised for the plain step, or for what a constraint leaves of it.
        along_g, predicted = model.promise(model.after_constraints(candidate, trial - w))
        trial_loss = objective.loss(trial, z)
        gained = reduction(objective, linearization, w, trial, z, loss, trial_loss)
        rho = gain_ratio(gained, predicted)
        accepted = (rho > SMALLEST_GAIN) & tf.reduce_all(tf.math.is_finite(trial))
        outcome = Attempt(rho, length, along_g, gained)
        found = Found(
            attempts=found.attempts + 1,
            accepted=accepted,
            converged=is_converged(
                gained, predicted, rho, loss, length, weights_length, *tolerances
            ),
            w=tf.where(accepted, trial, w),
            outputs=[
                tf.where(accepted, new, old)
                for new, old in zip(z, linearization.outputs, strict=True)
            ],
            state=rule.update(state, outcome, accepted),
            gain_ratio=rho,
        )
        return objective.agreed(found)

    def unfinished(found):
        return (found.attempts < most_attempts) & ~found.accepted & ~found.converged

    none_yet = tf.zeros([], w.dtype)
    start = Found(0, False, False, w, linearization.outputs, state, none_yet)
    return tf.while_loop(
        lambda *found: unfinished(Found(*found)),
        lambda *found: attempt(Found(*found)),
        start,
    )


def _acceleration(model, candidate, length, damping):
    """Half the geodesic acceleration; zero where it is not to be trusted."""
    a, length_of_a = model.acceleration(candidate, damping)
    trusted = length_of_a <= LARGEST_RATIO * length
    return tf.where(trusted, a / 2, tf.zeros_like(a))
