import keras
import numpy as np

from .._arguments import number


@keras.saving.register_keras_serializable(package="kerazoo")
class SkipInit(keras.layers.Layer):
    """A learned scalar, 0 at first, at the end of a residual branch.

    `output = alpha * inputs`, used as `x = Add()([x, SkipInit()(branch(x))])`

    Every block begins as the identity, so signals and gradients pass any number of blocks
    unchanged, and a network of 50 trains without normalization. Start the kernels of the branch
    as usual, e.g. `"he_normal"`: they count once alpha has moved, at the second step. Beside
    BatchNormalization it does little. Also known as ReZero.

    Args:
        initial_value: Finite number, alpha at the start. Default 0. `1 / sqrt(num_blocks)` lets
            all blocks take part from the first step on.
        **kwargs: `name`, `dtype` and the other arguments of `keras.layers.Layer`.

    Input shape: any. Output shape: the same. A mask passes through unchanged.

    Raises:
        ValueError: `initial_value` is no finite number.

    Example:

    >>> x = keras.Input((8,))
    >>> branch = keras.layers.Dense(8, "relu", kernel_initializer="he_normal")(x)
    >>> keras.layers.Add()([x, kerazoo.layers.SkipInit()(branch)]).shape
    (None, 8)

    References:
        De and Smith, 2020, Batch Normalization Biases Residual Blocks Towards the Identity,
        https://arxiv.org/abs/2002.10444; Bachlechner et al., 2020, ReZero,
        https://arxiv.org/abs/2003.04887
    """

    def __init__(self, initial_value=0.0, **kwargs):
        super().__init__(**kwargs)
        self.initial_value = number("initial_value", initial_value)
        self.supports_masking = True

    def build(self, input_shape):
        self.alpha = self.add_weight(
            name="alpha",
            shape=(),
            # Of a Python float Keras 3.15 makes a float32 first.
            initializer=keras.initializers.Constant(np.float64(self.initial_value)),
        )

    def call(self, inputs):
        return self.alpha * inputs

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "initial_value": self.initial_value}
