"""Levenberg-Marquardt, and the bridge to least-squares solvers outside Keras."""

from .levenberg_marquardt import LevenbergMarquardt

__all__ = ["LevenbergMarquardt"]
