import keras
import numpy as np
from keras import ops

from .._arguments import wrong


@keras.saving.register_keras_serializable(package="kerazoo")
class Box(keras.constraints.Constraint):
    """Keeps every weight of a variable between bounds of its own.

    `w = min(max(w, lower), upper)`, element by element

    `kerazoo.optimizers.LevenbergMarquardt` finds the best fit within the bounds: a weight at a
    bound that would leave it stays out of a step, and comes back in when it would not. Any other
    Keras optimizer clips the weights after its update. For bounds that are 0 for all weights there
    is Keras's `NonNeg`.

    Args:
        lower: Number or array of the variable's shape, or one that broadcasts to it. Default
            `-inf`: no bound.
        upper: The same, nowhere below `lower`; where the two are equal the weight is held there.
            Default `inf`: no bound.

    Raises:
        ValueError: A bound is NaN or no number, `lower` exceeds `upper` or is inf, `upper` is -inf;
            when used, the bounds do not fit the variable's shape.

    Example:

    >>> box = kerazoo.optimizers.Box(lower=[0.0, -1.0], upper=[np.inf, 1.0])
    >>> [float(value) for value in box(np.array([-3.0, 5.0]))]
    [0.0, 1.0]
    >>> layer = keras.layers.Dense(2, bias_constraint=box)
    """

    def __init__(self, lower=-np.inf, upper=np.inf):
        self.lower = _bound("lower", lower)
        self.upper = _bound("upper", upper)
        if (self.lower == np.inf).any():
            raise wrong("lower", "below infinity", lower)
        if (self.upper == -np.inf).any():
            raise wrong("upper", "above minus infinity", upper)
        try:
            crossed = (self.lower > self.upper).any()
        except ValueError as error:
            shapes = f"lower of shape {self.lower.shape}, upper of shape {self.upper.shape}"
            raise ValueError(
                f"`lower` and `upper` must have shapes that broadcast. Received: {shapes}"
            ) from error
        if crossed:
            raise ValueError(
                f"`lower` must not exceed `upper` anywhere. Received: lower={lower}, upper={upper}"
            )

    def __call__(self, w):
        w = ops.convert_to_tensor(w)
        shape = tuple(w.shape)
        bounds = np.broadcast_shapes(self.lower.shape, self.upper.shape)
        try:
            fits = np.broadcast_shapes(bounds, shape) == shape
        except ValueError:
            fits = False
        if not fits:
            raise ValueError(
                "`lower` and `upper` must have the shape of the variable, or broadcast to it. "
                f"Received: bounds of shape {bounds} for a variable of shape {shape}"
            )
        lower, upper = (ops.convert_to_tensor(b, w.dtype) for b in (self.lower, self.upper))
        return ops.minimum(ops.maximum(w, lower), upper)

    def get_config(self):
        return {"lower": self.lower.tolist(), "upper": self.upper.tolist()}


def _bound(name, value):
    wanted = "a number or an array of numbers, which may be infinite and not NaN"
    try:
        bound = np.asarray(value)
        if bound.dtype.kind not in "iuf":
            raise ValueError
    except ValueError as error:
        raise wrong(name, wanted, value) from error
    bound = bound.astype("float64")
    if np.isnan(bound).any():
        raise wrong(name, wanted, value)
    return bound
