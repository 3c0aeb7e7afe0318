import copy

import tensorflow as tf


class Momentum:
    """A model of the loss seen from where the last step would lead on by itself.

    Damping pulls the step towards v, a fraction of the last step, instead of towards zero:
    `|J (v + s) + r|^2 + lambda |D s|^2` is least for the s of the residuals `r + J v` (SPRING).
    v = 0 without momentum, and from the second attempt of a step on.

    Args:
        space: The `ResidualSpace`.
        v: (weights,), or None.
    """

    def __init__(self, space, v):
        self.jacobian = space.linearization.jacobian
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

    def gradient(self):
        """Of the loss where v leads, (weights,)."""
        if self.J_v is None:
            return self._gradient_at_w
        return self._gradient_at_w + self.jacobian.transpose_mv(self.J_v)

    def with_momentum(self, along_g, reduction):
        """The prediction for `v + s`, from that of s where v leads."""
        if self.J_v is None:
            return along_g, reduction
        along_v = tf.tensordot(self.r - self.J_v, self.J_v, 1)
        return along_g + along_v, reduction - along_v - tf.reduce_sum(self.J_v**2) / 2

    def after_constraints(self, candidate, moved):
        return candidate
