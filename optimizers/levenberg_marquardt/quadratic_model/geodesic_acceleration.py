import tensorflow as tf

# Transtrum and Sethna: beyond this ratio of correction to step the series is not to be trusted.
LARGEST_RATIO = 0.75
# Short enough for the second difference to be local, long enough for it to stay clear of rounding.
_SPAN = 0.1


def second_derivative(objective, w, s, z):
    """`d^2 z / dt^2` of the outputs along `w + t s`, by central differences."""
    ahead = objective.outputs(w + _SPAN * s)
    behind = objective.outputs(w - _SPAN * s)
    return [(a - 2 * middle + b) / _SPAN**2 for a, middle, b in zip(ahead, z, behind, strict=True)]


def curvature_along(objective, linearization, w, s):
    """`H r''`, by outputs. `b = J^T r''` is the right-hand side of `(A + lambda I) a = -b`.

    Half of `a` added to s turns the step along the curve that the residuals would follow in a
    straight line (the geodesic).
    """
    z_second = second_derivative(objective, w, s, linearization.outputs)
    with objective.weights.scope(w):
        _, Hz = objective.curvature.hessian_product(linearization.outputs, z_second)
    return [tf.where(tf.math.is_finite(v), v, tf.zeros_like(v)) for v in Hz]
