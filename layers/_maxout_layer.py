import keras

from .._arguments import boolean, positive_integer, unused
from .._keras_objects import keras_object
from ._pieces import largest_piece

WITHOUT_BIAS = "with `use_bias=False`"


class MaxoutLayer(keras.layers.Layer):
    """What `MaxoutDense` and `MaxoutConv2D` share: a kernel of several pieces, and their largest.

    A subclass knows `num_units` and on which axis of the outputs they are, `unit_axis`.
    """

    unit_axis = -1

    def __init__(
        self,
        num_units,
        pieces,
        use_bias,
        kernel_initializer,
        bias_initializer,
        kernel_regularizer,
        bias_regularizer,
        activity_regularizer,
        kernel_constraint,
        bias_constraint,
        **kwargs,
    ):
        super().__init__(
            activity_regularizer=keras_object("activity_regularizer", activity_regularizer),
            **kwargs,
        )
        self.num_units = num_units
        self.pieces = positive_integer("pieces", pieces)
        self.use_bias = boolean("use_bias", use_bias)
        self.kernel_initializer = keras_object("kernel_initializer", kernel_initializer)
        self.bias_initializer = keras_object("bias_initializer", bias_initializer)
        self.kernel_regularizer = keras_object("kernel_regularizer", kernel_regularizer)
        self.bias_regularizer = keras_object("bias_regularizer", bias_regularizer)
        self.kernel_constraint = keras_object("kernel_constraint", kernel_constraint)
        self.bias_constraint = keras_object("bias_constraint", bias_constraint)
        if not self.use_bias:
            unused("bias_initializer", bias_initializer, "zeros", WITHOUT_BIAS)
            unused("bias_regularizer", bias_regularizer, None, WITHOUT_BIAS)
            unused("bias_constraint", bias_constraint, None, WITHOUT_BIAS)

    def add_kernel_and_bias(self, *inputs_shape):
        outputs = self.pieces * self.num_units
        self.kernel = self.add_weight(
            name="kernel",
            shape=(*inputs_shape, outputs),
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias",
                shape=(outputs,),
                initializer=self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )

    def activation(self, z):
        """The largest piece of each unit, named as in Keras's layers where the linear part ends."""
        axis = self.unit_axis % len(z.shape)
        return largest_piece(z, self.num_units, axis)

    @classmethod
    def from_config(cls, config):
        if not config["use_bias"]:
            config = {k: v for k, v in config.items() if not k.startswith("bias_")}
        return cls(**config)

    def get_config(self):
        return {
            **super().get_config(),
            "pieces": self.pieces,
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
            "bias_regularizer": keras.regularizers.serialize(self.bias_regularizer),
            "activity_regularizer": keras.regularizers.serialize(self.activity_regularizer),
            "kernel_constraint": keras.constraints.serialize(self.kernel_constraint),
            "bias_constraint": keras.constraints.serialize(self.bias_constraint),
        }
