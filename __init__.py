"""Reusable Keras 3 layers, losses, optimizers and models; LSTM forecasting, Levenberg-Marquardt."""

from . import initializers, layers, losses, models, optimizers

__version__ = "0.1.0"

__all__ = ["__version__", "initializers", "layers", "losses", "models", "optimizers"]
