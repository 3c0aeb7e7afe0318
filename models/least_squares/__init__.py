"""Training with Levenberg-Marquardt: the model that wraps a network, and what it checks."""

from .least_squares import LeastSquares

__all__ = ["LeastSquares"]
