from typing import NamedTuple

import numpy as np
import tensorflow as tf

from . import symmetric


class NormalEquations(NamedTuple):
    A: list  # `J^T J`, the panels of symmetric.py
    b: tf.Tensor  # `J^T r` of the residual form, else zero


class Scaled(NamedTuple):
    """Of the weights D w; A is left as it is, as it may be large."""

    A: list
    b: tf.Tensor
    D: tf.Tensor


class Cholesky:
    """Solves `(A + lambda I) s = -g` by the normal equations, `A = J^T J`.

    Cheaper than `QR`. For a sum of squares `g = J^T r` comes with A. Squaring J doubles the
    digits that its condition costs; a float32 Jacobian is therefore squared in float64 where that
    takes no time worth speaking of. This asks for the g that comes with A: one rounded to float32
    would point out of the range of a singular A.

    lambda gets no smaller than what rounding leaves uncertain in A, else a singular A would come
    out indefinite. Should one do so all the same, its factor and the step are NaN and nothing is
    raised: the step is then rejected.

    Args:
        residual_form: Whether rows come with residuals r, of which the gradient is `J^T r`.
        by_elimination: Whether A is factored by operations that XLA compiles well.
    """

    systems_add_up = True  # the system of some rows and that of others give that of all
    max_weights_in_double = 500

    def __init__(self, residual_form, by_elimination=False):
        self.residual_form = residual_form
        self.by_elimination = by_elimination

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
        return symmetric.Factor(scaled.A, damping * squares, self.by_elimination)
