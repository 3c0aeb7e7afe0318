"""Whole models and what is done with them."""

from . import forecasting
from .forecasting import StatefulLSTMForecaster, pack_series
from .least_squares import LeastSquares
from .maxout_network import MaxoutNetwork
from .prelu_network import PReLUNetwork
from .residual_network import ResidualNetwork
from .seed_report import SeedReport, seed_report

__all__ = [
    "LeastSquares",
    "MaxoutNetwork",
    "PReLUNetwork",
    "ResidualNetwork",
    "SeedReport",
    "StatefulLSTMForecaster",
    "forecasting",
    "pack_series",
    "seed_report",
]
