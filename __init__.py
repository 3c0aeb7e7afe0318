"""Reusable Keras 3 layers and models: maxout, PReLU, stateful LSTM forecasting."""

from . import layers, models, optimizers

__version__ = "0.1.0"

__all__ = ["__version__", "layers", "models", "optimizers"]
