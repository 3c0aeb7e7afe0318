import tensorflow as tf

from .loss_family import LossFamily, flattened, steep
from .multinomial import covers_classes, first_class


class Softmax(LossFamily):
    """(Sparse) categorical cross-entropy of logits: the Hessian is `c (diag p - p p^T)`.

    With `q = sqrt(p)` it has the factor `S = sqrt(c) (diag q - q q^T)`. Kept is `sqrt(c) q`, from
    which q and sqrt(c) follow, as q has length 1.
    """

    def covers(self, loss):
        return covers_classes(loss) and loss.get_config()["from_logits"]

    def reference(self, z):
        return tf.zeros_like(z)

    def direction(self, z):
        return first_class(z)

    def factor(self, z, product, hessian):
        # At z = 0 the Hessian is c (I / C - 1 / C^2).
        root_c = tf.sqrt(tf.maximum(-product[..., 1:2], 0.0)) * z.shape[-1]
        return root_c * tf.sqrt(tf.nn.softmax(z))

    def cotangents(self, factor):
        classes = factor.shape[-1]
        positions = factor.shape[1:-1].num_elements()
        weighted_q = tf.reshape(factor, [-1, positions, classes])
        root_c = tf.norm(weighted_q, axis=-1, keepdims=True)
        q = tf.math.divide_no_nan(weighted_q, root_c)
        S_t = tf.linalg.diag(weighted_q) - weighted_q[..., :, None] * (q**2)[..., None, :]
        placed = S_t[:, :, :, None, :] * tf.eye(positions, dtype=S_t.dtype)[:, None, :, None]
        return tf.reshape(placed, [-1, positions * classes, positions * classes])

    def mv(self, factor, r):
        root_c = tf.norm(factor, axis=-1, keepdims=True)
        q = tf.math.divide_no_nan(factor, root_c)
        r = tf.reshape(r, tf.shape(factor))
        along_q = tf.reduce_sum(q * r, axis=-1, keepdims=True)
        return flattened(factor * (r - q * along_q))

    def usable(self, factor):
        # A gradient sums to zero over the classes, so they go together.
        return tf.reduce_all(steep(factor), axis=-1, keepdims=True)
