"""Levenberg-Marquardt, bounds, and the bridge to least-squares solvers outside Keras."""

from .._backend import ON_TENSORFLOW, without_tensorflow
from .box import Box

if ON_TENSORFLOW:
    from .covariance import Covariance
    from .least_squares_problem import LeastSquaresProblem
    from .levenberg_marquardt import LevenbergMarquardt

__all__ = ["Box", "Covariance", "LeastSquaresProblem", "LevenbergMarquardt"]

if not ON_TENSORFLOW:
    __all__, __getattr__ = without_tensorflow(globals())
