"""Reusable Keras 3 layers, losses, optimizers and models; LSTM forecasting, Levenberg-Marquardt."""

from . import initializers, layers, losses, models, optimizers

__version__ = "0.1.0"

__all__ = ["__version__", "initializers", "layers", "losses", "models", "optimizers"]


def __getattr__(name):
    """Says in which room a public object is."""
    for room in (layers, initializers, losses, optimizers, models, models.forecasting):
        if name in room.__all__:
            # Not an AttributeError: of that `from kerazoo import ...` would drop the text.
            raise ImportError(f"kerazoo.{name} is {room.__name__}.{name}")
        getattr(room, name, None)  # On another backend, what needs TensorFlow says so.
    raise AttributeError(f"module 'kerazoo' has no attribute {name!r}")
