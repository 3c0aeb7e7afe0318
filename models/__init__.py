"""Whole models and what is done with them."""

from . import forecasting, reinforcement_learning
from .forecasting import StatefulLSTMForecaster, pack_series
from .least_squares import LeastSquares
from .reinforcement_learning import discounted_returns, generalized_advantage, n_step_returns

__all__ = [
    "LeastSquares",
    "StatefulLSTMForecaster",
    "discounted_returns",
    "forecasting",
    "generalized_advantage",
    "n_step_returns",
    "pack_series",
    "reinforcement_learning",
]
