import numpy as np

from ..._arguments import positive_integer
from ._read_series import read_values


def mase(y_true, y_pred, y_train, season_length=1):
    """Mean absolute scaled error: the error in units of the seasonal naive one in training.

    `mean(|y_true - y_pred|) / mean(|y_train[t] - y_train[t - season_length]|)`

    Below 1 a forecast is closer than the seasonal naive one was, one step ahead, on the training
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
    season_length = positive_integer("season_length", season_length)
    y_true, y_pred = columns_alike(y_true, y_pred)
    y_train = read_values(y_train, "y_train")
    if y_train.shape[1] != y_true.shape[1]:
        raise ValueError(
            "`y_train` must have as many features as `y_true`. "
            f"Received: y_train of shape {y_train.shape}, y_true of shape {y_true.shape}"
        )
    naive = np.abs(y_train[season_length:] - y_train[:-season_length])
    if not (naive > 0).any(axis=0).all():
        raise ValueError(
            "`y_train` must hold observed values one season apart that differ, in each feature. "
            f"Received: {len(y_train)} values with season_length={season_length}"
        )
    error = np.nanmean(np.abs(y_true - y_pred), axis=0)
    return float(np.mean(error / np.nanmean(naive, axis=0)))


def columns_alike(y_true, y_pred):
    """Both as `(time, features)`, of one shape, and something in them to compare."""
    y_true, y_pred = read_values(y_true, "y_true"), read_values(y_pred, "y_pred")
    if y_true.shape != y_pred.shape:
        raise ValueError(
            "`y_pred` must have the shape of `y_true`. "
            f"Received: y_true of shape {y_true.shape}, y_pred of shape {y_pred.shape}"
        )
    if not np.isfinite(y_true).any(axis=0).all():
        raise ValueError(
            "`y_true` must hold an observed value in each feature. "
            f"Received: y_true of shape {y_true.shape} with "
            f"{np.isfinite(y_true).sum(axis=0).tolist()} observed"
        )
    if not np.isfinite(y_pred).all():
        raise ValueError(
            "`y_pred` must be finite: a forecast has no missing values. "
            f"Received: {np.isnan(y_pred).sum()} of NaN"
        )
    return y_true, y_pred
