from keras import ops

from .._arguments import number
from ._row_loss import RowLoss, rank_is_known, same_shape, shape_in_words, with_axis_of_outputs


class RobustLoss(RowLoss):
    """The mean over the outputs of `C^2 rho((y_pred - y_true) / C)`, with `C` the scale.

    A loss has its own `_rho(s)`, which is `s^2` near zero. `far_apart` keeps it and its derivatives
    finite for targets such as 1e20 that stand for "no value".
    """

    # Each output has a target of its own: what Levenberg-Marquardt needs to know of a loss.
    elementwise = True

    def __init__(self, scale, reduction, name, dtype):
        super().__init__(name, reduction, dtype)
        self.scale = number("scale", scale, above=0)

    def __call__(self, y_true, y_pred, sample_weight=None):
        y_true = ops.convert_to_tensor(y_true, self.dtype)
        y_pred = ops.convert_to_tensor(y_pred, self.dtype)
        if rank_is_known(y_true):
            mask = getattr(y_pred, "_keras_mask", None)
            y_true, y_pred = with_axis_of_outputs(y_true, y_pred)
            if mask is not None:
                y_pred._keras_mask = mask
        return super().__call__(y_true, y_pred, sample_weight)

    def call(self, y_true, y_pred):
        if not rank_is_known(y_true) or not same_shape(y_true.shape, y_pred.shape):
            raise ValueError(
                "`y_true` and `y_pred` must have the same shape; a last axis of 1 may be missing "
                f"in one of them. Received: y_true.shape={shape_in_words(y_true)}, "
                f"y_pred.shape={shape_in_words(y_pred)}"
            )
        dtype = self.wide_dtype
        s = (ops.cast(y_pred, dtype) - ops.cast(y_true, dtype)) / self.scale
        # Not `ops.mean`: on some backends that of float64 has the digits of float32.
        size = ops.shape(s)[-1] if s.shape[-1] is None else s.shape[-1]
        mean = ops.sum(self._rho(s), axis=-1) / ops.cast(size, dtype)
        return ops.cast(self.scale**2 * mean, self.dtype)

    def _rho(self, s):
        raise NotImplementedError

    def get_config(self):
        return {**super().get_config(), "scale": self.scale}


def far_apart(s):
    """`m = max(|s|, 1)` and `s / m`: what squares may be made of without overflow."""
    m = ops.maximum(ops.abs(s), 1.0)
    return m, s / m
