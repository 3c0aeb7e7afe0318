"""The Levenberg-Marquardt optimizer, one part of the method a file."""

from ..._backend import ON_TENSORFLOW, without_tensorflow

if ON_TENSORFLOW:
    from .levenberg_marquardt import LevenbergMarquardt

__all__ = ["LevenbergMarquardt"]

if not ON_TENSORFLOW:
    __all__, __getattr__ = without_tensorflow(globals())
