import math
import warnings

import keras
import numpy as np
from keras import ops

from .._arguments import number, wrong
from ._gaussian_mean import gaussian_mean

# The slope where none is given: of `kerazoo.layers.PReLU` at its start, and of Keras's functions.
_SLOPES = {"prelu": 0.25, "leaky_relu": 0.2, "relu": 0.0}


def calculate_gain(activation, negative_slope=None):
    """The factor that keeps a signal's mean square through a layer and its activation.

    `gain = 1 / sqrt(E[f(z)**2]), z ~ N(0, 1)`

    Kernels of standard deviation `gain / sqrt(fan_in)` give the next layer's pre-activations a
    mean square of 1 where this layer's have it. It is computed by quadrature, so that any
    elementwise function will do: relu 1.414, leaky_relu sqrt(2 / (1 + slope**2)), elu 1.245,
    selu 1.000, tanh 1.593 (PyTorch rounds to 5/3), gelu 1.534, silu 1.677.

    A gain holds the mean square where small errors die out, as for relu or tanh. For gelu, silu
    and mish they grow with depth, upwards or downwards, so at 50 layers no gain works: take `lsuv`,
    a normalization, or residual blocks.

    Args:
        activation: Name of a Keras activation, `"prelu"`, or an elementwise function of a tensor.
        negative_slope: Number, the slope below 0; for `"relu"`, `"leaky_relu"` and `"prelu"`
            alone. Default `None`: 0, 0.2 (as in Keras; its *layer* `LeakyReLU` has 0.3) and 0.25.

    Returns:
        A float.

    Raises:
        ValueError: `activation` is unknown, not elementwise, zero everywhere, or not finite;
            `negative_slope` is no finite number or given for another activation.

    Example:

    >>> round(kerazoo.initializers.calculate_gain("relu"), 6)
    1.414214
    >>> round(kerazoo.initializers.calculate_gain("leaky_relu", negative_slope=0.3), 6)
    1.354571

    References:
        He et al., 2015, Delving Deep into Rectifiers, https://arxiv.org/abs/1502.01852
    """
    slope = number("negative_slope", negative_slope, also=(None,))
    if isinstance(activation, str) and activation in _SLOPES:
        return math.sqrt(2 / (1 + (_SLOPES[activation] if slope is None else slope) ** 2))
    if slope is not None:
        raise ValueError(
            f"`negative_slope` belongs to one of {tuple(_SLOPES)} alone. "
            f"Received: activation={activation!r}, negative_slope={negative_slope!r}"
        )
    function = _activation_function(activation)
    mean_square = gaussian_mean(lambda z: _values(function, z, activation) ** 2)
    if not 0 < mean_square < math.inf:
        raise ValueError(
            "`activation` must have a finite mean square above 0 for standard normal inputs. "
            f"Received: activation={activation!r}, with {mean_square}"
        )
    return 1 / math.sqrt(mean_square)


def _activation_function(activation):
    try:
        if activation is None:
            raise ValueError
        return keras.activations.get(activation)
    except (TypeError, ValueError) as error:
        wanted = "the name of a Keras activation, 'prelu' or a function"
        raise wrong("activation", wanted, activation) from error


def _values(function, z, activation):
    some = slice(len(z) // 4, len(z) // 2)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Explicitly requested dtype", UserWarning)
        # JAX computes in float32 where 64 bits are not enabled.
        whole, part = (
            ops.convert_to_numpy(function(ops.convert_to_tensor(values, "float64")))
            for values in (z, z[some])
        )
    if whole.shape != z.shape or not np.allclose(whole[some], part, equal_nan=True):
        raise ValueError(
            "`activation` must be elementwise: each output a function of its input alone. "
            f"Received: activation={activation!r}"
        )
    return whole.astype("float64")
