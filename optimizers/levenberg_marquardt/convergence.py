import tensorflow as tf


def is_converged(reduction, predicted, gain_ratio, loss, length, weights_length, ftol, xtol):
    """MINPACK's tests after an attempt: nothing left to gain, or no room left to move.

    `ftol`: the reduction of the loss, actual and predicted, relative to the loss.
    `xtol`: the length of the step (scaled) relative to that of the weights.
    """
    scale = ftol * tf.abs(loss)
    # A step that a constraint undid promises nothing, which is not the same as nothing to gain.
    promised = (predicted > 0) & (predicted <= scale)
    nothing_to_gain = promised & (tf.abs(reduction) <= scale) & (tf.abs(gain_ratio) <= 2)
    no_room = length <= xtol * weights_length
    return ((ftol > 0) & nothing_to_gain) | ((xtol > 0) & no_room)


def is_stationary(gradient_sizes, norms, loss, gtol):
    """`gtol`: the cosine between the residuals and the column of J nearest to them.

    `|g_j| / (|J_j| sqrt(2 |F|))`, where `sqrt(2 F)` is the length of the residuals. A loss of
    zero counts as stationary when its gradient is zero too.
    """
    bound = gtol * norms * tf.sqrt(2 * tf.abs(loss))
    return (gtol > 0) & tf.reduce_all(gradient_sizes <= bound)
