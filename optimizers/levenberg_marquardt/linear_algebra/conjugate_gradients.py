import numpy as np
import tensorflow as tf

from . import symmetric

MAX_ITERATIONS = 200


def conjugate_gradients(product, b, preconditioner, tolerance, agreed=lambda goes_on: goes_on):
    """Solves `A x = b` for a symmetric positive definite A that only multiplies.

    Args:
        product: Function of a vector v to `A v`.
        b: (size,).
        preconditioner: Function of a vector v to about `A^-1 v`.
        tolerance: Length of `b - A x` to stop at, relative to b.
        agreed: Function of whether to go on to the same for all who solve this together: what
            `product` waits for may be the others.

    Returns:
        x and the number of iterations, at most 200.
    """
    enough = tolerance * tf.norm(b)

    def goes_on(k, r):
        return agreed((k < MAX_ITERATIONS) & (tf.norm(r) > enough))

    def body(_, k, x, r, z, p, rz):
        Ap = product(p)
        length = rz / tf.tensordot(p, Ap, 1)
        x, r = x + length * p, r - length * Ap
        z = preconditioner(r)
        new_rz = tf.tensordot(r, z, 1)
        return goes_on(k + 1, r), k + 1, x, r, z, z + new_rz / rz * p, new_rz

    z = preconditioner(b)
    start = (goes_on(0, b), 0, tf.zeros_like(b), b, z, z, tf.tensordot(b, z, 1))
    _, k, x, *_ = tf.while_loop(lambda goes_on, *_: goes_on, body, start)
    return x, k


class Nystroem:
    """A symmetric matrix K seen through some of its columns: `B B^T`, about K.

    Args:
        columns: Those columns, (size, sampled).
        corner: Their entries in the sampled rows, (sampled, sampled).
    """

    def __init__(self, columns, corner):
        eps = np.finfo(corner.dtype.as_numpy_dtype).eps
        little = tf.fill(tf.shape(corner)[:1], 10 * eps * tf.linalg.trace(corner))
        # Rows much alike make this singular but for `little`, and then NaN of a factor in panels.
        L = tf.linalg.cholesky(symmetric.plus_diagonal([corner], little)[0])
        inverse = tf.linalg.triangular_solve(L, tf.eye(tf.shape(L)[0], dtype=L.dtype))
        self.B = tf.matmul(columns, inverse, transpose_b=True)

    def inverse(self, damping):
        """`(damping I + B B^T)^-1` as a function of a vector."""
        B = self.B
        small = symmetric.in_panels(tf.matmul(B, B, transpose_a=True))
        L = symmetric.Factor(small, tf.fill(tf.shape(B)[1:], damping))

        def times(v):
            inner = L.solve(tf.linalg.matvec(B, v, transpose_a=True)[:, None])[:, 0]
            return (v - tf.linalg.matvec(B, inner)) / damping

        return times
