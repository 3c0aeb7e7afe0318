import keras

from .._arguments import number
from ._variance_scaling import VarianceScaling
from .calculate_gain import calculate_gain


@keras.saving.register_keras_serializable(package="kerazoo")
class ActivationNormal(VarianceScaling):
    """A He-type normal with the gain of any activation, PReLU's and leaky slopes included.

    `W ~ N(0, gain**2 / fan_in)`, `gain = calculate_gain(activation, negative_slope)`

    `he_normal` is right for plain ReLU only: with slopes of 0.25 it lets 100 layers grow by a
    factor of about 400. The activation is the one *before* this kernel, whose outputs it reads; in
    a network of one activation throughout that is the same. For gelu, silu and mish no gain holds
    at depth: see `calculate_gain`. One net of 100 layers and width 256 still wanders by a factor
    of about 4 either way; `lsuv` does not.

    Args:
        activation: Name of a Keras activation, `"prelu"`, or a registered elementwise function.
        negative_slope: Number, for `"relu"`, `"leaky_relu"` and `"prelu"`. Default `None`: theirs.
        seed: Integer, `keras.random.SeedGenerator`, or `None` (default). Without a seed every
            weight gets values of its own, also from one instance, where Keras's initializers
            repeat themselves; with an integer every call gives the same.
        input_axes: Tuple of integers, the axes of the kernel that it sums over; with
            `output_axes`. `None` (default): read off the shape, right for dense kernels and for
            convolutions of any rank, grouped ones included. `EinsumDense` and
            `MultiHeadAttention` fill both in by themselves from Keras 3.15 on; before, pass them,
            or kernels of three axes are taken for convolutions. For depthwise and transposed
            kernels take `DepthwiseHeNormal` and `ConvTransposeHeNormal`.
        output_axes: Tuple of integers, the other axes of the kernel, or `None`.

    Raises:
        ValueError: as `calculate_gain`.

    Example:

    >>> initializer = kerazoo.initializers.ActivationNormal("prelu", seed=0)
    >>> round(float(keras.ops.std(initializer((300, 400)))), 2)  # sqrt(1.88 / 300)
    0.08

    References:
        He et al., 2015, Delving Deep into Rectifiers, https://arxiv.org/abs/1502.01852
    """

    def __init__(
        self, activation, negative_slope=None, seed=None, input_axes=None, output_axes=None
    ):
        gain = calculate_gain(activation, negative_slope)
        super().__init__(gain**2, "fan_in", "untruncated_normal", seed, input_axes, output_axes)
        is_name = isinstance(activation, str)
        self.activation = activation if is_name else keras.activations.get(activation)
        self.negative_slope = number("negative_slope", negative_slope, also=(None,))

    def get_config(self):
        activation = self.activation
        if not isinstance(activation, str):
            activation = keras.activations.serialize(activation)
        return {
            **super().get_config(),
            "activation": activation,
            "negative_slope": self.negative_slope,
        }
