"""Whole models and what is done with them."""

from . import forecasting
from .forecasting import StatefulLSTMForecaster, pack_series

__all__ = ["StatefulLSTMForecaster", "forecasting", "pack_series"]
