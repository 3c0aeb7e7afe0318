"""The unit of errors that series of different size share."""

import numpy as np


def naive_scale(values, season_length, origins):
    """The mean error of the naive forecast before each origin, `(origins, features)`.

    Of the seasonal one where that is known and not 0, else of the last value. NaN where fewer than
    two values are known.

    Args:
        values: Array `(time, features)`, NaN where a value is missing.
        season_length: Positive integer.
        origins: List of integers, how many values precede each.
    """
    scales = np.full((len(origins), values.shape[1]), np.nan)
    values = np.asarray(values, "float64")
    for m in (1, season_length):
        errors = np.abs(values[m:] - values[:-m])
        observed = np.isfinite(errors)
        ends = np.maximum(np.asarray(origins, int) - m, 0)
        total, count = (
            np.pad(np.cumsum(one, axis=0), [(1, 0), (0, 0)])[np.minimum(ends, len(errors))]
            for one in (np.where(observed, errors, 0.0), observed)
        )
        known = count > 0 if m == 1 else total > 0
        scales = np.divide(total, count, out=scales, where=known)
    return scales
