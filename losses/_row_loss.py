import keras
from keras import ops

from .._arguments import choice, float_dtype, text

REDUCTIONS = ("sum_over_batch_size", "sum", "mean", "mean_with_sample_weight", "none")


class RowLoss(keras.losses.Loss):
    """A loss with one value for each row of targets, `y_true` being (batch, ..., columns).

    Beyond Keras's own `Loss` it does four things: a `sample_weight` of shape (batch,) weighs
    whole sequences, where Keras would lay it along the time axis; `y_pred` must have the rows of
    `y_true`; the config keeps the dtype; and its arguments are checked.
    """

    def __init__(self, name, reduction, dtype):
        choice("reduction", reduction, REDUCTIONS, also=(None,))
        super().__init__(
            name=text("name", name, also=(None,)),
            reduction=reduction,
            dtype=float_dtype("dtype", dtype),
        )

    @property
    def wide_dtype(self):
        """At least float32, for what overflows a half type on its way to a value that does not."""
        return "float32" if self.dtype in ("float16", "bfloat16") else self.dtype

    def __call__(self, y_true, y_pred, sample_weight=None):
        y_true = ops.convert_to_tensor(y_true, self.dtype)
        if sample_weight is not None:
            sample_weight = _weights_of_rows(sample_weight, y_true)
        return super().__call__(y_true, y_pred, sample_weight)

    def get_config(self):
        return {**super().get_config(), "dtype": self.dtype}


def check_same_rows(y_true, y_pred):
    if not rank_is_known(y_true) or not same_shape(y_true.shape[:-1], y_pred.shape[:-1]):
        raise ValueError(
            "`y_true` and `y_pred` must have the same axes before the last: a row of targets for "
            f"each row of predictions. Received: y_true.shape={shape_in_words(y_true)}, "
            f"y_pred.shape={shape_in_words(y_pred)}"
        )


def check_one_value_a_row(values, y_true):
    rows = tuple(y_true.shape[:-1])
    if not same_shape(rows, values.shape):
        raise ValueError(
            f"`loss` must return one value for each row of targets, the shape {rows}. A scalar "
            "means that it reduces: leave that to this loss. An axis too many comes from a part "
            "of shape (..., 1) among values of shape (...): take `part[..., 0]`. "
            f"Received: shape {tuple(values.shape)}"
        )


def rank_is_known(tensor):
    """On TensorFlow it is not where `fit` gets targets of another rank than in an earlier call."""
    return getattr(tensor.shape, "rank", 0) is not None


def shape_in_words(tensor):
    if rank_is_known(tensor):
        return str(tuple(tensor.shape))
    return "unknown (the model was compiled for another number of axes than it is given now)"


def with_axis_of_outputs(y_true, y_pred):
    """Both with a last axis for the outputs, which one may lack where it is 1 in the other."""
    ranks = len(y_true.shape), len(y_pred.shape)
    if ranks == (1, 1) or (ranks[0] == ranks[1] - 1 and y_pred.shape[-1] == 1):
        y_true = ops.expand_dims(y_true, -1)
    if ranks == (1, 1) or (ranks[1] == ranks[0] - 1 and y_true.shape[-1] == 1):
        y_pred = ops.expand_dims(y_pred, -1)
    return y_true, y_pred


def same_shape(shape, other):
    """Equal as far as is known."""
    return len(shape) == len(other) and all(
        None in (a, b) or a == b for a, b in zip(shape, other, strict=True)
    )


def _weights_of_rows(sample_weight, y_true):
    sample_weight = ops.convert_to_tensor(sample_weight)
    if not rank_is_known(y_true):  # `call` refuses it in words.
        return sample_weight
    missing = len(y_true.shape) - 1 - len(sample_weight.shape)
    if missing < 0:  # (batch, 1) for rows (batch,): Keras takes the last axis off.
        return sample_weight
    sample_weight = ops.reshape(sample_weight, (*ops.shape(sample_weight), *[1] * missing))
    # A tensor of its own, not a view by `broadcast_to`: on torch Keras multiplies it in place.
    return sample_weight * ops.ones(ops.shape(y_true)[:-1], sample_weight.dtype)
