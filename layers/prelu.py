import numbers

import keras
import numpy as np
from keras import ops

from .._arguments import choice, number, unused, wrong
from .._keras_objects import keras_object
from ._axis import axis_argument, axis_from_front

SHARING = ("channel", "layer", "element")


@keras.saving.register_keras_serializable(package="kerazoo")
class PReLU(keras.layers.Layer):
    """ReLU with a learned negative slope; unlike Keras's: one a channel, any size, from 0.25.

    `output = max(0, inputs) + alpha * min(0, inputs)`

    `keras.layers.PReLU` learns one slope for every feature element, so the size of its inputs is
    fixed, and starts as a plain ReLU. This is the layer of He et al. Take `sharing="channel"`
    after a convolution or a `Dense`, `"layer"` where a single extra weight must do, and
    `"element"`, Keras's sharing, only where every position deserves a slope of its own.

    He et al. put no weight decay on `alpha`: it would pull the slopes to zero, back to ReLU. With
    a Keras optimizer that has `weight_decay`, call
    `optimizer.exclude_from_weight_decay(var_names=["alpha"])` before training.

    At an input of exactly 0 the gradient is that of the negative side: `alpha` for the input and
    0 for `alpha`.

    Args:
        sharing: Which inputs share a slope. `"channel"` (default): all of a channel, `alpha` has
            the shape `(channels,)`. `"layer"`: all, `alpha` is a scalar. `"element"`: none but
            those of other examples, `alpha` has the shape of the input without the batch.
        alpha_initializer: A number, the slope of all to start from, or an initializer. Default
            0.25.
        alpha_regularizer: Regularizer of `alpha`, or `None`.
        alpha_constraint: Constraint of `alpha`, or `None`.
        axis: Integer, the axis of the channels; used with `sharing="channel"` alone. Take 1 for
            `data_format="channels_first"`. It cannot be the batch axis, 0. Default -1.
        **kwargs: `name`, `dtype` and the other arguments of `keras.layers.Layer`.

    Input shape: any, e.g. `(batch, ..., channels)`. With `"channel"` the number of channels must
    be known and the other dimensions may be unknown, with `"element"` only the batch may be.

    Output shape: the same. A mask passes through unchanged.

    Raises:
        ValueError: `sharing` is none of the three, `alpha_initializer` is neither a number nor an
            initializer, `axis` is 0 or outside the input's rank or given beside another `sharing`
            than `"channel"`, or a dimension that `alpha` needs is unknown.

    Example:

    >>> x = np.array([[-4.0, 0.0, 2.0]])
    >>> keras.ops.convert_to_numpy(kerazoo.layers.PReLU()(x))
    array([[-1.,  0.,  2.]], dtype=float32)

    References:
        He et al., 2015, Delving Deep into Rectifiers, https://arxiv.org/abs/1502.01852
    """

    def __init__(
        self,
        sharing="channel",
        alpha_initializer=0.25,
        alpha_regularizer=None,
        alpha_constraint=None,
        axis=-1,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.sharing = choice("sharing", sharing, SHARING)
        self.alpha_initializer = _initializer(alpha_initializer)
        self.alpha_regularizer = keras_object("alpha_regularizer", alpha_regularizer)
        self.alpha_constraint = keras_object("alpha_constraint", alpha_constraint)
        self.axis = axis_argument(axis)
        if self.sharing != "channel":
            unused("axis", self.axis, -1, f"with `sharing={self.sharing!r}`")
        self.supports_masking = True

    def build(self, input_shape):
        if self.sharing == "layer":
            alpha_shape = ()
        elif self.sharing == "channel":
            alpha_shape = (input_shape[axis_from_front(self.axis, input_shape)],)
            self.input_spec = keras.layers.InputSpec(
                min_ndim=abs(self.axis) + 1, axes={self.axis: alpha_shape[0]}
            )
        else:
            alpha_shape = tuple(input_shape[1:])
            self.input_spec = keras.layers.InputSpec(shape=(None, *alpha_shape))
        if None in alpha_shape:
            raise ValueError(
                "`alpha` needs to know the number of channels with `sharing='channel'`, and every "
                "dimension but the batch with `sharing='element'`. "
                f"Received: sharing={self.sharing!r}, axis={self.axis}, "
                f"input_shape={tuple(input_shape)}"
            )
        self.alpha = self.add_weight(
            name="alpha",
            shape=alpha_shape,
            initializer=self.alpha_initializer,
            regularizer=self.alpha_regularizer,
            constraint=self.alpha_constraint,
        )

    def call(self, inputs):
        rank = len(inputs.shape)
        if self.sharing == "layer":
            own_axes = ()
        elif self.sharing == "channel":
            own_axes = (axis_from_front(self.axis, inputs.shape),)
        else:
            own_axes = range(1, rank)
        shared_axes = tuple(i for i in range(rank) if i not in own_axes)
        # (channels,) -> (1, ..., channels, ..., 1)
        alpha = ops.expand_dims(ops.cast(self.alpha, self.compute_dtype), shared_axes)
        return _prelu(ops.cast(inputs, self.compute_dtype), alpha, shared_axes)

    def compute_output_shape(self, input_shape):
        return input_shape

    @classmethod
    def from_config(cls, config):
        unread = ("axis",) if config["sharing"] != "channel" else ()
        return cls(**{name: value for name, value in config.items() if name not in unread})

    def get_config(self):
        return {
            **super().get_config(),
            "sharing": self.sharing,
            "alpha_initializer": keras.initializers.serialize(self.alpha_initializer),
            "alpha_regularizer": keras.regularizers.serialize(self.alpha_regularizer),
            "alpha_constraint": keras.constraints.serialize(self.alpha_constraint),
            "axis": self.axis,
        }


def _initializer(value):
    name = "alpha_initializer"
    if value is None or isinstance(value, (bool, np.bool_)):
        raise wrong(name, "a finite number or an initializer", value)
    if isinstance(value, numbers.Real):
        # Of a Python float Keras 3.15 makes a float32 first.
        return keras.initializers.Constant(np.float64(number(name, value)))
    return keras_object(name, value)


def _prelu(inputs, alpha, shared_axes):
    """The formula, with its gradient written out.

    TensorFlow's own would be the sum of both sides' at 0, takes more passes over the inputs, and
    has a sum for `alpha` that XLA compiles badly (scripts/bench_layers.py).
    """

    @ops.custom_gradient
    def prelu(inputs, alpha):
        def gradient(*args, upstream=None):
            if upstream is None:  # TensorFlow and JAX pass it alone, torch after the inputs.
                (upstream,) = args
            positive = ops.greater(inputs, 0)
            for_inputs = ops.where(positive, upstream, alpha * upstream)
            for_alpha = ops.where(positive, 0.0, upstream * inputs)
            return for_inputs, ops.sum(for_alpha, axis=shared_axes, keepdims=True)

        return ops.maximum(inputs, 0.0) + alpha * ops.minimum(inputs, 0.0), gradient

    return prelu(inputs, alpha)
