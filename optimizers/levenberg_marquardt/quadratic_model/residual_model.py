import copy

import tensorflow as tf

from .geodesic_acceleration import second_residuals
from .scaling import scale_of


class ResidualModel:
    """What the models of `ResidualSpace` and `IterativeSpace` share: scale and momentum.

    With momentum the loss is seen from where the last step would lead on by itself. Damping pulls
    the step towards v, a fraction of the last step, instead of towards zero:
    `|J (v + s) + r|^2 + lambda |D s|^2` is least for the s of the residuals `r + J v` (SPRING).
    v = 0 without momentum, and from the second attempt of a step on.

    Args:
        space: The `ResidualSpace`.
        norms: Root mean square of the norms of each variable's columns, to scale with.
        v: (weights,), or None.
    """

    def __init__(self, space, norms, v):
        self.space = space
        self.jacobian = space.linearization.jacobian
        self.weights = space.objective.weights
        self.w = space.w
        self.rest = space.rest
        self.D = scale_of(norms)
        self._gradient_at_w = space.gradient
        self.r = space.r
        self.v = 0.0 if v is None else v
        self.J_v = None if v is None else self.jacobian.mv(v)
        if v is not None:
            self.r += self.J_v

    def at_attempt(self, number):
        """The model for an attempt, counted from 0."""
        if self.J_v is None:
            return self
        keep = tf.cast(number == 0, self.r.dtype)
        model = copy.copy(self)
        model.v = keep * self.v
        model.J_v = keep * self.J_v
        model.r = self.r - self.J_v + model.J_v
        return model

    def agreed(self, values):
        """Values on which all workers decide alike whether to `solve` again, if that needs all."""
        return values

    def gradient_length(self):
        """Scaled, of the loss where v leads."""
        gradient = self._gradient_at_w
        if self.J_v is not None:
            gradient += self.jacobian.transpose_mv(self.J_v)
        return tf.sqrt(tf.reduce_sum(self.weights.by_variable(gradient**2) / self.D**2))

    def length_of_weights(self):
        return tf.sqrt(tf.reduce_sum(self.weights.by_variable(self.w**2) * self.D**2))

    def with_momentum(self, along_g, reduction):
        """The prediction for `v + s`, from that of s where v leads."""
        if self.J_v is None:
            return along_g, reduction
        along_v = tf.tensordot(self.r - self.J_v, self.J_v, 1)
        return along_g + along_v, reduction - along_v - tf.reduce_sum(self.J_v**2) / 2

    def second_residuals(self, direction):
        """`r''` along a step in the weights, (rows,)."""
        space = self.space
        r = second_residuals(space.objective, space.linearization, self.w, direction)
        return tf.reshape(r, [-1])

    def after_constraints(self, candidate, moved):
        return candidate
