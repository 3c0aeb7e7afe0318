import keras
from keras import ops

from ._robust_loss import RobustLoss, far_apart


@keras.saving.register_keras_serializable(package="kerazoo")
class SoftL1(RobustLoss):
    """A squared error near zero and an absolute error far away, with a smooth passage between.

    `loss = mean over the outputs of 2 C^2 (sqrt(1 + (r / C)^2) - 1)`, `r = y_pred - y_true`

    with `C` the `scale`: `r^2` where `|r|` is much smaller than C, so that a large scale is "mse",
    and `2 C |r|` where it is much larger. An outlier pulls with a constant force, `2 C`, in place
    of one that grows with its distance. The loss is convex: it has no minima of its own, and is
    the first to try where some targets are wrong. `Cauchy` and `Tukey` give outliers less weight
    and none at all. It is `loss="soft_l1", f_scale=C` of `scipy.optimize.least_squares`, whose
    cost is half the sum where Keras takes the mean.

    Args:
        scale: Number above 0, C, in units of the targets: about the size of the errors that are
            not outliers. Default 1.0.
        reduction: As in `keras.losses.Loss`.
        name: Name of the loss.
        dtype: Dtype of the result, or `None` (default) for `keras.config.floatx()`.

    Input shape: `y_pred` is (batch, ..., outputs) and `y_true` the same; a last axis of 1 may be
    missing in one of them.

    Mask and sample weights: (batch,), or the axes before the last.

    Raises:
        ValueError: `scale` is not a finite number above 0, or the shapes differ.

    Example:

    >>> loss = kerazoo.losses.SoftL1(scale=2.0)
    >>> y_true, y_pred = np.array([[0.0], [0.0]]), np.array([[0.1], [1000.0]])
    >>> [round(float(loss(y_true[i], y_pred[i])), 2) for i in (0, 1)]  # .1^2, 2 C (1000 - C)
    [0.01, 3992.01]

    References:
        Charbonnier et al., 1997, Deterministic edge-preserving regularization.
        Triggs et al., 2000, Bundle adjustment: a modern synthesis, section 4.3.
    """

    def __init__(self, scale=1.0, reduction="sum_over_batch_size", name="soft_l1", dtype=None):
        super().__init__(scale, reduction, name, dtype)

    def _rho(self, s):
        m, near = far_apart(s)
        root = m * ops.sqrt((1 / m) ** 2 + near**2)  # sqrt(1 + s^2)
        return 2 * s * (s / (1 + root))  # 2 (root - 1) would cancel near zero
