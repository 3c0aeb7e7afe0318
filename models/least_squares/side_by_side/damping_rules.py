import numpy as np
import tensorflow as tf

from ....optimizers.levenberg_marquardt.method.damping_rules import RULES, TrustRegion


class TrustRegions(TrustRegion):
    """Moré's rule for many fits, each with a region of its own.

    The secular equations are solved side by side, until the last of them is.
    """

    def propose(self, state, model):
        radius = state.radius
        eps = np.finfo(radius.dtype.as_numpy_dtype).eps
        largest = model.gradient_length() / radius

        def unsolved(k, damping, next_damping):
            return (k == 0) | ((k < self.iterations) & tf.reduce_any(next_damping != damping))

        def body(k, _, damping):
            _, length, slope = model.solve(damping)
            excess = length - radius
            newton = damping + excess / radius * length**2 / slope
            usable = tf.math.is_finite(newton) & tf.math.is_finite(slope)
            usable &= (excess <= 0) | (slope > 0)
            newton = tf.where(usable, newton, tf.maximum(10 * damping, 10 * eps))
            newton = tf.clip_by_value(newton, 0.0, tf.maximum(largest, 10 * eps))
            near = tf.abs(excess) <= self.tolerance * radius
            inside = (excess <= 0) & (damping == 0)
            return k + 1, damping, tf.where(near | inside, damping, newton)

        first = tf.minimum(state.damping, largest)
        _, damping, _ = tf.while_loop(unsolved, body, (0, state.damping, first))
        candidate, length, _ = model.solve(damping)
        return candidate, length, state._replace(damping=damping)


# The other rules are arithmetic of single numbers, and take arrays as they are.
RULES_OF_MANY = {**RULES, "trust_region": TrustRegions()}
