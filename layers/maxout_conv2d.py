import keras
from keras import ops

from .._arguments import choice, integer_or_none, integers, positive_integer, wrong
from ._maxout_layer import MaxoutLayer


@keras.saving.register_keras_serializable(package="kerazoo")
class MaxoutConv2D(MaxoutLayer):
    """A convolution whose filters are each the largest of several linear pieces.

    `output[..., f] = max over p of (conv(inputs, kernel) + bias)[..., p * filters + f]`

    `MaxoutDense` at every pixel: `pieces` times the weights of a `Conv2D`, and no activation of
    its own. Goodfellow et al. take the largest over a pooling window as well: follow it with
    `MaxPooling2D`. Start it with `kernel_initializer=kerazoo.initializers.MaxoutNormal(pieces)`.

    Args:
        filters: Positive integer, the number of output channels.
        pieces: Positive integer, linear pieces a filter. 2 to 4 are usual.
        kernel_size: Positive integer, or two of them.
        strides: Positive integer, or two of them. Default 1. Above 1 only without dilation.
        padding: `"valid"` (default) or `"same"`.
        data_format: `"channels_last"`, `"channels_first"`, or `None` (default): Keras's setting.
        dilation_rate: Positive integer, or two of them. Default 1.
        use_bias: Boolean, one bias a piece. Default `True`.
        kernel_initializer: Default `"glorot_uniform"`.
        bias_initializer: Default `"zeros"`.
        kernel_regularizer: Or `None`; likewise `bias_regularizer` and `activity_regularizer`.
        kernel_constraint: Or `None`; likewise `bias_constraint`.
        **kwargs: `name`, `dtype` and the other arguments of `keras.layers.Layer`.

    Input shape: `(batch, rows, columns, channels)`, or channels second with `"channels_first"`.

    Output shape: as of `Conv2D(filters, kernel_size, ...)`. Masks are not supported.

    Weights: `kernel` `(*kernel_size, channels, pieces * filters)`, `bias` `(pieces * filters,)`;
    piece p of filter f is channel `p * filters + f`, as in `Conv2D` followed by `Maxout(filters)`.

    Raises:
        ValueError: a number is not a positive integer, `padding` or `data_format` is none of the
            two, `strides` and `dilation_rate` are both above 1, `use_bias=False` stands beside an
            argument of the bias, the number of channels is unknown, or the kernel does not fit
            into the input.

    Example:

    >>> layer = kerazoo.layers.MaxoutConv2D(8, pieces=2, kernel_size=3, padding="same")
    >>> tuple(layer(np.ones((1, 28, 28, 1))).shape)
    (1, 28, 28, 8)

    References:
        Goodfellow et al., 2013, Maxout Networks, https://arxiv.org/abs/1302.4389
    """

    def __init__(
        self,
        filters,
        pieces,
        kernel_size,
        strides=1,
        padding="valid",
        data_format=None,
        dilation_rate=1,
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
            positive_integer("filters", filters),
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
        self.filters = self.num_units
        self.kernel_size = _two("kernel_size", kernel_size)
        self.strides = _two("strides", strides)
        self.padding = choice("padding", padding, ("valid", "same"))
        formats = ("channels_last", "channels_first")
        data_format = choice("data_format", data_format, formats, also=(None,))
        self.data_format = data_format or keras.config.image_data_format()
        self.dilation_rate = _two("dilation_rate", dilation_rate)
        if max(self.strides) > 1 and max(self.dilation_rate) > 1:
            raise ValueError(
                "`strides` and `dilation_rate` cannot both be above 1. "
                f"Received: strides={self.strides}, dilation_rate={self.dilation_rate}"
            )
        self.unit_axis = -1 if self.data_format == "channels_last" else 1
        self.input_spec = keras.layers.InputSpec(ndim=4)

    def build(self, input_shape):
        self.compute_output_shape(input_shape)
        channels = input_shape[self.unit_axis]
        if channels is None:
            raise ValueError(
                "The number of channels must be known. "
                f"Received: input_shape={tuple(input_shape)}, data_format={self.data_format!r}"
            )
        self.add_kernel_and_bias(*self.kernel_size, channels)
        self.input_spec = keras.layers.InputSpec(ndim=4, axes={self.unit_axis: channels})

    def call(self, inputs):
        z = self._conv(inputs, self.kernel)
        if self.bias is not None:
            z = z + (self.bias if self.unit_axis == -1 else ops.reshape(self.bias, (-1, 1, 1)))
        return self.activation(z)

    def compute_output_shape(self, input_shape):
        if len(input_shape) != 4:
            raise ValueError(
                "The inputs must have four axes: batch, rows, columns and channels. "
                f"Received: input_shape={tuple(input_shape)}"
            )
        channels = input_shape[self.unit_axis]
        kernel = keras.KerasTensor((*self.kernel_size, channels, self.filters))
        shape = self._conv(keras.KerasTensor(input_shape), kernel).shape
        if self.padding == "valid" and 0 in shape[1:]:  # Which older Keras lets pass.
            raise ValueError(
                "Computed output size would be zero or negative. "
                f"Received: input_shape={tuple(input_shape)}, kernel_size={self.kernel_size}, "
                f"dilation_rate={self.dilation_rate}"
            )
        return shape

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "padding": self.padding,
            "data_format": self.data_format,
            "dilation_rate": self.dilation_rate,
        }

    def _conv(self, inputs, kernel):
        return ops.conv(
            inputs,
            kernel,
            strides=self.strides,
            padding=self.padding,
            data_format=self.data_format,
            dilation_rate=self.dilation_rate,
        )


def _two(name, value):
    """A pair of positive integers, of which one may stand for both."""
    found = integers(name, value, minimum=1)
    if integer_or_none(value) is not None:
        return found * 2
    if len(found) != 2:
        raise wrong(name, "a positive integer or two of them", value)
    return found
