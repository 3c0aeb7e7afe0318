"""The method: a step, and everything that decides about it."""

from .convergence import Measured, tolerances
from .failures import Failure
from .step import take_step
from .stop_codes import StopCode

__all__ = ["Failure", "Measured", "StopCode", "take_step", "tolerances"]
