import keras
from keras import ops

from .._arguments import positive_integer
from ._maxout_layer import MaxoutLayer


@keras.saving.register_keras_serializable(package="kerazoo")
class MaxoutDense(MaxoutLayer):
    """A dense layer whose units are each the largest of several linear pieces.

    `output[..., u] = max over p of (inputs @ kernel + bias)[..., p * units + u]`

    The maxout unit of Goodfellow et al.: the activation is learned, and no unit dies as with ReLU.
    It has `pieces` times the weights of a `Dense` and no activation of its own. Made for dropout
    before it. Start it with `kernel_initializer=kerazoo.initializers.MaxoutNormal(pieces)`: the
    default, Keras's, lets deep networks fade.

    Args:
        units: Positive integer, the number of outputs.
        pieces: Positive integer, linear pieces a unit. 2 to 5 are usual.
        use_bias: Boolean, one bias a piece. Default `True`.
        kernel_initializer: Default `"glorot_uniform"`.
        bias_initializer: Default `"zeros"`.
        kernel_regularizer: Or `None`; likewise `bias_regularizer` and `activity_regularizer`.
        kernel_constraint: Or `None`; likewise `bias_constraint`. Goodfellow et al. bound the norm
            of each piece's weights: `keras.constraints.MaxNorm(limit)`.
        **kwargs: `name`, `dtype` and the other arguments of `keras.layers.Layer`.

    Input shape: `(batch, ..., inputs)`, with `inputs` known.

    Output shape: `(batch, ..., units)`. A mask passes through unchanged.

    Weights: `kernel` `(inputs, pieces * units)`, `bias` `(pieces * units,)`; piece p of unit u is
    column `p * units + u`, as in `Dense` followed by `Maxout(units)`.

    Raises:
        ValueError: `units` or `pieces` is not a positive integer, `use_bias=False` stands beside an
            argument of the bias, or the last axis is unknown.

    Example:

    >>> start = kerazoo.initializers.MaxoutNormal(pieces=4)
    >>> layer = kerazoo.layers.MaxoutDense(3, pieces=4, kernel_initializer=start)
    >>> tuple(layer(np.ones((2, 5))).shape), tuple(layer.kernel.shape)
    ((2, 3), (5, 12))

    References:
        Goodfellow et al., 2013, Maxout Networks, https://arxiv.org/abs/1302.4389
    """

    def __init__(
        self,
        units,
        pieces,
        use_bias=True,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        kernel_regularizer=None,
        bias_regularizer=None,
        activity_regularizer=None,
        kernel_constraint=None,
        bias_constraint=None,
        **kwargs,
    ):
        super().__init__(
            positive_integer("units", units),
            pieces,
            use_bias=use_bias,
            kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            bias_regularizer=bias_regularizer,
            activity_regularizer=activity_regularizer,
            kernel_constraint=kernel_constraint,
            bias_constraint=bias_constraint,
            **kwargs,
        )
        self.units = self.num_units
        self.supports_masking = True
        self.input_spec = keras.layers.InputSpec(min_ndim=2)

    def build(self, input_shape):
        if input_shape[-1] is None:
            raise ValueError(
                "The last axis of the inputs must be known. "
                f"Received: input_shape={tuple(input_shape)}"
            )
        self.add_kernel_and_bias(input_shape[-1])
        self.input_spec = keras.layers.InputSpec(min_ndim=2, axes={-1: input_shape[-1]})

    def call(self, inputs):
        z = ops.matmul(inputs, self.kernel)
        return self.activation(z if self.bias is None else z + self.bias)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.units)

    def get_config(self):
        return {**super().get_config(), "units": self.units}
