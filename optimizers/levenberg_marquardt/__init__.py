"""The Levenberg-Marquardt optimizer, one part of the method a file."""

from .levenberg_marquardt import LevenbergMarquardt

__all__ = ["LevenbergMarquardt"]
