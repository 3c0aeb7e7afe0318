"""Levenberg-Marquardt, and the bridge to least-squares solvers outside Keras."""

from .least_squares_problem import LeastSquaresProblem
from .levenberg_marquardt import LevenbergMarquardt

__all__ = ["LeastSquaresProblem", "LevenbergMarquardt"]
