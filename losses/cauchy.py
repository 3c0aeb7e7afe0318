import keras
from keras import ops

from ._robust_loss import RobustLoss, far_apart


@keras.saving.register_keras_serializable(package="kerazoo")
class Cauchy(RobustLoss):
    """A squared error near zero that grows with the logarithm of the distance far away.

    `loss = mean over the outputs of C^2 log(1 + (r / C)^2)`, `r = y_pred - y_true`

    with `C` the `scale`: `r^2` where `|r|` is much smaller than C, so that a large scale is "mse".
    An outlier pulls the less the further away it is. So the loss is not convex, and may have
    minima that serve some of the data alone: begin near the answer, or with `SoftL1`. Beyond
    `|r| = C` its curvature is negative; Levenberg-Marquardt counts it as zero there, the gradient
    in full. It is `loss="cauchy", f_scale=C` of `scipy.optimize.least_squares`, whose cost is half
    the sum where Keras takes the mean.

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

    >>> loss = kerazoo.losses.Cauchy(scale=2.0)
    >>> y_true, y_pred = np.array([[0.0], [0.0]]), np.array([[0.1], [1000.0]])
    >>> [round(float(loss(y_true[i], y_pred[i])), 4) for i in (0, 1)]  # .1^2, 4 log(500^2)
    [0.01, 49.7169]

    References:
        Black and Anandan, 1996, The robust estimation of multiple motions.
        Triggs et al., 2000, Bundle adjustment: a modern synthesis, section 4.3.
    """

    def __init__(self, scale=1.0, reduction="sum_over_batch_size", name="cauchy", dtype=None):
        super().__init__(scale, reduction, name, dtype)

    def _rho(self, s):
        m, near = far_apart(s)
        # log(1 + s^2) = 2 log |s| + log(1 + 1 / s^2) beyond 1
        return 2 * ops.log(m) + ops.log1p((near / m) ** 2)
