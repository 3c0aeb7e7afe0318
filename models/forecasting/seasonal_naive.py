import numpy as np

from ..._arguments import positive_integer
from ._read_series import read_series


class SeasonalNaive:
    """Forecasts that each season will be as the last one was.

    `forecast[h] = y[T + h - m * ceil(h / m)]`, the last observed value of the same season.

    The first baseline to beat, and the denominator of `mase`.

    Args:
        season_length: Positive integer `m`; 1 repeats the last value.

    Raises:
        ValueError: `season_length` is not a positive integer.

    Example:

    >>> naive = kerazoo.models.forecasting.SeasonalNaive(season_length=2)
    >>> naive.forecast(3, context=[1.0, 2.0, 5.0, 6.0])[:, 0]
    array([5., 6., 5.])
    """

    def __init__(self, season_length=1):
        self.season_length = positive_integer("season_length", season_length)

    def forecast(self, horizon, context):
        """Forecasts the steps that follow on each context.

        Args:
            horizon: Positive integer.
            context: Array `(time,)` or `(time, features)` of at least a season, or a list of
                such; a missing value is taken from the season before it.

        Returns:
            Array `(horizon, features)`, or a list of them.
        """
        horizon = positive_integer("horizon", horizon)
        arrays, single = read_series(context, name="context")
        found = [self._forecast_one(horizon, array) for array in arrays.values()]
        return found[0] if single else found

    def _forecast_one(self, horizon, values):
        m = self.season_length
        unknown = np.full((-len(values) % m, values.shape[1]), np.nan)
        seasons = np.concatenate([unknown, values]).reshape(-1, m, values.shape[1])
        last = seasons[0]
        for season in seasons[1:]:
            last = np.where(np.isnan(season), last, season)
        if np.isnan(last).any():
            raise ValueError(
                f"`context` must hold an observed value of each of the {m} steps of a season. "
                f"Received: {len(values)} values"
            )
        return last[np.arange(horizon) % m]
