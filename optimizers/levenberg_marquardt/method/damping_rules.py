from typing import NamedTuple

import numpy as np
import tensorflow as tf


class DampingState(NamedTuple):
    damping: tf.Tensor  # lambda, with columns scaled to length 1; 0: not chosen yet
    growth: tf.Tensor  # Nielsen's nu
    radius: tf.Tensor  # of the trust region, in the length |D s|; 0: not chosen yet


class Attempt(NamedTuple):
    """What became of a step of the given length."""

    gain_ratio: tf.Tensor
    length: tf.Tensor  # |s|, scaled
    slope: tf.Tensor  # g^T s
    reduction: tf.Tensor  # F(w) - F(w + s)


class Marquardt:
    """Marquardt's rule: lambda / 10 after a step that gains, lambda * 10 after one that does not.

    The simplest; keeps moving by decades where the others settle.
    """

    first_damping = 1e-3

    def begin(self, state, model, first_damping):
        return state._replace(damping=tf.where(state.damping > 0, state.damping, first_damping))

    def propose(self, state, model):
        candidate, length, _ = model.solve(state.damping)
        return candidate, length, state

    def update(self, state, attempt, accepted):
        return state._replace(
            damping=_bounded(tf.where(accepted, state.damping / 10, state.damping * 10))
        )

    def take_back(self, state):
        """The state after a step that was accepted, and has now turned out to lead nowhere."""
        return state._replace(damping=_bounded(100 * state.damping))


class Nielsen(Marquardt):
    """Nielsen's rule: lambda follows the gain ratio rho smoothly.

    `lambda *= max(1/3, 1 - (2 rho - 1)^3)`, `nu = 2` after a step that gains, else `lambda *= nu`,
    `nu *= 2`. Cheap, as an attempt costs one factorization.
    """

    def update(self, state, attempt, accepted):
        shrink = tf.maximum(1 - (2 * attempt.gain_ratio - 1) ** 3, 1 / 3)
        return state._replace(
            damping=_bounded(state.damping * tf.where(accepted, shrink, state.growth)),
            growth=tf.where(accepted, 2 * tf.ones_like(shrink), _bounded(2 * state.growth)),
        )


class TrustRegion:
    """Moré's rule: lambda is whatever makes the step as long as the trust region allows.

    lambda solves the secular equation `|s(lambda)| = radius` (to a tenth), or is 0 where the
    undamped step is short enough. The radius begins at `|D w|` and follows the gain ratio. An
    attempt costs up to a few factorizations, and fewer attempts fail. The equations of many fits
    side by side are solved together, until the last of them is.
    """

    first_damping = None  # the first step is as long as the weights
    iterations = 10
    tolerance = 0.1
    # Longer strides than MINPACK's 2 along NIST's curved valleys, Bennett5's above all.
    growth = 4.0

    def begin(self, state, model, first_damping):
        length = model.length_of_weights()
        # No weight can move in so short a radius, so that it would never grow again. It is left to
        # the test `xtol` for as long as that has its say.
        least = 0.01 * np.finfo(length.dtype.as_numpy_dtype).eps * length
        if first_damping is not None:
            undamped = (state.damping == 0) & (state.radius == 0)
            state = state._replace(damping=tf.where(undamped, first_damping, state.damping))
            _, length, _ = model.solve(state.damping)
        usable = tf.math.is_finite(length) & (length > 0)
        first_radius = tf.where(usable, length, model.gradient_length())
        return state._replace(radius=tf.where(state.radius > least, state.radius, first_radius))

    def propose(self, state, model):
        """Newton's iteration for `1 / |s(lambda)| = 1 / radius`, which is nearly linear."""
        radius = state.radius
        largest = model.gradient_length() / radius
        eps = np.finfo(radius.dtype.as_numpy_dtype).eps

        def unsolved(k, damping, next_damping, length, candidate):
            return (k == 0) | ((k < self.iterations) & tf.reduce_any(next_damping != damping))

        def body(k, _, damping, *__):
            candidate, length, slope = model.solve(damping)
            excess = length - radius
            newton = damping + excess / radius * length**2 / slope
            # More damping shortens a step that is too long. Where rounding says otherwise, as of a
            # singular matrix, any damping that matters beside columns of length 1 will do.
            usable = tf.math.is_finite(newton) & ((excess <= 0) | (slope > 0))
            usable &= tf.math.is_finite(slope)  # else Newton's step would be zero
            newton = tf.where(usable, newton, tf.maximum(10 * damping, 10 * eps))
            newton = tf.clip_by_value(newton, 0.0, tf.maximum(largest, 10 * eps))
            near = tf.abs(excess) <= self.tolerance * radius
            inside = (excess <= 0) & (damping == 0)
            found = k + 1, damping, tf.where(near | inside, damping, newton), length
            return *model.agreed(found), candidate

        first = tf.minimum(state.damping, largest)
        start = (0, state.damping, first, tf.zeros_like(radius), model.no_candidate())
        _, damping, _, length, candidate = tf.while_loop(unsolved, body, start)
        return candidate, length, state._replace(damping=damping)

    def update(self, state, attempt, accepted):
        # After a failure the radius goes to the minimum of the parabola through what is known:
        # the loss at both ends of the step and its slope at the beginning.
        parabola = 0.5 * attempt.slope / (attempt.slope + attempt.reduction)
        shrink = tf.where(attempt.reduction < 0, parabola, 0.5)
        shrink = tf.where(tf.math.is_finite(attempt.reduction), shrink, 0.1)
        shrink = tf.clip_by_value(shrink, 0.1, 0.5)
        finite = tf.math.is_finite(attempt.length)
        length = tf.where(finite, attempt.length, state.radius)
        poor = attempt.gain_ratio <= 0.25
        good = (attempt.gain_ratio >= 0.75) | (state.damping == 0)
        radius = tf.where(
            poor,
            shrink * tf.minimum(state.radius, 10 * length),
            tf.where(good, self.growth * length, state.radius),
        )
        damping = tf.where(
            poor, state.damping / shrink, tf.where(good, 0.5 * state.damping, state.damping)
        )
        return state._replace(radius=_bounded(radius), damping=tf.minimum(damping, LARGEST))

    def take_back(self, state):
        # After the step the radius had grown at most so much.
        shrink = 10 * self.growth
        damping = tf.minimum(shrink * state.damping, LARGEST)
        return state._replace(radius=_bounded(state.radius / shrink), damping=damping)


RULES = {"trust_region": TrustRegion(), "nielsen": Nielsen(), "marquardt": Marquardt()}

# No run of failures or successes takes the state out of the range of float32.
_SMALLEST, LARGEST = 1e-30, 1e30


def _bounded(value):
    return tf.clip_by_value(value, _SMALLEST, LARGEST)
