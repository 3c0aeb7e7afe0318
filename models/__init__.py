"""Whole models and what is done with them."""

from .._backend import ON_TENSORFLOW, without_tensorflow
from . import forecasting, reinforcement_learning
from .forecasting import PackedSeries, pack_series
from .maxout_network import MaxoutNetwork
from .prelu_network import PReLUNetwork
from .reinforcement_learning import discounted_returns, generalized_advantage, n_step_returns
from .residual_network import ResidualNetwork
from .seed_report import SeedReport, seed_report

if ON_TENSORFLOW:
    from .forecasting import ForecasterState, StatefulLSTMForecaster
    from .least_squares import (
        Bands,
        CurveFit,
        CurveFits,
        LeastSquares,
        ManyFits,
        fit_curve,
        fit_curves,
    )
    from .reinforcement_learning import (
        ActorCritic,
        RecurrentQNetwork,
        TargetNetwork,
        hard_update,
        soft_update,
    )

__all__ = [
    "ActorCritic",
    "Bands",
    "CurveFit",
    "CurveFits",
    "ForecasterState",
    "LeastSquares",
    "ManyFits",
    "MaxoutNetwork",
    "PReLUNetwork",
    "PackedSeries",
    "RecurrentQNetwork",
    "ResidualNetwork",
    "SeedReport",
    "StatefulLSTMForecaster",
    "TargetNetwork",
    "discounted_returns",
    "fit_curve",
    "fit_curves",
    "forecasting",
    "generalized_advantage",
    "hard_update",
    "n_step_returns",
    "pack_series",
    "reinforcement_learning",
    "seed_report",
    "soft_update",
]

if not ON_TENSORFLOW:
    __all__, __getattr__ = without_tensorflow(globals())
