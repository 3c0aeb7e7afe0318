from typing import NamedTuple

import numpy as np
import tensorflow as tf

from . import symmetric


class DualSolution(NamedTuple):
    alpha: tf.Tensor  # (rows,)
    damping: tf.Tensor


class Dual:
    """Solves `(J^T J + M) s = -(J^T r + rest)` in as many unknowns as J has rows.

    The columns of J belong to groups, and in group v `M = D^2 (damping + eta_v)`: D scales the
    columns, and eta is curvature that is there besides J, of an L2 penalty. Then

    `s = -M^-1 (C J^T alpha + rest)` with `C_v = damping / (damping + eta_v)`,

    `(damping I + sum_v C_v K_v) alpha = r - sum_v u_v / (damping + eta_v)`

    with `K_v = J_v D^-2 J_v^T` and `u_v = J_v D^-2 rest_v`. So neither J nor s is ever seen here.

    Args:
        K: The panels (symmetric.py) of (groups, rows, rows).
        u: (groups, rows).
        rest_squares: `|D^-1 rest_v|^2`, (groups,).
        eta: (groups,). Default None: zero, and one group.
    """

    def __init__(self, K, u, rest_squares, eta=None):
        self.K = K
        self.u = u
        self.rest_squares = rest_squares
        self.eta = tf.zeros([1], u.dtype) if eta is None else eta
        self._penalized = eta is not None
        # Damping below the rounding error of K has no effect.
        eps = np.finfo(u.dtype.as_numpy_dtype).eps
        largest = tf.reduce_max(tf.reduce_sum(symmetric.diagonal(K), axis=0))
        self.least_damping = eps * tf.cast(tf.shape(u)[1], u.dtype) * largest

    def shares(self, damping):
        """C and `nu = 1 / (damping + eta)`, (groups,)."""
        nu = 1 / (damping + self.eta)
        return damping * nu, nu

    def solve(self, r, damping):
        """The `DualSolution`, the length of `D s`, and `-|D s| d|D s| / d damping`."""
        damping = tf.maximum(damping, self.least_damping)
        C, nu = self.shares(damping)
        solved = self._factored(r, damping)
        alpha = solved(r - tf.linalg.matvec(self.u, nu, transpose_a=True))
        solution = DualSolution(alpha, damping)
        K_alpha = symmetric.times(self.K, alpha)
        # The same by d/d damping: C' = eta nu^2, nu' = -nu^2.
        change = solved(
            tf.linalg.matvec(self.u, nu**2, transpose_a=True)
            - alpha
            - tf.linalg.matvec(K_alpha, self.eta * nu**2, transpose_a=True)
        )
        u_alpha = tf.linalg.matvec(self.u, alpha)
        slope = -tf.reduce_sum(
            C * self.eta * nu**2 * tf.linalg.matvec(K_alpha, alpha)
            + C**2 * tf.linalg.matvec(K_alpha, change)
            + (self.eta * nu - C) * nu**2 * u_alpha
            + C * nu * tf.linalg.matvec(self.u, change)
            - nu**3 * self.rest_squares
        )
        squares = self._squares(solution, K_alpha)
        return solution, tf.sqrt(tf.reduce_sum(squares)), slope

    def correction(self, b, damping):
        """The `DualSolution` for `-(J^T J + M)^-1 J^T b`, and the length of D times that."""
        damping = tf.maximum(damping, self.least_damping)
        alpha = self._factored(b, damping)(b)
        C, _ = self.shares(damping)
        squares = C**2 * tf.linalg.matvec(symmetric.times(self.K, alpha), alpha)
        return DualSolution(alpha, damping), tf.sqrt(tf.reduce_sum(squares))

    def predicted_reduction(self, r, solution):
        """With `g = J^T r + rest` and `A = J^T J + D^2 eta`: `g^T s`, `-(g^T s + s^T A s / 2)`."""
        C, nu = self.shares(solution.damping)
        K_alpha = symmetric.times(self.K, solution.alpha)
        J_s = -tf.linalg.matvec(K_alpha, C, transpose_a=True)
        J_s -= tf.linalg.matvec(self.u, nu, transpose_a=True)
        of_rest = C * tf.linalg.matvec(self.u, solution.alpha) + nu * self.rest_squares
        along_g = tf.tensordot(r, J_s, 1) - tf.reduce_sum(of_rest)
        of_eta = tf.reduce_sum(self.eta * self._squares(solution, K_alpha))
        return along_g, -along_g - (tf.reduce_sum(J_s**2) + of_eta) / 2

    def _factored(self, r, damping):
        """`(damping I + sum_v C_v K_v)^-1` as a function of vectors like r."""
        C, _ = self.shares(damping)
        A = [tf.tensordot(C, panel, 1) if self._penalized else panel[0] for panel in self.K]
        L = symmetric.Factor(A, tf.fill(tf.shape(r), damping))
        # Of chunks the shape of K is unknown, where that of r may be known.
        return lambda b: tf.ensure_shape(L.solve(b[:, None])[:, 0], r.shape)

    def _squares(self, solution, K_alpha):
        """`|D s|^2`, by groups."""
        C, nu = self.shares(solution.damping)
        return (
            C**2 * tf.linalg.matvec(K_alpha, solution.alpha)
            + 2 * C * nu * tf.linalg.matvec(self.u, solution.alpha)
            + nu**2 * self.rest_squares
        )
