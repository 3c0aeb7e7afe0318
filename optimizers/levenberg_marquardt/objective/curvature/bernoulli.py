import tensorflow as tf
from keras import losses

from .loss_family import LossFamily, clipped


class Bernoulli(LossFamily):
    """Binary cross-entropy of probabilities p: the Fisher information `c / (p (1 - p))`."""

    def covers(self, loss):
        return type(loss) is losses.BinaryCrossentropy and not loss.get_config()["from_logits"]

    def reference(self, z):
        return tf.fill(tf.shape(z), tf.constant(0.5, z.dtype))

    def factor(self, z, product, hessian):
        # At p = 1/2 the Hessian is 4c for every label.
        p = clipped(z)
        return tf.sqrt(tf.maximum(product, 0.0) / (4 * p * (1 - p)))
