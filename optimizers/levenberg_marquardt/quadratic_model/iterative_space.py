from typing import NamedTuple

import numpy as np
import tensorflow as tf

from ..linear_algebra import Nystroem, conjugate_gradients
from .residual_model import ResidualModel
from .residual_space import ResidualSpace
from .scaling import length_of

# Rows whose inner products with all others make the preconditioner; solver_choice.py counts them.
_SAMPLED_ROWS = 512


class IterativeStep(NamedTuple):
    s: tf.Tensor  # in the weights
    J_s: tf.Tensor  # (rows,)


class IterativeSpace(ResidualSpace):
    """The loss near w for many residuals and many weights: no matrix is made of either.

    Args:
        objective, w, scaled: As for `ResidualSpace`.
        tolerance: Of the residual of conjugate gradients, relative to their right-hand side.
        count: Function that is told the iterations of each solve.
    """

    def __init__(self, objective, w, scaled, tolerance, count):
        super().__init__(objective, w, scaled)
        self.tolerance = tolerance
        self.count = count

    def model(self, norms, v=None):
        """The `IterativeModel`, scaled with these norms; v is a part of the last step, or None."""
        return IterativeModel(self, norms, v)


class IterativeModel(ResidualModel):
    """What `DualModel` is, by conjugate gradients, with steps in the weights for candidates.

    An iteration takes one product with J^T and one with J. The preconditioner is Nyström's: the
    inner products of the rows of J, seen through a sample of the rows.
    """

    def __init__(self, space, norms, v):
        super().__init__(space, norms, v)
        self.eta = space.penalty_curvature(self.D)
        eps = np.finfo(self.w.dtype.as_numpy_dtype).eps
        self.least_damping = eps * tf.reduce_sum(space.squares / self.D**2)
        self._nystroem = Nystroem(*self.jacobian.sampled_gram(self.D**-2, _SAMPLED_ROWS))

    def no_candidate(self):
        return IterativeStep(tf.zeros_like(self.w), tf.zeros_like(self.r))

    def solve(self, damping):
        """The candidate, its length, and about `-|s| d|s| / d damping`.

        The last as if s were an eigenvector of the system: its own would take a second solution.
        """
        damping = tf.maximum(damping, self.least_damping)
        r, of_rest = self.r, 0.0
        if self.rest is not None:
            of_rest = self.weights.spread(1 / (damping + self.eta) / self.D**2) * self.rest
            r -= self.jacobian.mv(of_rest)
        s = self._solved(r, damping) - of_rest
        candidate = IterativeStep(s, self.jacobian.mv(s))
        length = length_of(s * self.weights.spread(self.D))
        slope = length**4 / (damping * length**2 + self._curvature(candidate))
        return candidate, length, slope

    def agreed(self, values):
        return self.space.objective.agreed(values)

    def direction(self, candidate):
        return candidate.s + self.v

    def predicted_reduction(self, candidate):
        along_g = tf.tensordot(self.r, candidate.J_s, 1)
        if self.rest is not None:
            along_g += tf.tensordot(self.rest, candidate.s, 1)
        return self.with_momentum(along_g, -along_g - self._curvature(candidate) / 2)

    def acceleration(self, direction, damping):
        """The second-order correction of a step in the weights, and its scaled length."""
        damping = tf.maximum(damping, self.least_damping)
        a = self._solved(self.second_residuals(direction), damping)
        return a, length_of(a * self.weights.spread(self.D))

    def _solved(self, r, damping):
        """`-(J^T J + M)^-1 J^T r` with `M = D^2 (damping + eta)`."""
        J, shares = self.jacobian, damping / (damping + self.eta) / self.D**2
        shares = self.weights.spread(shares)

        def product(alpha):
            return damping * alpha + J.mv(shares * J.transpose_mv(alpha))

        alpha, iterations = conjugate_gradients(
            product, r, self._nystroem.inverse(damping), self.space.tolerance, self.agreed
        )
        self.space.count(iterations)
        return -shares * J.transpose_mv(alpha)

    def _curvature(self, candidate):
        of_penalty = self.space.linearization.penalty_curvature * candidate.s**2
        return tf.reduce_sum(candidate.J_s**2) + tf.reduce_sum(of_penalty)
