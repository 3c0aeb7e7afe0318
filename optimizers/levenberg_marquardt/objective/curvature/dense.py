import tensorflow as tf

from .loss_family import LossFamily, steep


class Dense(LossFamily):
    """Any smooth loss: the Hessian `V Lambda V^T`, its negative eigenvalues set to zero.

    Kept is `S = V sqrt(Lambda)` itself, (batch, outputs, outputs).
    """

    def covers(self, loss):
        return True

    def factor(self, z, product, hessian):
        H = hessian()
        # A decomposition of NaN raises in the middle of the graph; the step is rejected anyway.
        H = tf.where(tf.math.is_finite(H), H, 0.0)
        eigenvalues, V = tf.linalg.eigh((H + tf.linalg.matrix_transpose(H)) / 2)
        return V * tf.sqrt(tf.maximum(eigenvalues, 0.0))[:, None, :]

    def cotangents(self, factor):
        return tf.linalg.matrix_transpose(factor)

    def mv(self, factor, r):
        return tf.linalg.matvec(factor, r)

    def residual_and_rest(self, g, factor):
        g_flat = tf.reshape(g, [tf.shape(g)[0], -1])
        eigenvalues = tf.reduce_sum(factor**2, axis=1)
        r = tf.linalg.matvec(factor, g_flat, transpose_a=True)
        r = tf.where(steep(tf.sqrt(eigenvalues)), tf.math.divide_no_nan(r, eigenvalues), 0.0)
        return r, tf.reshape(g_flat - tf.linalg.matvec(factor, r), tf.shape(g))
