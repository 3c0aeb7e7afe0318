from typing import NamedTuple

import numpy as np
import tensorflow as tf

from . import symmetric
from .residual_space import Drifting, Dual
from .scaling import scale_of

_MAX_ITERATIONS = 200
# Rows whose inner products with all others make the preconditioner.
_SAMPLED_ROWS = 512


class Step(NamedTuple):
    s: tf.Tensor  # in the weights
    J_s: tf.Tensor  # (rows,)
    damping: tf.Tensor


class ConjugateGradients(Dual):
    """The solver for many residuals and many weights: no matrix is made of either.

    It solves the system of residual_space.py, `(lambda I + J M^-1 J^T) alpha = r - ...`, by
    conjugate gradients. An iteration takes one product with J^T and one with J. The preconditioner
    is Nyström's: K seen through a sample of its rows.

    Args:
        scaled: Whether D is wanted at all.
        tolerance: Of the residual of that system, relative to its right-hand side.
        count: Function that is told the iterations of each solve.
    """

    def __init__(self, scaled, tolerance, count):
        super().__init__(scaled)
        self.tolerance = tolerance
        self.count = count

    def model(self, objective, w, linearization, norms, drift=None):
        return _IterativeModel(self, objective, w, linearization, norms, drift)


class _IterativeModel(Drifting):
    """What `ResidualModel` is, with steps in the weights for candidates."""

    def __init__(self, solver, objective, w, linearization, norms, drift):
        super().__init__(objective, linearization, drift)
        self.solver = solver
        self.w = w
        weights, system = objective.weights, linearization.system
        self.D = scale_of(norms)
        self.rest = system.rest
        sizes = tf.constant(weights.sizes, w.dtype)
        self.eta = weights.by_variable(linearization.penalty_curvature) / sizes / self.D**2
        eps = np.finfo(w.dtype.as_numpy_dtype).eps
        self.least_damping = eps * tf.reduce_sum(system.squares / self.D**2)
        self._sample = self._nystroem()

    def none(self):
        return Step(tf.zeros_like(self.w), tf.zeros_like(self.r), tf.zeros([], self.w.dtype))

    def gradient_length(self):
        return tf.norm(self.gradient() / self._spread(self.D))

    def length_of_weights(self):
        return tf.norm(self.w * self._spread(self.D))

    def solve(self, damping):
        """The candidate, its length, and about `-|s| d|s| / d damping`.

        The last as if s were an eigenvector of the system: its own would take a second solution.
        """
        damping = tf.maximum(damping, self.least_damping)
        nu = 1 / (damping + self.eta) / self.D**2
        shares, of_rest = self._spread(damping * nu), 0.0
        b = self.r
        if self.rest is not None:
            of_rest = self._spread(nu) * self.rest
            b -= self._times(of_rest)

        def product(alpha):
            return damping * alpha + self._times(shares * self._transposed_times(alpha))

        alpha, iterations = _solve(product, b, self._preconditioner(damping), self.solver.tolerance)
        self.solver.count(iterations)
        s = -(shares * self._transposed_times(alpha) + of_rest)
        candidate = Step(s, self._times(s), damping)
        squares = tf.norm(s * self._spread(self.D)) ** 2
        slope = squares**2 / (damping * squares + self._curvature(candidate))
        return candidate, tf.sqrt(squares), slope

    def direction(self, candidate):
        return candidate.s + self.drift

    def predicted_reduction(self, candidate):
        along_g = tf.tensordot(self.r, candidate.J_s, 1)
        if self.rest is not None:
            along_g += tf.tensordot(self.rest, candidate.s, 1)
        return self.with_drift(along_g, -along_g - self._curvature(candidate) / 2)

    def _curvature(self, candidate):
        of_penalty = self.linearization.penalty_curvature * candidate.s**2
        return tf.reduce_sum(candidate.J_s**2) + tf.reduce_sum(of_penalty)

    def _times(self, v):
        return self.objective.mv(self.linearization, v)

    def _transposed_times(self, alpha):
        return self.objective.transpose_mv(self.w, self.linearization, alpha)

    def _spread(self, by_variable):
        return self.objective.weights.spread(by_variable)

    def _nystroem(self):
        """B with `B B^T` about K, (rows, sampled rows)."""
        objective, jacobian = self.objective, self.objective.jacobian
        examples = tf.minimum(objective.batch, max(1, _SAMPLED_ROWS // objective.rows))
        chosen = tf.range(examples) * objective.batch // examples
        sample = objective.layers_of_examples(self.w, self.linearization.output_factors, chosen)
        factors = self.D**-2

        def inner_products(i):
            data = self.linearization.layers(i)
            return jacobian.gram(data, sample, factors, 1)[0]

        of_all = objective.concatenated(inner_products, self.w.dtype, [None])
        of_sample = jacobian.gram(sample, sample, factors, 1)[0]
        eps = np.finfo(self.w.dtype.as_numpy_dtype).eps
        little = tf.fill(tf.shape(of_sample)[:1], 10 * eps * tf.linalg.trace(of_sample))
        # Rows much alike make this singular but for `little`, and then NaN of a factor in panels.
        L = tf.linalg.cholesky(symmetric.plus_diagonal([of_sample], little)[0])
        inverse = tf.linalg.triangular_solve(L, tf.eye(tf.shape(L)[0], dtype=L.dtype))
        return tf.matmul(of_all, inverse, transpose_b=True)

    def _preconditioner(self, damping):
        """`(lambda I + B B^T)^-1` as a function."""
        B = self._sample
        small = symmetric.in_panels(tf.matmul(B, B, transpose_a=True))
        L = symmetric.Factor(small, tf.fill(tf.shape(B)[1:], damping))

        def inverse(x):
            inner = L.solve(tf.linalg.matvec(B, x, transpose_a=True)[:, None])[:, 0]
            return (x - tf.linalg.matvec(B, inner)) / damping

        return inverse


def _solve(product, b, preconditioner, tolerance):
    """Preconditioned conjugate gradients, and the iterations they took."""
    enough = tolerance * tf.norm(b)

    def unfinished(k, x, r, z, p, rz):
        return (k < _MAX_ITERATIONS) & (tf.norm(r) > enough)

    def body(k, x, r, z, p, rz):
        Ap = product(p)
        length = rz / tf.tensordot(p, Ap, 1)
        x, r = x + length * p, r - length * Ap
        z = preconditioner(r)
        new_rz = tf.tensordot(r, z, 1)
        return k + 1, x, r, z, z + new_rz / rz * p, new_rz

    z = preconditioner(b)
    start = (0, tf.zeros_like(b), b, z, z, tf.tensordot(b, z, 1))
    k, x, *_ = tf.while_loop(unfinished, body, start)
    return x, k
