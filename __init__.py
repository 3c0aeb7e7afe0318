"""Reusable Keras 3 layers, losses and models: maxout, PReLU, packed targets, LSTM forecasting."""

from . import layers, losses, models

__version__ = "0.1.0"

__all__ = ["__version__", "layers", "losses", "models"]
