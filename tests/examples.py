"""One of each public class, as the promise tests build it."""

from collections.abc import Callable
from dataclasses import dataclass

import backends
import keras
import numpy as np

from kerazoo import initializers, layers, losses, models, optimizers
from kerazoo.models import forecasting


@dataclass(frozen=True)
class Layer:
    make: Callable
    input_shape: tuple


@dataclass(frozen=True)
class Loss:
    make: Callable
    y_true: np.ndarray
    y_pred: np.ndarray


@dataclass(frozen=True)
class Plain:
    """Neither layer nor loss: held against the promises that every object keeps."""

    make: Callable


def network():
    return keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])


def line(x, a, b):
    return a + b * x


def curve_fit():
    return models.fit_curve(line, np.arange(4.0), np.array([0.0, 1.1, 1.9, 3.0]), [0.0, 0.0])


def curve_fits():
    return models.fit_curves(line, np.arange(4.0), np.ones((2, 4)), [0.0, 0.0])


def many_fits():
    model = models.LeastSquares(network())
    model.compile()
    return model.fit_many(np.ones((3, 2)), np.ones((2, 3)), verbose=0)


def backtest():
    return forecasting.Backtest(np.arange(20.0), [10, 12], 3, 1, {"forecaster": np.ones((2, 3, 1))})


@keras.saving.register_keras_serializable(package="tests")
def weighted_squares(y_pred, action, advantage):
    return advantage[..., 0] * keras.ops.sum((action - y_pred) ** 2, axis=-1)


RNG = np.random.default_rng(0)
SIZES = {"action": 2, "advantage": 1}

