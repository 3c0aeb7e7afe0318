import numpy as np

from ._values import naive_errors, read_compared


def mase(y_true, y_pred, y_train, season_length=1):
    """Mean absolute scaled error: the error in units of the seasonal naive one in training.

    `mean(|y_true - y_pred|) / mean(|y_train[t] - y_train[t - season_length]|)`

    Below 1 a forecast is closer than the seasonal naive one was, one season ahead, on the training
    data. It compares across series of different scale, and it is defined where a percentage is
    not, at zero.

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

    >>> kerazoo.models.forecasting.mase([5.0, 6.0], [4.0, 8.0], y_train=[1.0, 2.0, 4.0, 4.0])
    1.5

    References:
        Hyndman and Koehler, 2006, Another look at measures of forecast accuracy
    """
    y_true, y_pred = read_compared(y_true, y_pred)
    naive = naive_errors(y_train, season_length, y_true.shape[1])
    error = np.nanmean(np.abs(y_true - y_pred), axis=0)
    return float(np.mean(error / np.nanmean(naive, axis=0)))
