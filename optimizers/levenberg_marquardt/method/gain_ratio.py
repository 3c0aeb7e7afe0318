import tensorflow as tf

# Moré: a step counts as soon as it gains a ten-thousandth of what the model of the loss predicted.
SMALLEST_GAIN = 1e-4


def reduction(objective, linearization, w, trial, z, loss, trial_loss):
    """`F(w) - F(w + s)`, positive when the trial is better.

    Near a minimum the two losses agree in almost all digits and their difference is noise. Where
    F is a sum of squares the difference has a form that does not cancel: with d the change of the
    outputs, `F(w) - F(w + s) = -sum d (g + h d / 2)`.
    """
    if not objective.quadratic:
        return loss - trial_loss
    total = tf.zeros([], w.dtype)
    for before, after, g, s in zip(
        linearization.outputs,
        z,
        linearization.output_gradients,
        linearization.output_factors,
        strict=True,
    ):
        d = after - before
        total -= tf.cast(tf.reduce_sum(d * (g + s**2 * d / 2)), w.dtype)
    d = trial - w
    g, h = linearization.penalty_gradient, linearization.penalty_curvature
    return total - tf.reduce_sum(d * (g + h * d / 2))


def gain_ratio(reduction, predicted):
    """Actual over predicted; -1 where the trial is not finite or nothing is predicted."""
    usable = tf.math.is_finite(reduction) & (predicted > 0)
    return tf.where(usable, reduction / predicted, tf.constant(-1.0, reduction.dtype))
