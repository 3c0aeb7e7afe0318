"""How far forecasts are from what came."""

from .mase import mase
from .rmse import rmse
from .rmsse import rmsse
from .smape import smape

__all__ = ["mase", "rmse", "rmsse", "smape"]
