from typing import NamedTuple

import numpy as np
import tensorflow as tf

from . import symmetric
from .scaled_model import ScaledModel


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
            system = self.add_diagonal(system, root, r_penalty)
            g += near_w.penalty_gradient
        return near_w._replace(gradient=g, system=system)

    def accumulate(self, objective, near_w, w):
        """The system of the rows of the batch."""
        r = tf.zeros([objective.batch, 0], w.dtype)
        if self.residual_form:
            gradients, factors = near_w.output_gradients, near_w.output_factors
            r = tf.cast(objective.curvature.residuals(gradients, factors), w.dtype)

        def of_chunk(i):
            columns = objective.jacobian.columns(near_w.layers(i))
            r_chunk = tf.zeros(tf.shape(columns)[1:], w.dtype)
            if self.residual_form:
                r_chunk = tf.reshape(objective.slice(r, i), [-1])
            return self.of_rows(columns, r_chunk)

        if objective.one_chunk:
            return of_chunk(0)
        (system,) = objective.over_chunks(
            lambda i, system: (self.joined([system, of_chunk(i)]),),
            self.empty(objective.weights.size, w.dtype),
        )
        return system

    def norms(self, objective, linearization):
        """Lengths of the columns of J, (weights,)."""
        return self.column_norms(linearization.system, linearization.gradient.dtype)

    def gradient_sizes(self, objective, g):
        """What the convergence test holds against the norms."""
        return tf.abs(g)

    def model(self, objective, w, linearization, norms):
        """The `ScaledModel` of the loss near w."""
        return ScaledModel(self, objective, w, linearization, norms)


class NormalEquations(NamedTuple):
    A: list  # `J^T J`, the panels of symmetric.py
    b: tf.Tensor  # `J^T r` of the residual form, else zero


class Scaled(NamedTuple):
    """Of the weights D w; A is left as it is, as it may be large."""

    A: list
    b: tf.Tensor
    D: tf.Tensor


class Cholesky(_WeightSpace):
    """Solves `(A + lambda I) s = -g` by the normal equations, `A = J^T J`.

    The cheaper of the two. For a sum of squares `g = J^T r` comes with A. Squaring J doubles the
    digits that its condition costs; a float32 Jacobian is therefore squared in float64 where that
    takes no time worth speaking of. This asks for the g that comes with A: one rounded to float32
    would point out of the range of a singular A.

    lambda gets no smaller than what rounding leaves uncertain in A, else a singular A would come
    out indefinite. Should one do so all the same, its factor and the step are NaN and nothing is
    raised: the step is then rejected.
    """

    max_weights_in_double = 500

    def empty(self, size, dtype):
        dtype = self._dtype(size, dtype)
        return NormalEquations(symmetric.zeros(size, dtype), tf.zeros([size], dtype))

    def of_rows(self, columns, r):
        """The system of some rows, given by the columns of J, (weights, rows)."""
        dtype = self._dtype(columns.shape[0], columns.dtype)
        columns, r = tf.cast(columns, dtype), tf.cast(r, dtype)
        return NormalEquations(symmetric.squared(columns), tf.linalg.matvec(columns, r))

    def _dtype(self, size, dtype):
        double = self.residual_form and size <= self.max_weights_in_double
        return tf.float64 if double else dtype

    def add_diagonal(self, system, d, r):
        """The system with rows `diag(d)` and their residuals r added."""
        d, r = tf.cast(d, system.b.dtype), tf.cast(r, system.b.dtype)
        return system._replace(A=symmetric.plus_diagonal(system.A, d**2), b=system.b + d * r)

    def gradient(self, system):
        """`J^T r` of the residual form."""
        return system.b

    def joined(self, systems):
        """The system of all rows, from those of parts of them."""
        return tf.nest.map_structure(lambda *parts: tf.add_n(parts), *systems)

    def joined_of_replicas(self, systems, replicas):
        return tf.nest.map_structure(replicas.sum, self.joined(systems))

    def column_norms(self, system, dtype):
        return tf.cast(tf.sqrt(symmetric.diagonal(system.A)), dtype)

    def scaled(self, system, D):
        return Scaled(*system, tf.cast(D, system.b.dtype))

    def without(self, scaled, held):
        """The system in which these weights, a mask, have rows and columns of the identity."""
        held = tf.cast(held, scaled.b.dtype)
        A = symmetric.scaled(scaled.A, 1 - held)
        A = symmetric.plus_diagonal(A, held * scaled.D**2)
        return scaled._replace(A=A, b=(1 - held) * scaled.b)

    def quadratic(self, scaled, s):
        """`s^T A s`."""
        s, dtype = tf.cast(s, scaled.b.dtype) / scaled.D, s.dtype
        return tf.cast(tf.tensordot(s, symmetric.times(scaled.A, s), 1), dtype)

    def step(self, scaled, g, damping):
        """The step s and `s^T (A + damping I)^-1 s`, the slope that the secular equation needs."""
        D = scaled.D[:, None]
        b = scaled.b[:, None] if self.residual_form else tf.cast(g, D.dtype)[:, None] * D
        L = self._factor(scaled, damping, g.dtype)
        s = -D * L.solve(b)
        slope = tf.reduce_sum(L.half_solve(D * s) ** 2)
        return tf.cast(s[:, 0], g.dtype), tf.cast(slope, g.dtype)

    def correction(self, scaled, b, damping):
        """`-(A + damping I)^-1 b`."""
        D = scaled.D[:, None]
        solution = self._factor(scaled, damping, b.dtype).solve(D * tf.cast(b, D.dtype)[:, None])
        return tf.cast(-(D * solution)[:, 0], b.dtype)

    def _factor(self, scaled, damping, dtype):
        """Of A in the weights themselves, where `damping I` is `damping D^2`."""
        squares = scaled.D**2
        uncertain = squares.shape[0] * np.finfo(squares.dtype.as_numpy_dtype).eps
        if squares.dtype != dtype:  # float32 could not use the last digits anyway
            uncertain *= 100
        least = uncertain * tf.reduce_max(symmetric.diagonal(scaled.A) / squares)
        damping = tf.maximum(tf.cast(damping, squares.dtype), least)
        return symmetric.Factor(scaled.A, damping * squares)


