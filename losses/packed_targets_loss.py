import inspect

import keras
from keras import ops

from .._arguments import in_words, wrong
from . import _packing
from ._row_loss import RowLoss, check_one_value_a_row, check_same_rows


@keras.saving.register_keras_serializable(package="kerazoo")
class PackedTargetsLoss(RowLoss):
    """A loss of more than one target: hands named parts of `y_true` to your function.

    `value[row] = loss(y_pred, **parts of y_true)[row]`

    `compile(loss=...)` takes one tensor of targets for each output, and a loss often needs more: an
    action and its advantage, a value and its weight, two bounds of a censored observation. `pack`
    puts the parts side by side in one array, and this loss takes them apart again. Where one weight
    for each row is all there is to add, pass `sample_weight` to `fit`; then this is not needed.

    **Metrics see the packed row too**: `metrics=["mae"]` compares the prediction with every column
    and reports nonsense. Give them as `UnpackedMetric("mae", sizes, target=...)`. No warning comes,
    since a loss cannot see the metrics beside it. Likewise, never pass `class_weight` to `fit`:
    Keras takes the largest column of the packed row, whatever it means, as the class, and
    turns it into sample weights before any loss is called. Compute the weights from your classes
    and pass them as `sample_weight`.

    Args:
        loss: What to compute, one value for each row of targets, unreduced. Without `target` a
            function `loss(y_pred, action=..., advantage=...)`, one argument a part. With `target`
            a Keras loss, its name, or a function `loss(y_true, y_pred, ...)` that gets that part
            as `y_true` and the other parts, if there are any, by name. A `keras.losses.Loss` has
            them as further arguments of its `call`, and must say `reduction=None`: a reduced one
            would multiply a mean by the advantage. Register functions with
            `keras.saving.register_keras_serializable`, or a saved model finds them no more.
        sizes: Dict, the name of each part and its number of columns, in the order of the columns.
        target: Name of the part that is `y_true` to `loss`, or `None` (default).
        reduction: As in `keras.losses.Loss`. Default `"sum_over_batch_size"`.
        name: Name of the loss, or `None`.
        dtype: Dtype of the computation, or `None` (default) for `keras.config.floatx()`.
        infinite: List of the parts in which `pack` takes infinities, e.g. the bounds of censored
            observations. Elsewhere they are an error. Default: none. In a gradient infinity times 0
            is NaN: before you divide a bound by a predicted scale, clip it to some large number.

    Input shape: `y_true` is (batch, columns), or (batch, ..., columns) for sequences, and `y_pred`
    has the same axes but for the last. Every part has its last axis, also where its size is 1.

    Mask and sample weights: as in Keras's losses. A `sample_weight` of shape (batch,) weighs whole
    sequences.

    Raises:
        ValueError: `sizes` does not name positive numbers of columns; `loss` reduces, or does not
            take the parts; the columns of `y_true` are not as many as `sizes` says; its rows are
            not those of `y_pred`; or the values are not one a row, e.g. because (batch,) met
            (batch, 1) and became (batch, batch).

    Example:

    >>> def weighted_squares(y_pred, action, advantage):
    ...     return advantage[..., 0] * keras.ops.sum((action - y_pred) ** 2, -1)
    >>> sizes = {"action": 2, "advantage": 1}
    >>> loss = kerazoo.losses.PackedTargetsLoss(weighted_squares, sizes)
    >>> y_true = loss.pack(action=[[0, 1], [2, 3]], advantage=[1, 10])
    >>> y_true
    array([[ 0.,  1.,  1.],
           [ 2.,  3., 10.]], dtype=float32)
    >>> float(loss(y_true, np.zeros((2, 2))))  # (1 * 1 + 10 * 13) / 2
    65.5

    Interval-censored observations lie between two bounds, of which one may be infinite. With
    predictions as means of normals of deviation 1, the loss is `-log P(lower < y < upper)`:

    >>> def censored(y_pred, lower, upper):
    ...     below_upper = 0.5 * (1 + keras.ops.erf((upper - y_pred) / 2**0.5))
    ...     below_lower = 0.5 * (1 + keras.ops.erf((lower - y_pred) / 2**0.5))
    ...     return -keras.ops.log(below_upper - below_lower + 1e-7)[..., 0]
    >>> bounds = {"lower": 1, "upper": 1}
    >>> loss = kerazoo.losses.PackedTargetsLoss(censored, bounds, infinite=["lower", "upper"])
    >>> y_true = loss.pack(lower=[0.0, 2.0, -np.inf], upper=[1.0, np.inf, 3.0])
    >>> round(float(loss(y_true, np.ones((3, 1)))), 4)  # P is 0.341, 0.159 and 0.977
    0.9796
    """

    def __init__(
        self,
        loss,
        sizes,
        target=None,
        reduction="sum_over_batch_size",
        name=None,
        dtype=None,
        infinite=(),
    ):
        super().__init__("packed_targets_loss" if name is None else name, reduction, dtype)
        self.sizes = _packing.check_sizes(sizes)
        self.target = _packing.check_part("target", target, self.sizes, also=(None,))
        self.loss = _check_loss(loss, self.sizes, self.target, self.dtype)
        self.infinite = _check_infinite(infinite, self.sizes)

    def pack(self, **parts):
        """The parts side by side, as the targets of `fit`.

        Args:
            **parts: Each part as an array (batch, size), or (batch, ..., size) for sequences; one
                of size 1 may come without its last axis. The parts must have as many rows, hold
                finite numbers (or infinities, where `infinite` names them), and integers must
                survive the cast to floats (up to 2**24, for float32).

        Returns: NumPy array (batch, ..., sum of sizes), float32, or float64 where that is floatx.
        """
        return _packing.pack(parts, self.sizes, self.dtype, self.infinite)

    def unpack(self, y_true):
        """The parts of packed targets, by name, each (batch, ..., size)."""
        return _packing.unpack(y_true, self.sizes)

    def call(self, y_true, y_pred):
        parts = self.unpack(y_true)
        check_same_rows(y_true, y_pred)
        if self.target is None:
            values = self.loss(y_pred, **parts)
        else:
            values = _function(self.loss)(parts.pop(self.target), y_pred, **parts)
        values = ops.convert_to_tensor(values)
        check_one_value_a_row(values, y_true)
        return values

    def get_config(self):
        return {
            **super().get_config(),
            "loss": keras.saving.serialize_keras_object(self.loss),
            "sizes": dict(self.sizes),
            "target": self.target,
            "infinite": list(self.infinite),
        }

    @classmethod
    def from_config(cls, config):
        loss = keras.saving.deserialize_keras_object(config["loss"])
        return cls(**{**config, "loss": loss})


