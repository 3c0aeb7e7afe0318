"""Exact steps in as many unknowns as there are residuals: for networks of millions of weights.

`(J^T J + M)^-1 J^T r = M^-1 J^T (I + J M^-1 J^T)^-1 r`, so it takes no more than the inner
products of the rows of J, which come from the layers one by one (jacobian/), one
Cholesky factorization of (residuals, residuals), and one backward pass.
"""

import tensorflow as tf

from ..linear_algebra import Dual, DualSolution
from .residual_model import ResidualModel


class ResidualSpace:
    """The loss near w for solvers of as many unknowns as there are residuals.

    The scale D is one number for each variable, the root mean square of its columns' norms: one
    for each weight would need every row of J written out.

    Args:
        objective: The `Objective`.
        w: The weights.
        scaled: Whether D is wanted at all.

    Attributes:
        linearization: The objective's `Linearization` at w.
        gradient: `J^T r + rest`, (weights,).
        r: (rows,).
        rest: (weights,), or None where there is none.
        squares: Sum of squares of each variable's columns of J, (variables,).
        norms: Root mean square of the norms of each variable's columns, (variables,).
    """

    norms_by_variable = True

    def __init__(self, objective, w, scaled):
        self.objective = objective
        self.w = w
        self.linearization = near_w = objective.linearize(w)
        curvature, known = objective.curvature, (near_w.output_gradients, near_w.output_factors)
        self.rest = near_w.penalty_gradient if objective.penalty.regularized else None
        if curvature.quadratic:
            r = curvature.residuals(*known)
        else:
            r, rests = curvature.residuals_and_rests(*known)
            of_loss = objective.vector_jacobian_product(w, rests)
            self.rest = of_loss if self.rest is None else self.rest + of_loss
        self.r = tf.reshape(tf.cast(r, w.dtype), [-1])
        self.gradient = near_w.jacobian.transpose_mv(self.r)
        if self.rest is not None:
            self.gradient += self.rest
        weights = objective.weights
        self.sizes = tf.constant(weights.sizes, w.dtype)
        self.squares = near_w.jacobian.squares() if scaled else tf.ones_like(self.sizes)
        of_penalty = weights.by_variable(near_w.penalty_curvature)
        self.norms = tf.sqrt((self.squares + of_penalty) / self.sizes)

    def gradient_at(self, w, z):
        """That of the loss at w, whose outputs are z."""
        return self.objective.gradient(w, z)

    def gradient_sizes(self, g):
        """What the convergence test holds against the norms, (variables,)."""
        return tf.sqrt(self.objective.weights.by_variable(g**2) / self.sizes)

    def penalty_curvature(self, D):
        """Of the scaled weights, as one number a variable, (variables,)."""
        of_penalty = self.objective.weights.by_variable(self.linearization.penalty_curvature)
        return of_penalty / self.sizes / D**2

    def model(self, norms, v=None):
        """The `DualModel`, scaled with these norms; v is a part of the last step, or None."""
        return DualModel(self, norms, v)


class DualModel(ResidualModel):
    """The quadratic model of the loss, with everything that damping needs in residual space.

    A candidate is the `DualSolution`. Without a penalty all variables are one group.
    """

    def __init__(self, space, norms, v):
        super().__init__(space, norms, v)
        weights = self.weights
        penalized = bool(space.objective.penalty.regularized)
        self._groups = len(weights.sizes) if penalized else 1
        K = self.jacobian.gram(self.D**-2, self._groups)
        if self.rest is None:
            u = tf.zeros([self._groups, tf.shape(self.r)[0]], self.w.dtype)
            rest_squares = tf.zeros([self._groups], self.w.dtype)
        else:
            u = self._grouped(self.jacobian.mv_by_variable(weights.spread(self.D**-2) * self.rest))
            rest_squares = self._grouped(weights.by_variable(self.rest**2) / self.D**2)
        eta = space.penalty_curvature(self.D) if penalized else None
        self.dual = Dual(K, u, rest_squares, eta)

    def no_candidate(self):
        return DualSolution(tf.zeros_like(self.r), tf.zeros([], self.r.dtype))

    def solve(self, damping):
        """The candidate, the length of its scaled step, and `-|s| d|s| / d damping`."""
        return self.dual.solve(self.r, damping)

    def direction(self, candidate):
        """The step in the weights: one backward pass."""
        C, nu = self._shares_of_weights(candidate.damping)
        s = -C * self.jacobian.transpose_mv(candidate.alpha)
        if self.rest is not None:
            s -= nu * self.rest
        return s + self.v

    def predicted_reduction(self, candidate):
        """`g^T s`, and `-(g^T s + s^T A s / 2)`: the reduction that the model predicts."""
        return self.with_momentum(*self.dual.predicted_reduction(self.r, candidate))

    def acceleration(self, direction, damping):
        """The second-order correction of a step in the weights, and its scaled length."""
        solution, length = self.dual.correction(self.second_residuals(direction), damping)
        C, _ = self._shares_of_weights(solution.damping)
        return -C * self.jacobian.transpose_mv(solution.alpha), length

    def _shares_of_weights(self, damping):
        """`C / D^2` and `nu / D^2`, (weights,)."""
        return (
            self.weights.spread(tf.broadcast_to(share, self.D.shape) / self.D**2)
            for share in self.dual.shares(damping)
        )

    def _grouped(self, by_variable):
        if self._groups > 1 or by_variable.shape[0] == 1:
            return by_variable
        return tf.reduce_sum(by_variable, axis=0, keepdims=True)
