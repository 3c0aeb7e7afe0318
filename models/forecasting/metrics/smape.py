import numpy as np

from ._values import read_compared


def smape(y_true, y_pred):
    """Symmetric mean absolute percentage error, in percent, from 0 to 200.

    `mean(200 * |y_true - y_pred| / (|y_true| + |y_pred|))`, and 0 where both are 0

    This is the variant of the M4 competition; on positive series it is also M3's, which had no
    absolute values in the denominator. Others halve it (0 to 100) or divide sums. It is there to
    compare with published tables: near zero it says little, and a forecast that is too low costs
    more than one too high by as much. Prefer `mase`.

    Args:
        y_true: Array `(horizon,)` or `(horizon, features)`. Missing values (NaN) do not count.
        y_pred: Array of the same shape.

    Returns:
        Float; with several features, over all their values.

    Raises:
        TypeError: an argument holds no real numbers.
        ValueError: the shapes differ, `y_true` is missing throughout, or `y_pred` is not finite.

    Example:

    >>> kerazoo.models.forecasting.smape([1.0, 0.0], [3.0, 0.0])
    50.0

    References:
        Makridakis, Spiliotis and Assimakopoulos, 2020, The M4 Competition: 100,000 time series and
        61 forecasting methods
        Hyndman and Koehler, 2006, Another look at measures of forecast accuracy
    """
    y_true, y_pred = read_compared(y_true, y_pred)
    error, size = np.abs(y_true - y_pred), np.abs(y_true) + np.abs(y_pred)
    return float(
        np.nanmean(200 * np.divide(error, size, out=np.zeros_like(error), where=size != 0))
    )
