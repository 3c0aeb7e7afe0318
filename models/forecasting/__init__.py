"""Forecasting time series: the recurrent forecaster, its baselines and its measures."""

from ..._backend import ON_TENSORFLOW, without_tensorflow
from .linear_autoregression import LinearAutoregression
from .mase import mase
from .pack_series import pack_series
from .rmse import rmse
from .seasonal_naive import SeasonalNaive

if ON_TENSORFLOW:
    from .backtest import Backtest
    from .stateful_lstm_forecaster import StatefulLSTMForecaster

__all__ = [
    "Backtest",
    "LinearAutoregression",
    "SeasonalNaive",
    "StatefulLSTMForecaster",
    "mase",
    "pack_series",
    "rmse",
]

if not ON_TENSORFLOW:
    __all__, __getattr__ = without_tensorflow(globals())
