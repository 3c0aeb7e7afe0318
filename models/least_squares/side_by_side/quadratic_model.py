import numpy as np
import tensorflow as tf


class QuadraticModels:
    """The loss near the weights of every fit, in its scaled weights: `F + g^T s + s^T A s / 2`.

    `A = R^T R` and `g = R^T q`, R and q of the QR factors of the rows `[J r]`. With the singular
    values of `R = U S V^T` a damping costs nothing but a few divisions, so that each fit can look
    for its own. A candidate c is the scaled step in the directions of V: `s = V c`.

    Args:
        triangle: (fits, weights, weights + 1), R and q; zeros where they are not finite.
        w: (fits, weights).
        D: The scale of the weights, (fits, weights).
        free: Mask (fits, weights) of the weights that no bound holds.
    """

    def __init__(self, triangle, w, D, free):
        R = tf.where(free[:, None, :], triangle[:, :, :-1] / D[:, None, :], 0.0)
        S, U, self.V = tf.linalg.svd(R)
        # Below rounding nothing is known of a direction, and no fit moves along it.
        eps = np.finfo(S.dtype.as_numpy_dtype).eps
        self.S = tf.where(eps * S[:, :1] < S, S, 0.0)
        self.u = tf.linalg.matvec(U, triangle[:, :, -1], transpose_a=True)
        self.w, self.D = w, D

    def no_candidate(self):
        return tf.zeros_like(self.u)

    def agreed(self, values):
        return values

    def gradient_length(self):
        return lengths_of(self.S * self.u)

    def length_of_weights(self):
        return lengths_of(self.D * self.w)

    def solve(self, damping):
        """The candidates for these dampings, their lengths |s|, and `-|s| d|s| / d damping`."""
        curvature = self.S**2 + damping[:, None]
        c = -tf.math.divide_no_nan(self.S * self.u, curvature)
        return c, lengths_of(c), tf.reduce_sum(tf.math.divide_no_nan(c**2, curvature), axis=-1)

    def direction(self, c):
        """The candidates as steps in the weights."""
        return tf.linalg.matvec(self.V, c) / self.D

    def of_moved(self, moved):
        """The candidates for what bounds leave of the steps."""
        return tf.linalg.matvec(self.V, moved * self.D, transpose_a=True)

    def predicted_reduction(self, c):
        """`g^T s`, and `-(g^T s + s^T A s / 2)`: the reductions that the models predict."""
        along_g = tf.reduce_sum(self.S * self.u * c, axis=-1)
        return along_g, -along_g - tf.reduce_sum((self.S * c) ** 2, axis=-1) / 2

    def undamped(self):
        """Gauss-Newton candidates, the lengths of the projected residuals, and whether A is
        regular beyond rounding but for the weights that are held."""
        smallest = self.S.shape[-1] * np.finfo(self.S.dtype.as_numpy_dtype).eps * self.S[:, :1]
        determined = smallest < self.S
        c = -tf.math.divide_no_nan(self.u, tf.where(determined, self.S, 0.0))
        rank = tf.reduce_sum(tf.cast(determined, tf.int32), axis=-1)
        return c, lengths_of(tf.where(determined, self.u, 0.0)), rank


def triangles_of(J, r):
    """R and `Q^T r` of the rows `[J r]` of every fit, (fits, weights, weights + 1)."""
    rows = tf.concat([J, r[:, :, None]], axis=-1)
    size = J.shape[-1]
    missing = tf.maximum(size + 1 - tf.shape(rows)[1], 0)
    rows = tf.pad(rows, [[0, 0], [0, missing], [0, 0]])
    return tf.linalg.qr(rows).r[:, :size]


def lengths_of(v):
    return tf.sqrt(tf.reduce_sum(v * v, axis=-1))
