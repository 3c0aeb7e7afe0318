import tensorflow as tf
from keras import losses

from .loss_family import LossFamily

_LOSSES = (
    losses.Huber,
    losses.LogCosh,
    losses.Poisson,
    losses.MeanSquaredLogarithmicError,
)


class Diagonal(LossFamily):
    """Losses that compare each output with a target of its own: the Hessian is diagonal.

    Its negative entries are set to zero. A loss of any class joins with `elementwise = True`.
    """

    def covers(self, loss):
        if type(loss) in _LOSSES or getattr(loss, "elementwise", False) is True:
            return True
        return type(loss) is losses.BinaryCrossentropy and loss.get_config()["from_logits"]

    def factor(self, z, product, hessian):
        return tf.sqrt(tf.maximum(product, 0.0))
