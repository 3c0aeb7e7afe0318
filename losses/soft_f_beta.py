import keras
from keras import ops

from .._arguments import boolean, choice, number
from ._row_loss import RowLoss, rank_is_known, same_shape, shape_in_words, with_axis_of_outputs

AVERAGES = ("binary", "macro", "micro", "weighted")


@keras.saving.register_keras_serializable(package="kerazoo")
class SoftFBeta(RowLoss):
    """One minus F-beta of the batch, with probabilities counted instead of decisions.

    `1 - ((1 + beta^2) TP + smooth) / ((1 + beta^2) TP + beta^2 FN + FP + smooth)`

    where, summed over the examples with their weights w, `TP = sum w y p`,
    `FP = sum w (1 - y) p` and `FN = sum w y (1 - p)`. With `beta=1` it is the Dice loss. Over
    `keras.losses.Dice` and `Tversky` it has sample weights and masks that count examples (Keras
    multiplies the finished loss by the mean weight), a gradient on batches without positives, and
    averages over classes.

    It trains for a rare class at the decision threshold .5. Look first at binary cross-entropy
    with the threshold tuned on validation data: it is often as good, gives probabilities that mean
    something, and does not depend on the batch size. Take this loss where the threshold cannot be
    tuned, and then large batches, each with several positives: F-beta of a batch is not a sum over
    examples, so its mean over small batches is not that of the data. Where batches must be small,
    add it to a cross-entropy.

    Args:
        beta: Number above 0; recall counts `beta` times as much as precision. Default 1.0.
        average: `"binary"` (default): one output. Over the outputs of several: `"macro"`, the mean
            of their losses; `"weighted"`, that mean with each output's weight of positives in the
            batch, or equal weights where there are none; `"micro"`, one loss of all their counts
            together.
        from_logits: Boolean; `True` applies a sigmoid to each output, as for labels that do not
            exclude one another. For a softmax end the model with one. Default `False`.
        smooth: Number above 0, in units of an example. A class that neither occurs nor is predicted
            has the loss 0 with it, and without positives the loss still pulls false positives down.
            Default 1.0.
        reduction: As in `keras.losses.Loss`; this is one value a batch, whatever `reduction` says.
        name: Name of the loss, or `None`.
        dtype: Dtype of the result, or `None` (default) for `keras.config.floatx()`. Counts are
            taken in float32 at least.

    Input shape: `y_pred` is (batch, ..., outputs), probabilities or logits, or (batch,). A
    prediction outside [0, 1] that is no logit counts as the nearer end, as in Keras's
    cross-entropies, and gets no gradient: end the model with a sigmoid or softmax. `y_true`
    is the same with values from 0 to 1, classes one-hot; the last axis may be missing where it is 1
    in the other. All axes but the last are examples.

    Mask and sample weights: (batch,), (batch, 1), or the axes of the examples. A weight of n
    counts as n examples, a masked one as none.

    Raises:
        ValueError: `beta` or `smooth` is not a finite number above 0, `average` is none of the
            four, or `"binary"` with several outputs, or the shapes do not fit.

    Example:

    >>> y_true, p = np.array([[1], [1], [0], [0]]), np.array([[0.9], [0.4], [0.2], [0.0]])
    >>> round(float(kerazoo.losses.SoftFBeta(smooth=1e-7)(y_true, p)), 4)  # TP 1.3, FP .2, FN .7
    0.2571

    References:
        Milletari et al., 2016, V-Net, https://arxiv.org/abs/1606.04797
    """

    def __init__(
        self,
        beta=1.0,
        average="binary",
        from_logits=False,
        smooth=1.0,
        reduction="sum_over_batch_size",
        name=None,
        dtype=None,
    ):
        super().__init__("soft_f_beta" if name is None else name, reduction, dtype)
        self.beta = number("beta", beta, above=0)
        self.average = choice("average", average, AVERAGES)
        self.from_logits = boolean("from_logits", from_logits)
        self.smooth = number("smooth", smooth, above=0)

    def __call__(self, y_true, y_pred, sample_weight=None):
        """The weights go into the counts; the base class would multiply the finished loss."""
        y_true, probabilities = self._examples(y_true, y_pred)
        ones = ops.ones_like(y_true[..., :1])
        weights = _Given("weights", None, ones.dtype)(ones, y_pred, sample_weight)
        loss = self._loss(y_true, probabilities, ops.reshape(weights, ops.shape(ones)))
        loss = ops.reshape(loss, (1, 1))
        reduced = _Given(self.name, self.reduction, self.dtype)(loss, loss)
        return ops.reshape(reduced, ())

    def call(self, y_true, y_pred):
        y_true, probabilities = self._examples(y_true, y_pred)
        return ops.cast(self._loss(y_true, probabilities, 1.0), self.dtype)

    def get_config(self):
        return {
            **super().get_config(),
            "beta": self.beta,
            "average": self.average,
            "from_logits": self.from_logits,
            "smooth": self.smooth,
        }

    def _examples(self, y_true, y_pred):
        """Both as (batch, ..., outputs), `y_pred` as probabilities."""
        y_true = ops.convert_to_tensor(y_true, self.wide_dtype)  # counts overflow float16
        y_pred = ops.convert_to_tensor(y_pred, self.wide_dtype)
        received = f"y_true.shape={shape_in_words(y_true)}, y_pred.shape={shape_in_words(y_pred)}"
        known = rank_is_known(y_true)
        if known:
            y_true, y_pred = with_axis_of_outputs(y_true, y_pred)
        if not known or not same_shape(y_true.shape, y_pred.shape):
            raise ValueError(
                "`y_true` and `y_pred` must have the same shape (batch, ..., outputs); classes are "
                f"one-hot. Received: {received}"
            )
        if self.average == "binary" and y_pred.shape[-1] not in (1, None):
            raise ValueError(
                "`average='binary'` needs one output, a last axis of size 1. For several take "
                f"'macro', 'micro' or 'weighted'. Received: {received}"
            )
        if y_true.shape[-1] is None:  # One column would be broadcast over all outputs.
            with keras.name_scope("y_true_must_have_the_shape_of_y_pred"):
                y_true = ops.reshape(y_true, ops.shape(y_pred))
        return y_true, ops.sigmoid(y_pred) if self.from_logits else ops.clip(y_pred, 0, 1)

    def _loss(self, y, p, w):
        examples = tuple(range(len(y.shape) - 1))
        TP = ops.sum(w * y * p, axis=examples)  # (outputs,)
        FP = ops.sum(w * (1 - y) * p, axis=examples)
        FN = ops.sum(w * y * (1 - p), axis=examples)
        if self.average == "micro":
            TP, FP, FN = ops.sum(TP), ops.sum(FP), ops.sum(FN)
        b2 = self.beta**2
        # The loss itself, rather than 1 - F, keeps its digits where F is nearly 1.
        loss = (b2 * FN + FP) / ((1 + b2) * TP + b2 * FN + FP + self.smooth)
        share = ops.ones_like(loss)
        if self.average == "weighted":
            positives = TP + FN
            # Without positives every output has the same share: a gradient must be left.
            share = ops.where(ops.sum(positives) > 0, positives, share)
        return ops.sum(share * loss) / ops.sum(share)


class _Given(RowLoss):
    """Its targets are the values: what Keras makes of weights, masks and replicas, in public."""

    def call(self, y_true, y_pred):
        return y_true[..., 0]