def _loss(loss):
    try:
        found = keras.losses.get(loss)
    except ValueError:
        found = None
    if not callable(found):
        raise wrong("loss", "a function, a Keras loss or the name of one", loss)
    return found


def _function(loss):
    """What computes the unreduced values. Not `__call__`, which would cast and mask once more."""
    return loss.call if isinstance(loss, keras.losses.Loss) else loss


def _check_infinite(infinite, sizes):
    if not isinstance(infinite, (list, tuple)) or not all(
        isinstance(name, str) and name in sizes for name in infinite
    ):
        raise wrong("infinite", f"a list of some of the parts {list(sizes)}", infinite)
    return tuple(infinite)


def _check_loss(loss, sizes, target, dtype):
    if target is None and (isinstance(loss, (str, keras.losses.Loss)) or not callable(loss)):
        raise ValueError(
            "`loss` must be a function `loss(y_pred, ...)` with an argument for each part, or "
            "`target` must name the part that a Keras loss takes as its `y_true`. "
            f"Received: loss={in_words(loss)}, target=None"
        )
    loss = _loss(loss)
    if getattr(loss, "reduction", None) not in (None, "none"):
        raise ValueError(
            "`loss` must not reduce: its values are per row, and this loss reduces them. Pass "
            f"`reduction=None` to it. Received: loss={loss!r} with reduction={loss.reduction!r}"
        )
    if getattr(loss, "dtype", dtype) not in (dtype, keras.config.floatx()):
        raise ValueError(
            "The `dtype` of `loss` has no effect: give it to this loss. "
            f"Received: loss={loss!r} with dtype={loss.dtype!r}, dtype={dtype!r}"
        )
    names = [name for name in sizes if name != target]
    try:
        signature = inspect.signature(_function(loss))
    except ValueError:  # Some builtins have none: their first call will tell.
        return loss
    try:
        signature.bind(*[None] * (1 if target is None else 2), **dict.fromkeys(names))
    except TypeError as error:
        first = "y_pred" if target is None else "y_true, y_pred"
        raise ValueError(
            f"`loss` must take `({first}, {', '.join(names)})`, the parts as arguments of these "
            f"names; write a function that does. Received: loss={loss!r} with the arguments "
            f"{signature}: {error}"
        ) from error
    return loss
