import keras

from .._arguments import choice, positive_integer
from ..initializers import ResidualNormal
from ..layers import SkipInit
from ._network_arguments import activation_config, image_or_vector

RESIDUALS = ("skip_init", "depth_scaled", "fixup", "he")


@keras.saving.register_keras_serializable(package="kerazoo")
class ResidualNetwork(keras.Model):
    """A residual network without normalization layers, dense or convolutional, of any depth.

    `x = x + alpha * W2 relu(W1 relu(x))`, `num_blocks` times, between a first and a last layer

    What keeps 50 or 500 blocks trainable is how the branches begin, `residual`:

    | | W1 | W2 | alpha | mean square after all blocks |
    |---|---|---|---|---|
    | `"skip_init"` | He | He | learned, 0 | unchanged |
    | `"depth_scaled"` | He | He / sqrt(num_blocks) | none | times e |
    | `"fixup"` | He / sqrt(num_blocks) | 0 | learned, 1 | unchanged; the last layer is 0, too |
    | `"he"` | He | He | none | times 2**num_blocks: for comparison alone |

    Take the default. `"depth_scaled"` has no weight beyond the kernels; `"fixup"` starts from a
    constant prediction. Where batches are large and their statistics welcome, batch normalization
    does as well.

    Args:
        input_shape: Tuple without the batch: `(features,)` for a dense network, `(rows, columns,
            channels)` for a convolutional one.
        num_outputs: Positive integer, units of the last layer.
        num_blocks: Positive integer. Default 16.
        width: Positive integer, units or channels of every block. Default 64.
        residual: One of the four. Default `"skip_init"`.
        strides: Positive integer, of the first convolution; 1 in a dense network. Default 1.
        activation: Activation of the last layer. Default `None`: logits.
        **kwargs: `name` and the other arguments of `keras.Model`.

    Input shape: `(batch, *input_shape)`. Output shape: `(batch, num_outputs)`; a convolutional
    network averages over its pixels before the last layer.

    Raises:
        ValueError: a number is not a positive integer, `residual` is none of the four,
            `input_shape` has neither one axis nor three, or `strides` is above 1 without images.

    Example:

    >>> model = kerazoo.models.ResidualNetwork((8, 8, 1), num_outputs=10, num_blocks=4, width=16)
    >>> model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    >>> tuple(model(np.ones((2, 8, 8, 1))).shape)
    (2, 10)

    References:
        He et al., 2016, Identity Mappings in Deep Residual Networks,
        https://arxiv.org/abs/1603.05027; De and Smith, 2020, https://arxiv.org/abs/2002.10444;
        Zhang et al., 2019, Fixup Initialization, https://arxiv.org/abs/1901.09321
    """

    def __init__(
        self,
        input_shape,
        num_outputs,
        num_blocks=16,
        width=64,
        residual="skip_init",
        strides=1,
        activation=None,
        **kwargs,
    ):
        arguments = {
            "input_shape": image_or_vector(input_shape),
            "num_outputs": positive_integer("num_outputs", num_outputs),
            "num_blocks": positive_integer("num_blocks", num_blocks),
            "width": positive_integer("width", width),
            "residual": choice("residual", residual, RESIDUALS),
            "strides": positive_integer("strides", strides),
            "activation": activation_config(activation),
        }
        if len(arguments["input_shape"]) == 1 and arguments["strides"] != 1:
            raise ValueError(
                "`strides` must be 1 where the network is dense: it is for convolutions. "
                f"Received: strides={strides}, input_shape={input_shape}"
            )
        inputs, outputs = _layers(**arguments)
        super().__init__(inputs, outputs, **kwargs)
        self.arguments = arguments

    def get_config(self):
        return {"name": self.name, "trainable": self.trainable, **self.arguments}


def _layers(input_shape, num_outputs, num_blocks, width, residual, strides, activation):
    convolutional = len(input_shape) == 3
    first_kernel, second_kernel = {
        "skip_init": ("he_normal", "he_normal"),
        "depth_scaled": ("he_normal", ResidualNormal(num_blocks)),
        "fixup": (ResidualNormal(num_blocks), "zeros"),
        "he": ("he_normal", "he_normal"),
    }[residual]
    alpha = {"skip_init": 0.0, "fixup": 1.0}.get(residual)

    def linear(x, kernel, name, strides=1):
        if convolutional:
            layer = keras.layers.Conv2D(
                width, 3, strides, padding="same", kernel_initializer=kernel, name=name
            )
        else:
            layer = keras.layers.Dense(width, kernel_initializer=kernel, name=name)
        return layer(x)

    inputs = keras.Input(input_shape)
    x = linear(inputs, "lecun_normal", "first", strides)
    for block in range(1, num_blocks + 1):
        branch = keras.layers.ReLU(name=f"block_{block}_relu_1")(x)
        branch = linear(branch, first_kernel, f"block_{block}_linear_1")
        branch = keras.layers.ReLU(name=f"block_{block}_relu_2")(branch)
        branch = linear(branch, second_kernel, f"block_{block}_linear_2")
        if alpha is not None:
            branch = SkipInit(alpha, name=f"block_{block}_alpha")(branch)
        x = keras.layers.Add(name=f"block_{block}")([x, branch])
    x = keras.layers.ReLU(name="last_relu")(x)
    if convolutional:
        x = keras.layers.GlobalAveragePooling2D(name="average")(x)
    last_kernel = "zeros" if residual == "fixup" else "glorot_uniform"
    head = keras.layers.Dense(
        num_outputs, activation, kernel_initializer=last_kernel, name="outputs"
    )
    return inputs, head(x)
