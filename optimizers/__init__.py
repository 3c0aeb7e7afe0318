"""Levenberg-Marquardt, and the bridge to least-squares solvers outside Keras."""

from .._backend import ON_TENSORFLOW, without_tensorflow

if ON_TENSORFLOW:
    from .least_squares_problem import LeastSquaresProblem
    from .levenberg_marquardt import LevenbergMarquardt

__all__ = ["LeastSquaresProblem", "LevenbergMarquardt"]

if not ON_TENSORFLOW:
    __all__, __getattr__ = without_tensorflow(globals())
