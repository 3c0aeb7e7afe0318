"""What the metrics share: the values that they compare, and the naive error in training."""

import numpy as np

from ...._arguments import positive_integer
from .._series_set import read_values


def read_compared(y_true, y_pred):
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


def naive_errors(y_train, season_length, num_features):
    """`|y_train[t] - y_train[t - season_length]|`, not all zero in any feature."""
    season_length = positive_integer("season_length", season_length)
    y_train = read_values(y_train, "y_train")
    if y_train.shape[1] != num_features:
        raise ValueError(
            "`y_train` must have as many features as `y_true`. "
            f"Received: y_train of shape {y_train.shape}, y_true with {num_features} feature(s)"
        )
    errors = np.abs(y_train[season_length:] - y_train[:-season_length])
    if not (errors > 0).any(axis=0).all():
        raise ValueError(
            "`y_train` must hold observed values one season apart that differ, in each feature. "
            f"Received: {len(y_train)} values with season_length={season_length}"
        )
    return errors


def root_mean_square(errors, axis=None):
    """Over what is not NaN, divided by the largest first: a square may be beyond float64."""
    largest = np.nanmax(np.abs(errors), axis=axis, keepdims=True)
    unit = np.where(largest > 0, largest, 1.0)
    return np.sqrt(np.nanmean((errors / unit) ** 2, axis=axis)) * np.squeeze(unit, axis=axis)
