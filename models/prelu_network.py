import keras

from .._arguments import positive_integer
from ..initializers import ActivationNormal
from ..layers import PReLU
from ._network_arguments import activation_config, dropout_rate, image_or_vector, sizes


@keras.saving.register_keras_serializable(package="kerazoo")
class PReLUNetwork(keras.Model):
    """The convolutional network of He et al. with PReLU, in small.

    For each of `filters` a stage: 3 x 3 convolutions, each with a slope a channel, then pooling by
    2; then for each of `units` a dense layer with slopes and dropout; then a dense layer. Kernels
    begin from `ActivationNormal("prelu")`, slopes from 0.25, and it needs no normalization.

    A good first network for small images; of a vector only the dense part is left.

    Args:
        input_shape: Tuple without the batch: `(rows, columns, channels)`, or `(features,)`.
        num_outputs: Positive integer, units of the last layer.
        filters: Tuple of positive integers, channels of each stage. Default `(16, 32, 64)`.
        convolutions: Positive integer, how many in each stage. Default 2.
        units: Tuple of positive integers, of each dense layer. Default `(128,)`.
        dropout: Number in [0, 1), after every dense layer. Default 0.5.
        activation: Activation of the last layer. Default `None`: logits.
        **kwargs: `name` and the other arguments of `keras.Model`.

    Input shape: `(batch, *input_shape)`. Output shape: `(batch, num_outputs)`.

    Raises:
        ValueError: a number is out of range, or `input_shape` has neither one axis nor three.

    Example:

    >>> model = kerazoo.models.PReLUNetwork((28, 28, 1), num_outputs=10)
    >>> tuple(model(np.ones((2, 28, 28, 1))).shape)
    (2, 10)

    References:
        He et al., 2015, Delving Deep into Rectifiers, https://arxiv.org/abs/1502.01852
    """

    def __init__(
        self,
        input_shape,
        num_outputs,
        filters=(16, 32, 64),
        convolutions=2,
        units=(128,),
        dropout=0.5,
        activation=None,
        **kwargs,
    ):
        arguments = {
            "input_shape": image_or_vector(input_shape),
            "num_outputs": positive_integer("num_outputs", num_outputs),
            "filters": sizes("filters", filters),
            "convolutions": positive_integer("convolutions", convolutions),
            "units": sizes("units", units),
            "dropout": dropout_rate("dropout", dropout),
            "activation": activation_config(activation),
        }
        inputs, outputs = _layers(**arguments)
        super().__init__(inputs, outputs, **kwargs)
        self.arguments = arguments

    def get_config(self):
        return {"name": self.name, "trainable": self.trainable, **self.arguments}


def _layers(input_shape, num_outputs, filters, convolutions, units, dropout, activation):
    kernel = ActivationNormal("prelu")
    x = inputs = keras.Input(input_shape)
    if len(input_shape) == 3:
        for size in filters:
            for _ in range(convolutions):
                x = keras.layers.Conv2D(size, 3, padding="same", kernel_initializer=kernel)(x)
                x = PReLU()(x)
            x = keras.layers.MaxPooling2D()(x)
        x = keras.layers.Flatten()(x)
    for size in units:
        x = keras.layers.Dense(size, kernel_initializer=kernel)(x)
        x = keras.layers.Dropout(dropout)(PReLU()(x))
    return inputs, keras.layers.Dense(num_outputs, activation)(x)
