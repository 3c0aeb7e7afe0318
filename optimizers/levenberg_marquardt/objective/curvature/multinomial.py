import tensorflow as tf
from keras import losses

from .loss_family import LossFamily, clipped

_LOSSES = (losses.CategoricalCrossentropy, losses.SparseCategoricalCrossentropy)


class Multinomial(LossFamily):
    """(Sparse) categorical cross-entropy of probabilities p: Fisher information `c diag(1/p)`."""

    def covers(self, loss):
        return covers_classes(loss) and not loss.get_config()["from_logits"]

    def reference(self, z):
        return tf.fill(tf.shape(z), tf.constant(1 / z.shape[-1], z.dtype))

    def direction(self, z):
        return first_class(z)

    def factor(self, z, product, hessian):
        # At p = 1 / C Keras's normalization of p leaves -c off the diagonal.
        return tf.sqrt(tf.maximum(-product[..., 1:2], 0.0) / clipped(z))


def covers_classes(loss):
    """Whether it is a cross-entropy of classes on the last axis."""
    return type(loss) in _LOSSES and loss.get_config().get("axis", -1) == -1


def first_class(z):
    """The direction of the first class."""
    return tf.zeros_like(z) + tf.one_hot(0, z.shape[-1], dtype=z.dtype)
