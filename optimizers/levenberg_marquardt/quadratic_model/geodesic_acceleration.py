"""The second-order correction of a step, by Transtrum and Sethna.

Along `w + t s` the residuals follow a curve. With r'' for its curvature, half of the a that solves
`(J^T J + lambda D^2) a = -J^T r''` turns the step so that they come nearer to a straight line (the
geodesic).
"""

import tensorflow as tf

# Beyond this ratio of correction to step the series is not to be trusted.
LARGEST_RATIO = 0.75
# Short enough for the second difference to be local, long enough for it to stay clear of rounding.
_SPAN = 0.1


def second_residuals(objective, linearization, w, s):
    """`r'' = S^T d^2 z / dt^2` along `w + t s`, (batch, rows); zero where it is not finite."""
    ahead = objective.outputs(w + _SPAN * s)
    behind = objective.outputs(w - _SPAN * s)
    z_second = [
        (a - 2 * middle + b) / _SPAN**2
        for a, middle, b in zip(ahead, linearization.outputs, behind, strict=True)
    ]
    r = tf.cast(objective.curvature.projected(linearization.output_factors, z_second), w.dtype)
    return tf.where(tf.math.is_finite(r), r, tf.zeros_like(r))