EXAMPLES = {
    forecasting.ConformalIntervals: Plain(lambda: forecasting.ConformalIntervals(0.9)),
    forecasting.LinearAutoregression: Plain(lambda: forecasting.LinearAutoregression(2)),
    forecasting.PackedSeries: Plain(lambda: models.pack_series(np.arange(9.0), 1, 4)),
    forecasting.SeasonalNaive: Plain(lambda: forecasting.SeasonalNaive(2)),
    initializers.ActivationNormal: Plain(lambda: initializers.ActivationNormal("prelu", 0.1)),
    initializers.ChronoBias: Plain(lambda: initializers.ChronoBias(60)),
    initializers.ConvTransposeHeNormal: Plain(lambda: initializers.ConvTransposeHeNormal((2, 3))),
    initializers.DeltaOrthogonal: Plain(lambda: initializers.DeltaOrthogonal(2.0, seed=1)),
    initializers.DepthwiseHeNormal: Plain(lambda: initializers.DepthwiseHeNormal(seed=1)),
    initializers.EfficientNetConvKernel: Plain(lambda: initializers.EfficientNetConvKernel(1)),
    initializers.EfficientNetDenseKernel: Plain(lambda: initializers.EfficientNetDenseKernel(1)),
    initializers.MaxoutNormal: Plain(lambda: initializers.MaxoutNormal(3)),
    initializers.PerGateOrthogonal: Plain(lambda: initializers.PerGateOrthogonal(1.5)),
    initializers.PriorBias: Plain(lambda: initializers.PriorBias([0.5, -1.0])),
    initializers.ResidualNormal: Plain(lambda: initializers.ResidualNormal(50)),
    initializers.SignalReport: Plain(
        lambda: initializers.signal_propagation(network(), np.ones((3, 2)))
    ),
    initializers.TransferReport: Plain(lambda: initializers.TransferReport([], [], [], [])),
    layers.InitialState: Layer(lambda **kw: layers.InitialState(5, mode="learned", **kw), (4, 2)),
    layers.Maxout: Layer(lambda **kw: layers.Maxout(3, **kw), (4, 12)),
    layers.MaxoutConv2D: Layer(lambda **kw: layers.MaxoutConv2D(3, 2, 3, **kw), (5, 6, 2)),
    layers.MaxoutDense: Layer(lambda **kw: layers.MaxoutDense(3, 2, **kw), (4, 5)),
    layers.PReLU: Layer(lambda **kw: layers.PReLU(**kw), (4, 5)),
    layers.SkipInit: Layer(lambda **kw: layers.SkipInit(0.5, **kw), (4, 5)),
    losses.A2CActorLoss: Loss(
        lambda **kw: losses.A2CActorLoss("gaussian", **kw),
        RNG.uniform(1, 2, size=(3, 4, 3)),
        RNG.normal(size=(3, 4, 4)),
    ),
    losses.Cauchy: Loss(
        lambda **kw: losses.Cauchy(0.5, **kw),
        RNG.normal(size=(3, 4, 2)),
        RNG.normal(size=(3, 4, 2)),
    ),
    losses.PackedTargetsLoss: Loss(
        lambda **kw: losses.PackedTargetsLoss(weighted_squares, SIZES, **kw),
        RNG.uniform(1, 2, size=(3, 4, 3)),
        RNG.normal(size=(3, 4, 2)),
    ),
    losses.SoftFBeta: Loss(
        lambda **kw: losses.SoftFBeta(average="macro", **kw),
        RNG.integers(2, size=(3, 4, 2)),
        RNG.uniform(0.05, 0.95, size=(3, 4, 2)),
    ),
    losses.SoftL1: Loss(
        lambda **kw: losses.SoftL1(0.5, **kw),
        RNG.normal(size=(3, 4, 2)),
        RNG.normal(size=(3, 4, 2)),
    ),
    losses.Tukey: Loss(
        lambda **kw: losses.Tukey(1.5, **kw),
        RNG.normal(size=(3, 4, 2)),
        RNG.normal(size=(3, 4, 2)),
    ),
    losses.UnpackedMetric: Plain(lambda: losses.UnpackedMetric("mse", SIZES, target="action")),
    optimizers.Box: Plain(lambda: optimizers.Box(0.0, [1.0, np.inf])),
    models.MaxoutNetwork: Plain(lambda: models.MaxoutNetwork((4, 4, 1), 3, (2, 3), (4,))),
    models.PReLUNetwork: Plain(lambda: models.PReLUNetwork((4, 4, 1), 3, (2, 3))),
    models.SeedReport: Plain(lambda: models.SeedReport([0, 1], {"a": [0.1, 0.3]})),
    models.ResidualNetwork: Plain(lambda: models.ResidualNetwork((4, 4, 1), 3, 2, 4, "fixup")),
}

if backends.ON_TENSORFLOW:
    EXAMPLES |= {
        forecasting.Backtest: Plain(backtest),
        forecasting.ForecasterState: Plain(
            lambda: forecasting.ForecasterState(*[np.zeros((1, 1))] * 8, single=True)
        ),
        models.StatefulLSTMForecaster: Plain(lambda: models.StatefulLSTMForecaster(units=(3, 2))),
        models.ActorCritic: Plain(lambda: models.ActorCritic(3, {"low": [0.0], "high": [1.0]})),
        models.RecurrentQNetwork: Plain(
            lambda: models.RecurrentQNetwork(3, 2, units=4, memory=False)
        ),
        models.TargetNetwork: Plain(lambda: models.TargetNetwork(network())),
        models.Bands: Plain(lambda: curve_fit().bands(np.ones(1))),
        models.CurveFit: Plain(curve_fit),
        models.CurveFits: Plain(curve_fits),
        models.LeastSquares: Plain(lambda: models.LeastSquares(network())),
        models.ManyFits: Plain(many_fits),
        optimizers.Covariance: Plain(lambda: curve_fit().covariance),
        optimizers.LeastSquaresProblem: Plain(
            lambda: optimizers.LeastSquaresProblem(network(), np.ones((3, 2)), np.ones((3, 1)))
        ),
        optimizers.LevenbergMarquardt: Plain(lambda: optimizers.LevenbergMarquardt("nielsen")),
    }
