import numpy as np

from ._values import naive_errors, read_compared, root_mean_square


def rmsse(y_true, y_pred, y_train, season_length=1):
    """Root mean squared scaled error: `rmse` in units of the seasonal naive one in training.

    `sqrt(mean((y_true - y_pred)**2) / mean((y_train[t] - y_train[t - season_length])**2))`

    The squared sister of `mase`: the forecast that it rewards is the mean, where `mase` rewards
    the median, which is 0 for a series that is mostly zero. M5 used it with `season_length=1`,
    on the training data from the first sale on.

    Args:
        y_true: Array `(horizon,)` or `(horizon, features)`. Missing values (NaN) do not count.
        y_pred: Array of the same shape.
        y_train: Array `(time,)` or `(time, features)`, what was known before the forecast.
        season_length: Positive integer. Default 1.

    Returns:
        Float; with several features, the mean of theirs.

    Raises:
        TypeError: an argument holds no real numbers.
        ValueError: the shapes differ, `y_true` is missing throughout, `y_pred` is not finite, or
            `y_train` has no two values one season apart that differ.

    Example:

    >>> kerazoo.models.forecasting.rmsse([5.0, 6.0], [1.0, 2.0], y_train=[1.0, 3.0, 5.0])
    2.0

    References:
        Hyndman and Koehler, 2006, Another look at measures of forecast accuracy
        Makridakis, Spiliotis and Assimakopoulos, 2022, M5 accuracy competition: Results,
        findings, and conclusions
    """
    y_true, y_pred = read_compared(y_true, y_pred)
    naive = naive_errors(y_train, season_length, y_true.shape[1])
    error = root_mean_square(y_true - y_pred, axis=0)
    return float(np.mean(error / root_mean_square(naive, axis=0)))