class QR(_WeightSpace):
    """Solves the same by orthogonal factors of the augmented Jacobian `[J; sqrt(lambda) I]`.

    It works on J and not on its square, so it keeps twice the digits. Chunks of rows are folded
    one by one into the triangle T of `[J r]`: its first columns are R, the last is `Q^T r`, and
    no more than one chunk of J is held. Where the loss is not a sum of squares there is no r and
    the gradient takes its place: `R^T R s = -g`.
    """

    def empty(self, size, dtype):
        return tf.zeros([size + 1, size + 1], dtype)

    def of_rows(self, columns, r):
        return self._triangle(tf.transpose(tf.concat([columns, r[None]], axis=0)))

    def add_diagonal(self, T, d, r):
        rows = tf.concat([tf.linalg.diag(d), r[:, None]], axis=1)
        return self.joined([T, rows])

    def gradient(self, T):
        return tf.linalg.matvec(T[:, :-1], T[:, -1], transpose_a=True)

    def joined(self, systems):
        return self._triangle(tf.concat(systems, axis=0))

    def joined_of_replicas(self, systems, replicas):
        return self._triangle(tf.reshape(replicas.stack(systems), [-1, systems[0].shape[1]]))

    def _triangle(self, rows):
        """R of the rows, with zeros below where they are fewer than columns."""
        columns = rows.shape[1]
        missing = tf.maximum(columns - tf.shape(rows)[0], 0)
        rows = tf.pad(rows, [[0, missing], [0, 0]])
        return tf.ensure_shape(tf.linalg.qr(rows).r, [columns, columns])

    def column_norms(self, T, dtype):
        return tf.norm(T[:, :-1], axis=0)

    def scaled(self, T, D):
        return T / tf.concat([D, tf.ones([1], D.dtype)], axis=0)

    def without(self, T, held):
        rows = T * tf.concat([1 - held, tf.ones([1], T.dtype)], axis=0)
        return self.add_diagonal(rows, held, tf.zeros_like(held))

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
