import keras
import numpy as np
from keras import ops

from .._arguments import positive_integer, wrong
from ._target_constants import CROSS_ENTROPIES, best_constant, log_odds, loss_kind


@keras.saving.register_keras_serializable(package="kerazoo")
class PriorBias(keras.initializers.Initializer):
    """Starts the last bias at what the targets are like before any input is read.

    | loss | bias |
    |---|---|
    | `"binary_crossentropy"` | log-odds of the base rate, `log(p / (1 - p))`, for each unit |
    | `"categorical_crossentropy"`, `"sparse_categorical_crossentropy"` | `log(p)` of each class |
    | `"mse"`, `"mae"` | mean, median |
    | `"poisson"` | log of the mean |

    A network that begins at zero spends its first steps on learning the base rate: at 1 % positives
    about 115 steps, with this bias 34, and 19 with a zero kernel in the same layer (`"zeros"`),
    means of 5 seeds in scripts/compare_bias_starts.py. It buys speed, not accuracy at the end. The
    biases are for a last layer of logits, or with the activation that belongs to the loss: sigmoid,
    softmax, none, exponential. For a model that is already built, `initialize_output_bias` finds
    layer, loss and activation by itself. Where you
    train on weighted or resampled data, take the prior from what the loss sees.

    Args:
        values: Number, or sequence of them, one for each unit.

    Raises:
        ValueError: a value is not a finite number, or the bias has another number of units.

    Example:

    >>> y = np.array([0, 0, 0, 1, 0, 0, 0, 0])
    >>> bias = kerazoo.initializers.PriorBias.from_targets(y)  # log((1 + 1) / (7 + 1))
    >>> layer = keras.layers.Dense(1, "sigmoid", kernel_initializer="zeros", bias_initializer=bias)
    >>> keras.ops.convert_to_numpy(layer(np.ones((1, 3))))  # (1 + 1) / (8 + 2)
    array([[0.2]], dtype=float32)

    References:
        Lin et al., 2017, Focal Loss for Dense Object Detection, section 3.3,
        https://arxiv.org/abs/1708.02002
    """

    def __init__(self, values):
        array = np.asarray(values)
        is_number = array.dtype.kind in "iuf" and np.isfinite(array.astype("float64")).all()
        if array.ndim > 1 or array.size == 0 or not is_number:
            raise wrong("values", "a finite number or a sequence of them", values)
        self.values = array.astype("float64").tolist()

    @classmethod
    def from_targets(
        cls,
        y,
        loss="binary_crossentropy",
        smoothing=1.0,
        sample_weight=None,
        class_weight=None,
        num_classes=None,
    ):
        """The bias for these targets.

        Args:
            y: Array `(examples, ..., units)`, or `(examples,)` for one unit; of integer labels for
                `"sparse_categorical_crossentropy"`. All axes but the last are averaged over.
            loss: One of the names in the table. Default `"binary_crossentropy"`.
            smoothing: Number, not negative: that many more examples of each class, so that an
                absent class gets a finite bias. For cross-entropies alone. Default 1.
            sample_weight: Array `(examples,)` or one value a label, as in `fit`, or `None`.
            class_weight: Dict of weights by class, as in `fit`, or `None`.
            num_classes: Positive integer, the number of sparse classes. Default `None`: the
                largest label and one.

        Returns:
            A `PriorBias`.

        Raises:
            ValueError: `loss` is another, `y` does not fit it or is not finite, or a rate is 0 or 1
                and `smoothing` 0.
        """
        kind = loss_kind(loss)
        num_classes = positive_integer("num_classes", num_classes, also=(None,))
        constant = best_constant(y, kind, smoothing, sample_weight, class_weight, num_classes)
        if kind == "binary_crossentropy":
            return cls(log_odds(constant))
        return cls(np.log(constant) if kind in (*CROSS_ENTROPIES, "poisson") else constant)

    def __call__(self, shape, dtype=None):
        if self.values_shape not in ((), (1,), tuple(shape)):
            raise ValueError(
                "`values` must be one number, or one for each unit of the bias. "
                f"Received: {len(self.values)} values for a bias of shape {tuple(shape)}"
            )
        dtype = keras.backend.standardize_dtype(dtype)
        return ops.broadcast_to(ops.convert_to_tensor(self.values, dtype), shape)

    @property
    def values_shape(self):
        return np.shape(self.values)

    def get_config(self):
        return {"values": self.values}
