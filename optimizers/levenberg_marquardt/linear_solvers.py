import itertools

import numpy as np
import tensorflow as tf

from .cholesky import cholesky
from .output_curvature import residuals
from .scaled_model import ScaledModel

# Smaller ones are squared no faster in strips.
_FEWEST_COLUMNS_FOR_STRIPS = 1500
_STRIPS = 8


class _WeightSpace:
    """Solves in as many unknowns as there are weights. J passes by in chunks of rows."""

    norms_by_variable = False

    def __init__(self, residual_form):
        self.residual_form = residual_form

    def linearize(self, objective, w):
        """The `Linearization` at w, with gradient and system."""
        near_w = objective.linearize(w)
        system = objective.accumulate(self, near_w, w)
        if self.residual_form:
            g = tf.cast(self.gradient(system), w.dtype)
        else:
            g = objective.vector_jacobian_product(w, near_w.output_gradients)
        if objective.penalty.regularized:
            root = tf.sqrt(near_w.penalty_curvature)
            r_penalty = tf.math.divide_no_nan(near_w.penalty_gradient, root)
            system = self.add(system, tf.linalg.diag(root), r_penalty)
            g += near_w.penalty_gradient
        return near_w._replace(gradient=g, system=system)

    def accumulate(self, objective, near_w, w):
        """The system of the rows of the batch."""
        r = tf.zeros([objective.batch, 0], w.dtype)
        if self.residual_form:
            r = tf.cast(residuals(near_w.output_gradients, near_w.output_factors), w.dtype)

        def add_chunk(i, system):
            J = objective.jacobian.matrix(near_w.layers(i))
            r_chunk = tf.zeros(tf.shape(J)[:1], w.dtype)
            if self.residual_form:
                r_chunk = tf.reshape(objective.slice(r, i), [-1])
            return (self.add(system, J, r_chunk),)

        empty = self.empty(objective.weights.size, w.dtype)
        return objective.over_chunks(add_chunk, empty)[0]

    def norms(self, objective, linearization):
        """Lengths of the columns of J, (weights,)."""
        return self.column_norms(linearization.system, linearization.gradient.dtype)

    def gradient_sizes(self, objective, g):
        """What the convergence test holds against the norms."""
        return tf.abs(g)

    def model(self, objective, w, linearization, norms):
        """The `ScaledModel` of the loss near w."""
        return ScaledModel(self, objective, w, linearization, norms)


class Cholesky(_WeightSpace):
    """Solves `(A + lambda I) s = -g` by the normal equations, `A = J^T J`.

    The cheaper of the two. It keeps the lower triangle of `[J r]^T [J r]`, so that for a sum of
    squares `g = J^T r` comes with A. Squaring J doubles the digits that its condition costs; a
    float32 Jacobian is therefore squared in float64 where that takes no time worth speaking of.
    This asks for the g that comes with A: one rounded to float32 would point out of the range of a
    singular A.

    lambda gets no smaller than what rounding leaves uncertain in A, else a singular A would come
    out indefinite. Should one do so all the same, the factor is NaN in graph mode and nothing is
    raised: the step is then rejected, which is the cheapest test there is.
    """

    most_weights_in_double = 500

    def empty(self, size, dtype):
        double = self.residual_form and size <= self.most_weights_in_double
        return tf.zeros([size + 1, size + 1], tf.float64 if double else dtype)

    def add(self, A, J, r):
        return A + squared(tf.cast(tf.concat([J, r[:, None]], axis=1), A.dtype))

    def gradient(self, A):
        """`J^T r` of the residual form."""
        return A[-1, :-1]

    def joined(self, systems, replicas):
        """The system of all rows, from those of the replicas of this process."""
        return replicas.sum(tf.add_n(systems))

    def column_norms(self, A, dtype):
        return tf.cast(tf.sqrt(tf.linalg.diag_part(A)[:-1]), dtype)

    def scale(self, A, D):
        D = tf.cast(tf.concat([D, tf.ones([1], D.dtype)], axis=0), A.dtype)
        return A / (D[:, None] * D[None, :])

    def quadratic(self, A, s):
        """`s^T A s`."""
        exact = tf.cast(s, A.dtype)
        lower = tf.linalg.matvec(tf.linalg.band_part(A[:-1, :-1], -1, 0), exact)
        of_diagonal = tf.linalg.diag_part(A)[:-1] * exact
        return tf.cast(tf.tensordot(exact, 2 * lower - of_diagonal, 1), s.dtype)

    def step(self, A, g, damping):
        """The step s and `s^T (A + damping I)^-1 s`, the slope that the secular equation needs."""
        b = A[-1, :-1] if self.residual_form else g
        L = self._factor(A, damping, g.dtype)
        s = -tf.linalg.cholesky_solve(L, tf.cast(b, A.dtype)[:, None])
        slope = tf.reduce_sum(tf.linalg.triangular_solve(L, s) ** 2)
        return tf.cast(s[:, 0], g.dtype), tf.cast(slope, g.dtype)

    def correction(self, A, b, damping):
        """`-(A + damping I)^-1 b`."""
        L = self._factor(A, damping, b.dtype)
        return tf.cast(-tf.linalg.cholesky_solve(L, tf.cast(b, A.dtype)[:, None])[:, 0], b.dtype)

    def _factor(self, A, damping, dtype):
        A = A[:-1, :-1]
        size = A.shape[0]
        uncertain = size * np.finfo(A.dtype.as_numpy_dtype).eps
        if A.dtype != dtype:  # float32 could not use the last digits anyway
            uncertain *= 100
        least = uncertain * tf.reduce_max(tf.linalg.diag_part(A))
        damped = tf.linalg.diag_part(A) + tf.maximum(tf.cast(damping, A.dtype), least)
        return cholesky(tf.linalg.set_diag(A, damped))


