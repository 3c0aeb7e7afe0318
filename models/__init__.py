"""Whole models and what is done with them."""

from . import forecasting
from .forecasting import StatefulLSTMForecaster, pack_series
from .least_squares import LeastSquares

__all__ = ["LeastSquares", "StatefulLSTMForecaster", "forecasting", "pack_series"]
