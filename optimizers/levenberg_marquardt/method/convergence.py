from typing import NamedTuple

import numpy as np
import tensorflow as tf

from .damping_rules import LARGEST
from .stop_codes import StopCode


class Measured(NamedTuple):
    """What the tests of a step compare with their tolerances."""

    gain: tf.Tensor  # the reduction of the loss, actual or predicted, relative to the loss
    length: tf.Tensor  # of the last attempt, relative to the weights
    cosine: tf.Tensor
    predicted: tf.Tensor  # reduction, the largest of all attempts
    rounding: tf.Tensor  # of the loss


def tolerances(optimizer):
    """What the sentence of a `StopCode` names: the tolerances as numbers, and the attempts."""
    eps = np.finfo(optimizer.weights.dtype.as_numpy_dtype).eps
    given = {name: getattr(optimizer, name) for name in ("ftol", "xtol", "gtol")}
    numbers = {name: 2 * eps if value == "auto" else value for name, value in given.items()}
    return {**numbers, "max_attempts": optimizer.max_attempts}


def stop_test(reduction, predicted, gain_ratio, loss, length, weights_length, ftol, xtol):
    """MINPACK's tests after an attempt, as a `StopCode`: nothing left to gain, or no room to move.

    `ftol`: the reduction of the loss, actual and predicted, relative to the loss.
    `xtol`: the length of the step (scaled) relative to that of the weights.
    """
    scale = ftol * tf.abs(loss)
    # Zero predicted reduction caused by a constraint is not convergence.
    is_small = (predicted > 0) & (predicted <= scale)
    nothing_to_gain = is_small & (tf.abs(reduction) <= scale) & (tf.abs(gain_ratio) <= 2)
    no_room = (xtol > 0) & (length <= xtol * weights_length)
    code = tf.where(no_room, int(StopCode.XTOL), int(StopCode.GOES_ON))
    return tf.where((ftol > 0) & nothing_to_gain, int(StopCode.FTOL), code)


def largest_cosine(gradient_sizes, norms, loss):
    """The cosine between the residuals and the column of J nearest to them.

    `max |g_j| / (|J_j| sqrt(2 |F|))`, where `sqrt(2 F)` is the length of the residuals. 0 where
    the gradient is zero, and infinite where a column or the loss is zero and the gradient is not.

    Args:
        gradient_sizes: (..., weights).
        norms: (..., weights), of the columns.
        loss: (...).
    """
    lengths = norms * tf.sqrt(2 * tf.abs(loss))[..., None]
    cosines = tf.where(gradient_sizes > 0, gradient_sizes / lengths, 0.0)
    return tf.reduce_max(cosines, axis=-1)


def rounding_of_loss(loss, outputs, output_gradients):
    """What rounding leaves uncertain in a difference of two losses.

    An output z is known to `eps |z|`, which the loss feels times its gradient in z; errors of
    many outputs add up like independent ones. Two outputs are compared, hence the factor 2.
    """
    squares = [
        tf.reduce_sum(tf.cast(z * g, loss.dtype) ** 2)
        for z, g in zip(outputs, output_gradients, strict=True)
    ]
    return 2 * _eps(loss) * (tf.abs(loss) + tf.sqrt(tf.add_n(squares)))


def stop_code(found, measured, loss, is_flat, ftol, gtol):
    """The `StopCode` of a step on a full batch.

    Args:
        found: What the search of the step `Found`.
        measured: The step's `Measured`.
        loss: Before the step.
        is_flat: Whether no output depends on a weight, and the loss is not zero.
        ftol, gtol: Tolerances; the loss's rounding is looked at unless `ftol` is 0.
    """
    no_room = found.stop_code == StopCode.XTOL
    rejected = ~found.accepted & (found.stop_code != StopCode.FTOL)
    at_rounding = rejected & (ftol > 0) & (measured.predicted <= measured.rounding)
    at_rounding &= tf.abs(found.reduction) <= 10 * measured.rounding
    # Half of the digits are more than rounding ever takes: the loss jumps.
    jumps = tf.abs(found.reduction) > np.sqrt(_eps(loss)) * tf.abs(loss)
    no_descent = rejected & ((found.state.damping >= LARGEST) | (no_room & jumps))
    no_finite_step = rejected & (no_room | no_descent) & ~tf.math.is_finite(found.reduction)
    code = tf.where(rejected & ~no_room, int(StopCode.REJECTED), found.stop_code)
    for holds, stronger in (
        (no_descent, StopCode.NO_DESCENT),
        (at_rounding, StopCode.ROUNDING),
        (no_finite_step, StopCode.NO_FINITE_STEP),
        ((gtol > 0) & (measured.cosine <= gtol), StopCode.GTOL),
        (is_flat, StopCode.NO_SLOPE),
    ):
        code = tf.where(holds, int(stronger), code)
    return code


def _eps(loss):
    return np.finfo(loss.dtype.as_numpy_dtype).eps
