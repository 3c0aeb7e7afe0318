"""Whole models and what is done with them."""

from . import forecasting, reinforcement_learning
from .forecasting import StatefulLSTMForecaster, pack_series
from .least_squares import LeastSquares
from .reinforcement_learning import (
    ActorCritic,
    RecurrentQNetwork,
    TargetNetwork,
    discounted_returns,
    generalized_advantage,
    hard_update,
    n_step_returns,
    soft_update,
)

__all__ = [
    "ActorCritic",
    "LeastSquares",
    "RecurrentQNetwork",
    "StatefulLSTMForecaster",
    "TargetNetwork",
    "discounted_returns",
    "forecasting",
    "generalized_advantage",
    "hard_update",
    "n_step_returns",
    "pack_series",
    "reinforcement_learning",
    "soft_update",
]
