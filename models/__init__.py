"""Whole models and what is done with them."""

from . import forecasting
from .least_squares import LeastSquares

__all__ = ["LeastSquares", "forecasting"]
