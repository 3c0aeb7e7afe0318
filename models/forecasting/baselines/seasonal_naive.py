import numpy as np

from ...._arguments import positive_integer
from .._series_set import read_series
from ._carry_forward import carry_forward


class SeasonalNaive:
    """Forecasts that each season will be as the last one was.

    `forecast[h] = y[T + h - m * ceil(h / m)]`, the last observed value of the same season.

    The first baseline to beat, and the denominator of `mase`. A step of the season that was never
    observed, as in a series shorter than a season, has the last observed value of all.

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
            context: A series, or several, as `StatefulLSTMForecaster.forecast` takes them, of one
                observed value at least; a missing value is taken from the season before it.

        Returns:
            Array `(horizon, features)`, or the kind of object that came.
        """
        horizon = positive_integer("horizon", horizon)
        context = read_series(context, name="context", min_observed=1)
        origins = [[len(values)] for values in context.values]
        found = self._forecast_origins(context.values, origins, horizon)
        return context.future([forecasts[0] for forecasts in found])

    def _forecast_origins(self, values, origins, horizon):
        """`(origins, horizon, features)` of each series; NaN where nothing was observed before."""
        return [self._forecast_one(*one, horizon) for one in zip(values, origins, strict=True)]

    def _forecast_one(self, values, origins, horizon):
        m = self.season_length
        origins = np.asarray(origins, int)[:, None]
        same_step = origins - m + np.arange(horizon) % m  # (origins, horizon)
        seasonal = carry_forward(values, m)[np.maximum(same_step, 0)]
        never = (same_step < 0)[..., None] | np.isnan(seasonal)
        return np.where(never, carry_forward(values)[origins - 1], seasonal)
