import keras

from .._arguments import number, positive_integer
from ..initializers import MaxoutNormal
from ..layers import MaxoutConv2D, MaxoutDense
from ._network_arguments import activation_config, dropout_rate, image_or_vector, sizes


@keras.saving.register_keras_serializable(package="kerazoo")
class MaxoutNetwork(keras.Model):
    """A maxout network with dropout, dense or convolutional, as in Goodfellow et al.

    Image: dropout, then for each of `filters` a 3 x 3 `MaxoutConv2D`, pooling by 2 and dropout;
    then, as for a vector from the start, for each of `units` a `MaxoutDense` and dropout; then a
    dense layer. Every maxout kernel begins from `MaxoutNormal(pieces)`.

    Maxout and dropout were made for one another: the units are piecewise linear, so halving the
    weights averages the thinned networks well. Of as many weights a ReLU network is `pieces` times
    as wide; try both.

    Args:
        input_shape: Tuple without the batch: `(features,)`, or `(rows, columns, channels)`.
        num_outputs: Positive integer, units of the last layer.
        filters: Tuple of positive integers, filters of each convolution; used for images. Default
            `(32, 64)`.
        units: Tuple of positive integers, of each dense maxout layer. Default `(128,)`.
        pieces: Positive integer, linear pieces of every unit. Default 2.
        input_dropout: Number in [0, 1). Default 0.
        dropout: Number in [0, 1), after every maxout layer; a half of it after convolutions.
            Default 0.5.
        max_norm: Number above 0, the largest norm of each piece's weights, or `None` (default).
            Goodfellow et al. take about 2 with plain SGD.
        activation: Activation of the last layer. Default `None`: logits.
        **kwargs: `name` and the other arguments of `keras.Model`.

    Input shape: `(batch, *input_shape)`. Output shape: `(batch, num_outputs)`.

    Raises:
        ValueError: a number is out of range, or `input_shape` has neither one axis nor three.

    Example:

    >>> model = kerazoo.models.MaxoutNetwork((28, 28, 1), num_outputs=10)
    >>> tuple(model(np.ones((2, 28, 28, 1))).shape)
    (2, 10)

    References:
        Goodfellow et al., 2013, Maxout Networks, https://arxiv.org/abs/1302.4389
    """

    def __init__(
        self,
        input_shape,
        num_outputs,
        filters=(32, 64),
        units=(128,),
        pieces=2,
        input_dropout=0.0,
        dropout=0.5,
        max_norm=None,
        activation=None,
        **kwargs,
    ):
        arguments = {
            "input_shape": image_or_vector(input_shape),
            "num_outputs": positive_integer("num_outputs", num_outputs),
            "filters": sizes("filters", filters),
            "units": sizes("units", units),
            "pieces": positive_integer("pieces", pieces),
            "input_dropout": dropout_rate("input_dropout", input_dropout),
            "dropout": dropout_rate("dropout", dropout),
            "max_norm": number("max_norm", max_norm, above=0, also=(None,)),
            "activation": activation_config(activation),
        }
        inputs, outputs = _layers(**arguments)
        super().__init__(inputs, outputs, **kwargs)
        self.arguments = arguments

    def get_config(self):
        return {"name": self.name, "trainable": self.trainable, **self.arguments}


def _layers(
    input_shape,
    num_outputs,
    filters,
    units,
    pieces,
    input_dropout,
    dropout,
    max_norm,
    activation,
):
    def start(axis):
        constraint = None if max_norm is None else keras.constraints.MaxNorm(max_norm, axis=axis)
        return {"kernel_initializer": MaxoutNormal(pieces), "kernel_constraint": constraint}

    x = inputs = keras.Input(input_shape)
    x = keras.layers.Dropout(input_dropout)(x)
    if len(input_shape) == 3:
        for size in filters:
            x = MaxoutConv2D(size, pieces, 3, padding="same", **start((0, 1, 2)))(x)
            x = keras.layers.MaxPooling2D()(x)
            x = keras.layers.Dropout(dropout / 2)(x)
        x = keras.layers.Flatten()(x)
    for size in units:
        x = MaxoutDense(size, pieces, **start(0))(x)
        x = keras.layers.Dropout(dropout)(x)
    return inputs, keras.layers.Dense(num_outputs, activation)(x)
