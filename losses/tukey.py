import keras
from keras import ops

from ._robust_loss import RobustLoss


@keras.saving.register_keras_serializable(package="kerazoo")
class Tukey(RobustLoss):
    """Tukey's biweight: a squared error near zero that is constant beyond the scale.

    `loss = mean over the outputs of C^2 / 3 (1 - (1 - min(|r| / C, 1)^2)^3)`, `r = y_pred - y_true`

    with `C` the `scale`: `r^2` where `|r|` is much smaller than C, so that a large scale is "mse",
    and `C^2 / 3` where it is larger. An outlier further away than C counts for nothing. So does
    everything else where no prediction is near: the gradient is then zero and training cannot
    begin. Fit with `SoftL1` or `Cauchy` first. Beyond `|r| = C / sqrt(5)` the curvature is
    negative; Levenberg-Marquardt counts it as zero there, the gradient in full.

    Args:
        scale: Number above 0, C, in units of the targets: 4.685 standard deviations of the errors
            that are not outliers lose 5 % of precision if there are none. Default 1.0.
        reduction: As in `keras.losses.Loss`.
        name: Name of the loss.
        dtype: Dtype of the result, or `None` (default) for `keras.config.floatx()`.

    Input shape: `y_pred` is (batch, ..., outputs) and `y_true` the same; a last axis of 1 may be
    missing in one of them.

    Mask and sample weights: (batch,), or the axes before the last.

    Raises:
        ValueError: `scale` is not a finite number above 0, or the shapes differ.

    Example:

    >>> loss = kerazoo.losses.Tukey(scale=3.0)
    >>> y_true, y_pred = np.array([[0.0], [0.0]]), np.array([[0.1], [1000.0]])
    >>> [round(float(loss(y_true[i], y_pred[i])), 4) for i in (0, 1)]  # .1^2, 3^2 / 3
    [0.01, 3.0]

    References:
        Beaton and Tukey, 1974, The fitting of power series.
        Triggs et al., 2000, Bundle adjustment: a modern synthesis, section 4.3.
    """

    def __init__(self, scale=1.0, reduction="sum_over_batch_size", name="tukey", dtype=None):
        super().__init__(scale, reduction, name, dtype)

    def _rho(self, s):
        z = ops.clip(s, -1.0, 1.0) ** 2
        return z * (1 - z + z**2 / 3)  # (1 - (1 - z)^3) / 3, without cancellation near zero
