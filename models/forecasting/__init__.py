"""Forecasting time series: the recurrent forecaster, its baselines and its measures."""

__all__ = []
