"""Whole models and what is done with them."""

from . import forecasting, reinforcement_learning
from .forecasting import StatefulLSTMForecaster, pack_series
from .least_squares import LeastSquares
from .maxout_network import MaxoutNetwork
from .prelu_network import PReLUNetwork
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
from .residual_network import ResidualNetwork
from .seed_report import SeedReport, seed_report

__all__ = [
    "ActorCritic",
    "LeastSquares",
    "MaxoutNetwork",
    "PReLUNetwork",
    "RecurrentQNetwork",
    "ResidualNetwork",
    "SeedReport",
    "StatefulLSTMForecaster",
    "TargetNetwork",
    "discounted_returns",
    "forecasting",
    "generalized_advantage",
    "hard_update",
    "n_step_returns",
    "pack_series",
    "reinforcement_learning",
    "seed_report",
    "soft_update",
]
