from typing import NamedTuple

import numpy as np
import tensorflow as tf

from ..quadratic_model.geodesic_acceleration import LARGEST_RATIO
from .convergence import stop_test
from .damping_rules import Attempt, DampingState
from .gain_ratio import SMALLEST_GAIN, gain_ratio, reduction
from .stop_codes import StopCode


class Found(NamedTuple):
    """Where the attempts of a step ended: at the first that gained, or where they began."""

    attempts: tf.Tensor
    accepted: tf.Tensor
    stop_code: tf.Tensor
    w: tf.Tensor
    outputs: list
    loss: tf.Tensor
    state: DampingState
    predicted: tf.Tensor  # the largest predicted reduction of all attempts
    # Of the last attempt:
    gain_ratio: tf.Tensor
    reduction: tf.Tensor
    length: tf.Tensor


def search(
    space,
    model,
    start,
    loss,
    rule,
    max_attempts,
    tolerances,
    accelerate,
    check_gradient,
):
    """Tries steps with ever more damping until one lowers the loss.

    The Jacobian is that at w for all of them: an attempt costs a factorization and a forward pass.

    Args:
        space: The loss near w, of quadratic_model/.
        model: The solver's model of it.
        start: The `Start`, with the weights and the `DampingState`.
        loss: The loss at its weights.
        rule: Damping rule.
        max_attempts: Scalar tensor.
        tolerances: ftol and xtol.
        accelerate: Whether to add the geodesic acceleration.
        check_gradient: Scalar tensor, whether a trial is taken only where the gradient is finite,
            as the last one of a fit must be. None: never, as with mini-batches.
    """
    objective, linearization = space.objective, space.linearization
    weights, w = objective.weights, start.w
    weights_length = model.length_of_weights()

    def attempt(found):
        now = model.at_attempt(found.attempts)
        candidate, length, state = rule.propose(found.state, now)
        direction = now.direction(candidate)
        if accelerate:
            direction += _acceleration(now, direction, length, state.damping)
        trial = weights.constrain(w + direction)
        z = objective.outputs(trial)
        # The prediction is for the plain step, or for what a constraint leaves of it.
        kept = now.after_constraints(candidate, trial - w)
        along_g, predicted = now.predicted_reduction(kept)
        trial_loss = objective.loss(trial, z)
        gained = reduction(objective, linearization, w, trial, z, loss, trial_loss)
        rho = gain_ratio(gained, predicted)
        code = stop_test(gained, predicted, rho, loss, length, weights_length, *tolerances)
        better = (rho > SMALLEST_GAIN) & _all_finite([trial])
        if not objective.quadratic:  # there an output that is not finite makes `gained` so too
            better &= _all_finite(z)
        judged = better, rho, gained, code
        if check_gradient is not None:

            def with_gradient():
                finite = better & _all_finite([space.gradient_at(trial, z)])
                return (
                    finite,
                    tf.where(finite, rho, -tf.ones_like(rho)),
                    tf.where(finite, gained, np.nan * gained),
                    tf.where(finite, code, int(StopCode.GOES_ON)),
                )

            check = objective.agreed(better & (check_gradient | (code != StopCode.GOES_ON)))
            judged = tf.cond(check, with_gradient, lambda: (better, rho, gained, code))
        accepted, rho, gained, code = judged
        outcome = Attempt(rho, length, along_g, gained)
        found = Found(
            attempts=found.attempts + 1,
            accepted=accepted,
            stop_code=code,
            w=tf.where(accepted, trial, w),
            outputs=[
                tf.where(accepted, new, old)
                for new, old in zip(z, linearization.outputs, strict=True)
            ],
            loss=tf.where(accepted, trial_loss, found.loss),
            state=rule.update(state, outcome, accepted),
            predicted=tf.maximum(found.predicted, predicted),
            gain_ratio=rho,
            reduction=gained,
            length=length,
        )
        return objective.agreed(found)

    def unfinished(found):
        going_on = found.stop_code == StopCode.GOES_ON
        return (found.attempts < max_attempts) & ~found.accepted & going_on

    zero = tf.zeros([], w.dtype)
    none_yet = Found(
        attempts=0,
        accepted=False,
        stop_code=int(StopCode.GOES_ON),
        w=w,
        outputs=start.outputs,
        loss=start.loss,
        state=start.state,
        predicted=zero,
        gain_ratio=zero,
        reduction=zero,
        length=zero,
    )
    return tf.while_loop(
        lambda *found: unfinished(Found(*found)),
        lambda *found: attempt(Found(*found)),
        none_yet,
    )


def _acceleration(model, direction, length, damping):
    """Half the geodesic acceleration; zero where it is not to be trusted."""
    a, length_of_a = model.acceleration(direction, damping)
    trusted = length_of_a <= LARGEST_RATIO * length
    return tf.where(trusted, a / 2, tf.zeros_like(a))


def _all_finite(tensors):
    each = [tf.reduce_all(tf.math.is_finite(tensor)) for tensor in tensors]
    return each[0] if len(each) == 1 else tf.reduce_all(each)