def squared(J):
    """The lower triangle of `J^T J`; what is above it means nothing.

    Large ones are made in strips down from the diagonal, as the matrix is symmetric.
    """
    size = J.shape[1]
    if size < _FEWEST_COLUMNS_FOR_STRIPS:
        return tf.matmul(J, J, transpose_a=True)
    ends = [size * k // _STRIPS for k in range(_STRIPS + 1)]
    strips = [
        tf.pad(tf.matmul(J[:, a:], J[:, a:b], transpose_a=True), [[a, 0], [0, 0]])
        for a, b in itertools.pairwise(ends)
    ]
    return tf.concat(strips, axis=1)


class QR(_WeightSpace):
    """Solves the same by orthogonal factors of the augmented Jacobian `[J; sqrt(lambda) I]`.

    It works on J and not on its square, so it keeps twice the digits. Chunks of rows are folded
    one by one into the triangle T of `[J r]`: its first columns are R, the last is `Q^T r`, and
    no more than one chunk of J is held. Where the loss is not a sum of squares there is no r and
    the gradient takes its place: `R^T R s = -g`.
    """

    def empty(self, size, dtype):
        return tf.zeros([size + 1, size + 1], dtype)

    def add(self, T, J, r):
        stacked = tf.concat([T, tf.concat([J, r[:, None]], axis=1)], axis=0)
        return tf.ensure_shape(tf.linalg.qr(stacked).r, T.shape)

    def gradient(self, T):
        return tf.linalg.matvec(T[:, :-1], T[:, -1], transpose_a=True)

    def joined(self, systems, replicas):
        triangles = tf.reshape(replicas.stack(systems), [-1, systems[0].shape[1]])
        return tf.ensure_shape(tf.linalg.qr(triangles).r, systems[0].shape)

    def column_norms(self, T, dtype):
        return tf.norm(T[:, :-1], axis=0)

    def scale(self, T, D):
        return T / tf.concat([D, tf.ones([1], D.dtype)], axis=0)

    def quadratic(self, T, s):
        """`s^T J^T J s`."""
        return tf.reduce_sum(tf.linalg.matvec(T[:, :-1], s) ** 2)

    def projected_residual(self, T):
        """`Q^T r`: zero at a minimum, and free of the scale of the weights."""
        return T[:-1, -1]

    def step(self, T, g, damping):
        size = g.shape[0]
        T = self._damped(T, damping)
        R = T[:size, :size]
        if self.residual_form:
            s = -tf.linalg.triangular_solve(R, T[:size, size:], lower=False)[:, 0]
        else:
            half = tf.linalg.triangular_solve(R, g[:, None], lower=False, adjoint=True)
            s = -tf.linalg.triangular_solve(R, half, lower=False)[:, 0]
        slope = tf.linalg.triangular_solve(R, s[:, None], lower=False, adjoint=True)
        return s, tf.reduce_sum(slope**2)

    def correction(self, T, b, damping):
        size = b.shape[0]
        R = self._damped(T, damping)[:size, :size]
        half = tf.linalg.triangular_solve(R, b[:, None], lower=False, adjoint=True)
        return -tf.linalg.triangular_solve(R, half, lower=False)[:, 0]

    def is_full_rank(self, T):
        """Whether the columns, brought to length 1, are independent beyond rounding."""
        norms = self.column_norms(T, T.dtype)
        diagonal = tf.abs(tf.linalg.diag_part(T)[:-1])
        eps = np.finfo(T.dtype.as_numpy_dtype).eps
        return tf.reduce_all(diagonal > norms.shape[0] * eps * norms)

    def _damped(self, T, damping):
        size = T.shape[0] - 1
        below = tf.sqrt(tf.cast(damping, T.dtype)) * tf.eye(size, size + 1, dtype=T.dtype)
        return tf.linalg.qr(tf.concat([T, below], axis=0)).r
