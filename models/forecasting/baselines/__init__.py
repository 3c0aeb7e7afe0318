"""The forecasts that a model must beat."""

from .linear_autoregression import LinearAutoregression
from .seasonal_naive import SeasonalNaive

__all__ = ["LinearAutoregression", "SeasonalNaive"]
