"""Whole models and what is done with them."""

from . import forecasting
from .forecasting import StatefulLSTMForecaster, pack_series
from .least_squares import LeastSquares
from .residual_network import ResidualNetwork

__all__ = [
    "LeastSquares",
    "ResidualNetwork",
    "StatefulLSTMForecaster",
    "forecasting",
    "pack_series",
]
