"""Forecasting time series: the recurrent forecaster, its baselines and its measures."""

from ..._backend import ON_TENSORFLOW, without_tensorflow
from .baselines import LinearAutoregression, SeasonalNaive
from .conformal_intervals import ConformalIntervals
from .metrics import mase, rmse, rmsse, smape
from .pack_series import PackedSeries, pack_series

if ON_TENSORFLOW:
    from .backtest import Backtest
    from .forecaster_state import ForecasterState
    from .stateful_lstm_forecaster import StatefulLSTMForecaster

__all__ = [
    "Backtest",
    "ConformalIntervals",
    "ForecasterState",
    "LinearAutoregression",
    "PackedSeries",
    "SeasonalNaive",
    "StatefulLSTMForecaster",
    "mase",
    "pack_series",
    "rmse",
    "rmsse",
    "smape",
]

if not ON_TENSORFLOW:
    __all__, __getattr__ = without_tensorflow(globals())
