from ._values import read_compared, root_mean_square


def rmse(y_true, y_pred):
    """Root mean squared error, in the units of the series.

    `sqrt(mean((y_true - y_pred)**2))`

    Args:
        y_true: Array `(horizon,)` or `(horizon, features)`. Missing values (NaN) do not count.
        y_pred: Array of the same shape.

    Returns:
        Float; with several features, over all their values.

    Raises:
        TypeError: an argument holds no real numbers.
        ValueError: the shapes differ, `y_true` is missing throughout, or `y_pred` is not finite.

    Example:

    >>> kerazoo.models.forecasting.rmse([1.0, np.nan, 5.0], [2.0, 0.0, 12.0])
    5.0
    """
    y_true, y_pred = read_compared(y_true, y_pred)
    return float(root_mean_square(y_true - y_pred))
