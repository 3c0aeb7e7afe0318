"""Whole models and what is done with them."""

from . import forecasting

__all__ = ["forecasting"]
