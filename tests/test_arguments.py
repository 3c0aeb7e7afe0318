"""Every argument of every public object: what is wrong is refused by name, NumPy is taken.

`TABLE` says of each what it must be. The objects and their methods are found by themselves, so a
new argument fails here until it has an entry.
"""

import functools
import inspect
import json
import re
from dataclasses import dataclass, field
from typing import Any

import checks
import keras
import numpy as np
import pytest

from kerazoo import initializers, layers, losses, models, optimizers
from kerazoo.models import forecasting

# What Keras calls, or our own classes call in one another: not for users to call.
HOOKS = {
    "activation",
    "add_kernel_and_bias",
    "build",
    "build_from_config",
    "call",
    "compile_from_config",
    "compute_loss",
    "compute_mask",
    "compute_metrics",
    "compute_output_shape",
    "from_config",
    "get_build_config",
    "get_config",
    "load_own_variables",
    "make_train_function",
    "reset_state",
    "result",
    "save_own_variables",
    "test_step",
    "train_step",
    "update_state",
    "update_step",
}
HOOKS_OF = {("LevenbergMarquardt", "step")}
NO_WORD = "no such word"


# The kinds of arguments. `right` is a value that is taken, `bad` those that must be refused.


@dataclass
class Integer:
    minimum: Any = None
    maximum: Any = None
    also: tuple = ()
    right: Any = None

    def bad(self):
        yield from (NO_WORD, object(), [1], {}, 1.5, np.nan, np.inf, True, np.True_)
        yield from _unless(self.also)
        if self.minimum is not None:
            yield from (self.minimum - 1, np.int64(self.minimum - 1))
        if self.maximum is not None:
            yield from (self.maximum + 1, np.int64(self.maximum + 1))

    def as_numpy(self, value):
        return np.int64(value)


@dataclass
class Number:
    minimum: Any = None
    maximum: Any = None
    above: Any = None
    below: Any = None
    also: tuple = ()
    right: Any = None

    def bad(self):
        yield from (NO_WORD, object(), [1.0], {}, np.nan, np.inf, -np.inf, True, np.True_)
        yield np.float32(np.nan)
        yield from _unless(self.also)
        yield from (bound for bound in (self.above, self.below) if bound is not None)
        low = self.minimum if self.minimum is not None else self.above
        high = self.maximum if self.maximum is not None else self.below
        yield from () if low is None else (low - 0.1,)
        yield from () if high is None else (high + 0.1,)

    def as_numpy(self, value):
        return np.float32(value)


@dataclass
class Integers:
    """One integer or a tuple of them."""

    minimum: Any = None
    also: tuple = ()
    right: Any = None
    empty: bool = False  # whether () is right

    def bad(self):
        yield from (NO_WORD, object(), {}, [NO_WORD], [1.5], [np.nan], [True], True, np.nan, [None])
        yield from () if self.empty else ((),)
        yield from _unless(self.also)
        yield from () if self.minimum is None else (self.minimum - 1, [self.minimum - 1])

    def as_numpy(self, value):
        return tuple(map(np.int64, value)) if isinstance(value, tuple) else np.int64(value)


@dataclass
class Boolean:
    also: tuple = ()
    right: Any = None

    def bad(self):
        yield from (NO_WORD, object(), [True], {}, 1, 0, 1.0, np.nan)
        yield from _unless(self.also)

    def as_numpy(self, value):
        return np.bool_(value)


@dataclass
class Choice:
    words: tuple
    also: tuple = ()
    right: Any = None

    def bad(self):
        yield from (NO_WORD, object(), [self.words[0]], {}, 1, np.nan, True)
        yield from _unless((*self.also, *self.words))


@dataclass
class Other:
    """Anything else: its bad values are listed."""

    bad_values: tuple
    right: Any = None

    def bad(self):
        yield from self.bad_values


@dataclass
class Unchecked:
    reason: str
    right: Any = None

    def bad(self):
        assert self.reason
        yield from ()


@dataclass
class Target:
    call: Any
    arguments: dict = field(default_factory=dict)
    slow: bool = False  # to call it takes seconds


def _unless(also):
    """What often passes for "choose yourself", where it does not."""
    return [word for word in (None, "auto") if word not in also]


# Small models, each made once.


@functools.cache
def network():
    return keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])


@functools.cache
def other_network():
    return keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])


@functools.cache
def least_squares():
    model = models.LeastSquares(network())
    model.compile()
    return model


@functools.cache
def fitted():
    """At a minimum for X and Y, which it fits exactly."""
    exact = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    exact.set_weights([np.zeros((2, 1)), np.ones(1)])
    model = models.LeastSquares(exact)
    model.covariance(X, Y)
    return model


@functools.cache
def curve_fit():
    return models.fit_curve(straight, np.arange(4.0), np.array([0.0, 1.1, 1.9, 3.0]), [0.0, 0.0])


@functools.cache
def curve_fits():
    return models.fit_curves(straight, np.arange(4.0), LINES, [0.0, 0.0])


@functools.cache
def many_fits():
    return least_squares().fit_many(X, np.ones((3, 6)), verbose=0)


def straight(x, a, b):
    return a + b * x


@functools.cache
def problem():
    return optimizers.LeastSquaresProblem(network(), X, Y)


@functools.cache
def forecaster():
    model = models.StatefulLSTMForecaster(units=(2,))
    model.compile("adam")
    checks.randomize(model)
    return model


@functools.cache
def state():
    return forecaster().warm_up(SERIES)


@functools.cache
def backtest():
    origins = [10, 11, 12, 13]
    return forecasting.Backtest(SERIES, origins, 3, 1, {"forecaster": np.ones((4, 3, 1))})


@functools.cache
def conformal():
    return forecasting.ConformalIntervals().fit(np.ones((9, 2)), np.zeros((9, 2)), np.ones(9))


@functools.cache
def autoregression():
    return forecasting.LinearAutoregression(2).fit(SERIES)


@functools.cache
def actor_critic():
    return models.ActorCritic(2, 3, units=(2,))


@functools.cache
def q_network():
    return models.RecurrentQNetwork(2, 3, units=2)


@functools.cache
def packed():
    return losses.PackedTargetsLoss(checks_loss, {"action": 2, "advantage": 1})


ON_BATCH = {  # of `train_on_batch` and `test_on_batch`
    "x": Other((None,), right=np.ones((6, 2))),
    "y": Other((np.ones((6, 2)), np.ones(5), None), right=np.ones((6, 1))),
    "sample_weight": Other((-np.ones(6), NO_WORD)),
    "return_dict": Boolean(),
}


@functools.cache
def target_network():
    return models.TargetNetwork(network())


def checks_loss(y_pred, action, advantage):
    return advantage[..., 0] * keras.ops.sum((action - y_pred) ** 2, axis=-1)


def train(seed):
    return 1.0


X, Y = np.random.default_rng(0).normal(size=(6, 2)), np.ones((6, 1))
LINES = np.array([[0.0, 1.1, 1.9, 3.0], [1.0, 0.9, 1.1, 1.0]])
SERIES = np.sin(np.arange(20.0))
RETURNS = np.ones((4, 2))
ENDED = np.zeros((4, 2), bool)
SIZES = {"action": 2, "advantage": 1}

# Bad values of what is no number.
NO_MODEL = (None, NO_WORD, 1, object(), [], keras.Sequential)
NO_ARRAY = (None, NO_WORD, object(), {}, np.array(["a", "b"]))
NO_SERIES = (
    *NO_ARRAY,
    1.0,
    [],
    ["a", "b"],
    iter([1.0, 2.0]),
    np.array([np.ones(3), np.ones(2)], dtype=object),
    np.ones((2, 3, 4)),
    np.array([1.0, np.inf, 2.0]),
    np.array([np.nan, np.nan]),
    np.ones(3, "complex64"),
)
NO_NAME = (1, object(), [], True)
NO_CALLBACKS = (NO_WORD, 1, [keras.callbacks.EarlyStopping], object())

ACTIVATION = Other((NO_WORD, 1, object(), []), right="relu")
ONLY_NONE = Other((1, NO_WORD, [1.0], True))
KERAS_OBJECTS = {
    name: Other((NO_WORD, 1, object(), keras.layers.Dense))
    for name in (
        "kernel_initializer",
        "bias_initializer",
        "kernel_regularizer",
        "bias_regularizer",
        "activity_regularizer",
        "kernel_constraint",
        "bias_constraint",
    )
}
SEED = Other((NO_WORD, 1.5, np.nan, True, [1], object()))
SEED_OR_NONE = Integer(0, also=(None,))
AXES = {"input_axes": Integers(also=(None,)), "output_axes": Integers(also=(None,))}
LOSS_OF_KERAS = {
    "reduction": Choice(("sum", "sum_over_batch_size"), also=(None,)),
    "name": Other(NO_NAME),
    "dtype": Other((NO_WORD, 1, object(), "int32")),
}
VERBOSE = Other((NO_WORD, -1, 3, 1.5, None, [1], object()))
COUNT_OR_NONE = Integer(1, also=(None,))
TARGETS = {
    "y": Other((None, NO_WORD, object(), np.array(["a", "b"], object), np.ones(0)), right=Y),
    "sample_weight": Other((NO_WORD, object(), -np.ones(6), np.ones(5), np.full(6, np.nan))),
    "class_weight": Other((NO_WORD, 1, [1.0], {0: NO_WORD}, {0: -1.0}, {0: np.nan})),
}
LOSS = Other((1, object(), NO_WORD))
STATISTICS = {  # of `covariance` and `standard_errors`
    "x": Other((*NO_ARRAY, X[:5], np.full((6, 2), np.nan)), right=X),
    "y": Other((None, NO_WORD, object(), np.ones((6, 2)), np.ones(5), np.full(6, np.nan)), right=Y),
    "sample_weight": Other((NO_WORD, -np.ones(6), np.ones(5), np.ones((6, 4)), np.full(6, np.nan))),
    "absolute_sigma": Boolean(),
}
BY_FIT = Unchecked("made by the fit, which checks its own", right=[])
OPTIMIZER = Other((NO_WORD, 1, object(), keras.optimizers.Adam))
RETURNS_OF = {
    "rewards": Other((*NO_ARRAY, np.full((4, 2), np.nan)), right=RETURNS),
    "terminated": Other((NO_WORD, object(), RETURNS / 2, np.zeros((3, 2), bool)), right=ENDED),
    "truncated": Other((NO_WORD, object(), RETURNS / 2, np.zeros((3, 2), bool)), right=ENDED),
    "next_values": Other((NO_WORD, object(), np.ones((3, 2)), np.full((4, 2), np.inf))),
    "discount": Number(0, 1),
    "gae_lambda": Number(0, 1),
    "values": Other((NO_WORD, object(), np.ones((3, 2)), np.full((4, 2), np.nan)), right=RETURNS),
}
SPACES = {
    "observation_space": Other((None, NO_WORD, object(), 0, -1, 1.5, True), right=2),
    "action_space": Other((None, NO_WORD, object(), 0, -1, 1.5, True), right=3),
}
TRAINING = {
    "env_id": Other((1, object(), []), right="CartPole-v1"),
    "steps": Integer(1, right=8),
    "seed": Integer(0),
    "num_envs": Integer(1, also=(None,), right=2),
    "discount": Number(0, 1),
    "evaluation_every": Integer(1),
    "evaluation_episodes": Integer(1, right=1),
    "checkpoint": Other((1, object(), [])),
    "callbacks": Other(NO_CALLBACKS),
    "verbose": VERBOSE,
}
EVALUATION = {
    "episodes": Integer(1, right=1),
    "env_id": Other((1, object(), []), right="CartPole-v1"),
    "seed": Integer(0),
}
OBSERVATIONS = Other((None, NO_WORD, object(), np.ones((1, 3)), np.full((1, 2), np.nan)))
TOLERANCE = Number(0, also=("auto",), right=0.5)
HORIZON = Integer(1, right=2)
ONE_SERIES = Other(NO_SERIES, right=SERIES)
NO_PATH = (None, 1, object(), [], "")
KERAS_ARGUMENT = Unchecked("handed to Keras, whose own errors say what it is")
TRANSFORM = Choice(("log", "log1p", "sqrt"), also=(None,))

TABLE = {
    # initializers
    "ActivationNormal": Target(
        initializers.ActivationNormal,
        {
            "activation": ACTIVATION,
            "negative_slope": Number(also=(None,)),
            "seed": SEED,
            **AXES,
        },
    ),
    "ChronoBias": Target(initializers.ChronoBias, {"max_time": Integer(3, right=60), "seed": SEED}),
    "ConvTransposeHeNormal": Target(
        initializers.ConvTransposeHeNormal, {"strides": Integers(1, right=(2, 3)), "seed": SEED}
    ),
    "DeltaOrthogonal": Target(
        initializers.DeltaOrthogonal, {"gain": Number(above=0), "seed": SEED}
    ),
    "DepthwiseHeNormal": Target(initializers.DepthwiseHeNormal, {"seed": SEED}),
    "EfficientNetConvKernel": Target(initializers.EfficientNetConvKernel, {"seed": SEED}),
    "EfficientNetDenseKernel": Target(initializers.EfficientNetDenseKernel, {"seed": SEED, **AXES}),
    "MaxoutNormal": Target(
        initializers.MaxoutNormal, {"pieces": Integer(1, right=3), "seed": SEED, **AXES}
    ),
    "PerGateOrthogonal": Target(
        initializers.PerGateOrthogonal, {"gain": Number(above=0), "seed": SEED}
    ),
    "PriorBias": Target(
        initializers.PriorBias,
        {"values": Other((NO_WORD, None, object(), {}, [np.nan], [], [[]]), right=0.5)},
    ),
    "PriorBias.from_targets": Target(
        initializers.PriorBias.from_targets,
        {
            **TARGETS,
            "loss": LOSS,
            "smoothing": Number(0),
            "num_classes": Integer(1, also=(None,)),
        },
    ),
    "ResidualNormal": Target(
        initializers.ResidualNormal, {"num_blocks": Integer(1, right=50), "seed": SEED, **AXES}
    ),
    "SignalReport": Target(
        initializers.SignalReport,
        {
            "signals": Unchecked("made by `signal_propagation`, which checks its own", right=[]),
            "loss": Unchecked("made by `signal_propagation`, which checks its own"),
        },
    ),
    "SignalReport.plot": Target(
        lambda **kw: initializers.signal_propagation(network(), X).plot(**kw),
        {"path": Other((1, object(), None, []), right="signals.png")},
        slow=True,
    ),
    "TransferReport": Target(
        initializers.TransferReport,
        {
            name: Unchecked("made by `transfer_weights`, which checks its own", right=[])
            for name in initializers.TransferReport._fields
        },
    ),
    "calculate_gain": Target(
        initializers.calculate_gain,
        {"activation": ACTIVATION, "negative_slope": Number(also=(None,))},
    ),
    "initialize_output_bias": Target(
        initializers.initialize_output_bias,
        {
            "model": Other(NO_MODEL, right=network),
            **TARGETS,
            "loss": Other((1, object(), NO_WORD), right="mse"),
            "zero_kernel": Boolean(),
            "smoothing": Number(0),
        },
    ),
    "lsuv": Target(
        initializers.lsuv,
        {
            "model": Other(NO_MODEL, right=network),
            "inputs": Other((None, NO_WORD, object(), np.full((2, 2), np.nan)), right=X),
            "target_variance": Number(above=0),
            "tolerance": Number(above=0),
            "max_iterations": Integer(1),
            "orthogonal": Boolean(),
            "seed": SEED,
        },
    ),
    "signal_propagation": Target(
        initializers.signal_propagation,
        {
            "model": Other(NO_MODEL, right=network),
            "inputs": Other((None, NO_WORD, object(), np.full((2, 2), np.nan)), right=X),
            "targets": Other((NO_WORD, object(), np.ones((5, 1)))),
            "loss": Other((1, object(), NO_WORD)),
        },
    ),
    "transfer_weights": Target(
        initializers.transfer_weights,
        {
            "source": Other((None, 1, object()), right=network),
            "target": Other(NO_MODEL, right=other_network),
            "mapping": Other((NO_WORD, 1, object(), {1: 2}, {"a": 1})),
            "skip": Other((1, object(), [1], None)),
            "strict": Boolean(),
        },
    ),
    # layers
    "InitialState": Target(
        lambda **kw: layers.InitialState(**{"mode": "noisy", **kw}),
        {
            "units": Integer(1, right=3),
            "num_states": Integer(1),
            "mode": Choice(("zeros", "learned", "noisy")),
            "stddev": Number(0),
            "state_initializer": Other((NO_WORD, 1, object())),
            "seed": SEED_OR_NONE,
        },
    ),
    "Maxout": Target(layers.Maxout, {"num_units": Integer(1, right=2), "axis": Integer(right=-1)}),
    "MaxoutConv2D": Target(
        layers.MaxoutConv2D,
        {
            "filters": Integer(1, right=2),
            "pieces": Integer(1, right=2),
            "kernel_size": Integers(1, right=(3, 3)),
            "strides": Integers(1),
            "padding": Choice(("valid", "same")),
            "data_format": Choice(("channels_last", "channels_first"), also=(None,)),
            "dilation_rate": Integers(1),
            "use_bias": Boolean(),
            **KERAS_OBJECTS,
        },
    ),
    "MaxoutDense": Target(
        layers.MaxoutDense,
        {
            "units": Integer(1, right=2),
            "pieces": Integer(1, right=2),
            "use_bias": Boolean(),
            **KERAS_OBJECTS,
        },
    ),
    "PReLU": Target(
        layers.PReLU,
        {
            "sharing": Choice(("channel", "layer", "element")),
            "alpha_initializer": Other((NO_WORD, np.nan, np.inf, True, object(), None)),
            "alpha_regularizer": Other((NO_WORD, 1, object())),
            "alpha_constraint": Other((NO_WORD, 1, object())),
            "axis": Integer(),
        },
    ),
    "SkipInit": Target(layers.SkipInit, {"initial_value": Number()}),
    # losses
    "A2CActorLoss": Target(
        losses.A2CActorLoss,
        {
            "distribution": Choice(("categorical", "gaussian")),
            "entropy_coefficient": Number(0),
            **LOSS_OF_KERAS,
        },
    ),
    "A2CActorLoss.pack": Target(
        losses.A2CActorLoss().pack,
        {
            "action": Other(NO_ARRAY, right=[1, 0]),
            "advantage": Other((*NO_ARRAY, [np.nan, 1.0]), right=[1.0, 2.0]),
        },
    ),
    **{
        loss.__name__: Target(loss, {"scale": Number(above=0), **LOSS_OF_KERAS})
        for loss in (losses.Cauchy, losses.SoftL1, losses.Tukey)
    },
    "PackedTargetsLoss": Target(
        losses.PackedTargetsLoss,
        {
            "loss": Other((None, 1, object(), NO_WORD), right=lambda: checks_loss),
            "sizes": Other((None, NO_WORD, {}, {"a": 0}, {"a": 1.5}, {1: 1}, [1]), right=SIZES),
            "target": Other((NO_WORD, 1, object())),
            "infinite": Other((NO_WORD, 1, object(), ["a"])),
            **LOSS_OF_KERAS,
        },
    ),
    "PackedTargetsLoss.unpack": Target(
        lambda **kw: packed().unpack(**kw),
        {"y_true": Other((None, NO_WORD, object(), np.ones((2, 4))), right=np.ones((2, 3)))},
    ),
    "SoftFBeta": Target(
        losses.SoftFBeta,
        {
            "beta": Number(above=0),
            "average": Choice(("binary", "macro", "micro", "weighted")),
            "from_logits": Boolean(),
            "smooth": Number(above=0),
            **LOSS_OF_KERAS,
        },
    ),
    "UnpackedMetric": Target(
        losses.UnpackedMetric,
        {
            "metric": Other((None, 1, object(), NO_WORD), right="mse"),
            "sizes": Other((None, NO_WORD, {}, {"a": 0}, {"a": 1.5}, [1]), right=SIZES),
            "target": Other((None, NO_WORD, 1, object()), right="action"),
            "name": Other(NO_NAME),
            "dtype": LOSS_OF_KERAS["dtype"],
        },
    ),
    # models
    "ActorCritic": Target(
        models.ActorCritic,
        {
            **SPACES,
            "units": Integers(1, empty=True),
            "activation": ACTIVATION,
            "normalize_observations": Boolean(),
            "normalize_rewards": Boolean(),
            "initial_log_std": Number(),
            "seed": SEED_OR_NONE,
        },
    ),
    "ActorCritic.act": Target(
        lambda **kw: actor_critic().act(**kw),
        {
            "observations": Other(OBSERVATIONS.bad_values, right=np.ones((1, 2))),
            "noise": Other((NO_WORD, object(), np.ones((5, 7)), np.full((1, 3), np.nan))),
        },
    ),
    "ActorCritic.compile": Target(
        lambda **kw: actor_critic().compile(**kw),
        {
            "optimizer": OPTIMIZER,
            "entropy_coefficient": Number(0),
            "value_coefficient": Number(above=0),
        },
    ),
    "ActorCritic.evaluate": Target(
        lambda **kw: models.ActorCritic(4, 2, units=(2,)).evaluate(**kw), EVALUATION, slow=True
    ),
    "ActorCritic.train": Target(
        lambda **kw: models.ActorCritic(4, 2, units=(2,)).train(**kw),
        {
            **TRAINING,
            "num_steps": Integer(1, right=2),
            "gae_lambda": Number(0, 1),
            "noise_correlation": Number(0, below=1, right=0.0),
        },
        slow=True,
    ),
    "Bands": Target(models.Bands, dict.fromkeys(models.Bands._fields, BY_FIT)),
    "CurveFit": Target(
        lambda **kw: curve_fit(),
        dict.fromkeys(inspect.signature(models.CurveFit).parameters, BY_FIT),
    ),
    "CurveFit.bands": Target(
        lambda **kw: curve_fit().bands(**kw),
        {
            "x": Other((*NO_ARRAY, np.ones((3, 1)), [np.nan]), right=np.ones(3)),
            "level": Number(above=0, below=1, right=0.5),
            "sigma": Other((NO_WORD, object(), -1.0, np.ones(2), np.nan), right=2.0),
        },
    ),
    "CurveFit.plot": Target(
        lambda **kw: curve_fit().plot(**kw), {"path": Other(NO_PATH, right="curve.png")}, slow=True
    ),
    "CurveFit.predict": Target(
        lambda **kw: curve_fit().predict(**kw),
        {"x": Other((*NO_ARRAY, np.ones((3, 1)), [np.nan]), right=np.ones(3))},
    ),
    "CurveFits": Target(
        lambda **kw: curve_fits(),
        dict.fromkeys(inspect.signature(models.CurveFits).parameters, BY_FIT),
    ),
    "CurveFits.predict": Target(
        lambda **kw: curve_fits().predict(**kw),
        {
            "x": Other(
                (*NO_ARRAY, 1.0, [np.nan], np.ones((3, 2)), [np.ones(2)] * 3), right=np.ones(3)
            )
        },
    ),
    "CurveFits.stop_reason": Target(
        lambda **kw: curve_fits().stop_reason(**kw), {"i": Integer(0, 1, right=1)}
    ),
    "CurveFits.summary": Target(
        lambda **kw: curve_fits().summary(**kw), {"rows": Integer(1, also=(None,), right=2)}
    ),
    "LeastSquares": Target(models.LeastSquares, {"model": Other(NO_MODEL, right=network)}),
    "LeastSquares.compile": Target(
        lambda **kw: models.LeastSquares(network()).compile(**kw),
        {
            "optimizer": OPTIMIZER,
            "loss": LOSS,
            "loss_weights": KERAS_ARGUMENT,
            "metrics": KERAS_ARGUMENT,
        },
    ),
    "LeastSquares.covariance": Target(lambda **kw: fitted().covariance(**kw), STATISTICS),
    "LeastSquares.prediction_bands": Target(
        lambda **kw: fitted().prediction_bands(**kw),
        {
            "x": Other(NO_ARRAY[:-1], right=X),
            "level": Number(above=0, below=1, right=0.5),
            "covariance": Other((1, NO_WORD, np.eye(3), object())),
        },
    ),
    "LeastSquares.standard_errors": Target(lambda **kw: fitted().standard_errors(**kw), STATISTICS),
    "LeastSquares.evaluate": Target(
        lambda **kw: least_squares().evaluate(**kw),
        {
            "x": Other((None,), right=X),
            "y": Unchecked("the same as in `fit`, where the network's graph meets it", right=Y),
            "batch_size": COUNT_OR_NONE,
            "verbose": VERBOSE,
            "sample_weight": KERAS_ARGUMENT,
            "steps": COUNT_OR_NONE,
            "callbacks": Other(NO_CALLBACKS),
            "return_dict": Boolean(),
        },
    ),
    "LeastSquares.fit": Target(
        lambda **kw: least_squares().fit(**{"x": X, "y": Y, "verbose": 0, **kw}),
        {
            "x": Other((None, np.float32(1), X[:5], X[:0], np.array([[1], [1, 2]] * 3, object))),
            "y": Other(
                (
                    np.ones((6, 2)),
                    np.ones((6, 1, 1, 1)),
                    np.ones(5),
                    np.float32(1),
                    np.array(["a"] * 6),
                    np.ones(6, complex),
                    np.array([[1], [1, 2]] * 3, object),
                )
            ),
            "batch_size": COUNT_OR_NONE,
            "epochs": Integer(0),
            "verbose": VERBOSE,
            "callbacks": Other(NO_CALLBACKS),
            "validation_split": Number(0, below=1),
            "validation_data": Other((NO_WORD, 1, X, (X,), (X, Y, Y, Y), {"x": X})),
            "shuffle": Boolean(),
            "class_weight": TARGETS["class_weight"],
            "sample_weight": Other((-np.ones(6), np.ones(5), np.ones(()))),
            "initial_epoch": Integer(0),
            "steps_per_epoch": COUNT_OR_NONE,
            "validation_steps": COUNT_OR_NONE,
            "validation_batch_size": COUNT_OR_NONE,
            "validation_freq": Other((NO_WORD, 0, 1.5, True, None, [0], [NO_WORD])),
        },
    ),
    "LeastSquares.fit_many": Target(
        lambda **kw: least_squares().fit_many(**{"verbose": 0, **kw}),
        {
            "x": Other((None, NO_WORD, np.float32(1), X[:5], X[:0], np.array([["a"] * 2] * 6)), X),
            "y": Other(
                (
                    None,
                    NO_WORD,
                    np.float32(1),
                    np.ones(6),
                    np.ones((3, 6, 2)),
                    np.ones((3, 0)),
                    np.array([["a"] * 6]),
                ),
                right=np.ones((3, 6)),
            ),
            "sample_weight": Other(
                (
                    NO_WORD,
                    -np.ones((3, 6)),
                    np.zeros((3, 6)),
                    np.ones(6),
                    np.ones((3, 5)),
                    np.full((3, 6), np.nan),
                )
            ),
            "starts": Other(
                (NO_WORD, 1.0, np.ones(3), np.ones((1, 4)), np.ones((2, 1, 3)), [np.ones((1, 3))])
            ),
            "epochs": Integer(1, right=5),
            "shared_x": Other((NO_WORD, None, 1, False), right=True),
            "absolute_sigma": Boolean(),
            "verbose": VERBOSE,
        },
    ),
    "LeastSquares.test_on_batch": Target(
        lambda **kw: least_squares().test_on_batch(**{"x": X, "y": Y, **kw}), ON_BATCH
    ),
    "LeastSquares.train_on_batch": Target(
        lambda **kw: least_squares().train_on_batch(**{"x": X, "y": Y, **kw}),
        {**ON_BATCH, "class_weight": Other((1, NO_WORD, {0: -1.0}, {0: 1.0}))},
    ),
    "LeastSquares.predict": Target(
        lambda **kw: least_squares().predict(**kw),
        {
            "x": Other((None,), right=X),
            "batch_size": COUNT_OR_NONE,
            "verbose": VERBOSE,
            "steps": COUNT_OR_NONE,
            "callbacks": Other(NO_CALLBACKS),
        },
    ),
    "MaxoutNetwork": Target(
        models.MaxoutNetwork,
        {
            "input_shape": Integers(1, right=(4, 4, 1)),
            "num_outputs": Integer(1, right=2),
            "filters": Integers(1, right=(2, 3), empty=True),
            "units": Integers(1, right=(4,), empty=True),
            "pieces": Integer(1),
            "input_dropout": Number(0, below=1),
            "dropout": Number(0, below=1),
            "max_norm": Number(above=0, also=(None,), right=2.0),
            "activation": Other((NO_WORD, 1, object())),
        },
    ),
    "PReLUNetwork": Target(
        models.PReLUNetwork,
        {
            "input_shape": Integers(1, right=(4, 4, 1)),
            "num_outputs": Integer(1, right=2),
            "filters": Integers(1, right=(2,), empty=True),
            "convolutions": Integer(1, right=1),
            "units": Integers(1, right=(4,), empty=True),
            "dropout": Number(0, below=1),
            "activation": Other((NO_WORD, 1, object())),
        },
    ),
    "RecurrentQNetwork": Target(
        models.RecurrentQNetwork,
        {**SPACES, "units": Integer(1, right=2), "memory": Boolean(), "seed": SEED_OR_NONE},
    ),
    "RecurrentQNetwork.act": Target(
        lambda **kw: q_network().act(**kw),
        {
            "observations": Other(OBSERVATIONS.bad_values, right=np.ones((1, 2))),
            "state": Other((NO_WORD, object(), 1, [np.ones((7, 7))] * 2)),
        },
    ),
    "RecurrentQNetwork.evaluate": Target(
        lambda **kw: models.RecurrentQNetwork(4, 2, units=2).evaluate(**kw),
        EVALUATION,
        slow=True,
    ),
    "RecurrentQNetwork.train": Target(
        lambda **kw: models.RecurrentQNetwork(4, 2, units=2).train(**{"learning_starts": 4, **kw}),
        {
            **TRAINING,
            "batch_size": Integer(1, right=2),
            "window": Integer(1, right=2),
            "burn_in": Integer(0, right=1),
            "update_every": Integer(1),
            "learning_starts": Integer(1, right=4),
            "replay_steps": Integer(1),
            "exploration": Other((NO_WORD, 1.0, (1.0, 0.1), (1.0, 0.1, np.nan), (2.0, 0.1, 0.3))),
            "tau": Number(0, 1),
        },
        slow=True,
    ),
    "ResidualNetwork": Target(
        models.ResidualNetwork,
        {
            "input_shape": Integers(1, right=(4, 4, 1)),
            "num_outputs": Integer(1, right=2),
            "num_blocks": Integer(1, right=1),
            "width": Integer(1, right=2),
            "residual": Choice(("skip_init", "fixup")),
            "strides": Integer(1),
            "activation": Other((NO_WORD, 1, object())),
        },
    ),
    "ManyFits": Target(
        lambda **kw: many_fits(),
        dict.fromkeys(inspect.signature(models.ManyFits).parameters, BY_FIT),
    ),
    "ManyFits.predict": Target(
        lambda **kw: many_fits().predict(**kw),
        {
            "x": Other(
                (None, NO_WORD, 1.0, np.ones(2), np.ones((2, 5, 2)), np.array([["a", "b"]])),
                right=np.ones((1, 2)),
            )
        },
    ),
    "ManyFits.stop_reason": Target(
        lambda **kw: many_fits().stop_reason(**kw), {"i": Integer(0, 2, right=1)}
    ),
    "ManyFits.summary": Target(
        lambda **kw: many_fits().summary(**kw), {"rows": Integer(1, also=(None,), right=2)}
    ),
    "ManyFits.weights_of": Target(
        lambda **kw: many_fits().weights_of(**kw), {"i": Integer(0, 2, right=1)}
    ),
    "SeedReport": Target(
        models.SeedReport,
        {
            "seeds": Integers(right=(0, 1)),
            "scores": Other((None, NO_WORD, 1, {}, {"a": [1.0]}), right={"a": [0.1, 0.3]}),
        },
    ),
    "SeedReport.difference": Target(
        models.SeedReport([0, 1], {"a": [0.1, 0.3], "b": [0.2, 0.3]}).difference,
        {
            "first": Choice(("a", "b"), right="a"),
            "second": Choice(("a", "b"), right="b"),
            "confidence": Number(above=0, below=1),
        },
    ),
    "SeedReport.mean": Target(
        models.SeedReport([0, 1], {"a": [0.1, 0.3]}).mean, {"name": Choice(("a",), right="a")}
    ),
    "SeedReport.std": Target(
        models.SeedReport([0, 1], {"a": [0.1, 0.3]}).std, {"name": Choice(("a",), right="a")}
    ),
    "fit_curve": Target(
        models.fit_curve,
        {
            "f": Other((None, NO_WORD, 1, object(), lambda: 1.0), right=lambda: straight),
            "x": Other((*NO_ARRAY, 1.0, np.ones(3), [np.nan] * 4), right=np.arange(4.0)),
            "y": Other((*NO_ARRAY, 1.0, np.ones((4, 1)), [np.nan] * 4), right=np.arange(4.0)),
            "p0": Other(
                (
                    None,
                    NO_WORD,
                    1.0,
                    object(),
                    [],
                    [1.0],
                    {},
                    {"a": 1, "c": 1},
                    [np.nan, 1],
                    [[1, 2]],
                ),
                right=[1.0, 1.0],
            ),
            "sigma": Other((NO_WORD, object(), 0.0, -1.0, np.ones(3), np.eye(4), [np.nan] * 4)),
            "bounds": Other((NO_WORD, 1, object(), (1,), (1, 0), (np.nan, 2), ([0] * 3, [9] * 3))),
            "absolute_sigma": Boolean(),
        },
    ),
    "fit_curves": Target(
        models.fit_curves,
        {
            "f": Other((None, NO_WORD, 1, object(), lambda: 1.0), right=lambda: straight),
            "x": Other((*NO_ARRAY, 1.0, np.ones(3), np.ones((3, 4))), right=np.arange(4.0)),
            "y": Other((*NO_ARRAY, 1.0, np.ones(4), np.ones((1, 0)), LINES[:, :1]), right=LINES),
            "p0": Other(
                (
                    None,
                    NO_WORD,
                    1.0,
                    object(),
                    [],
                    [1.0],
                    {},
                    {"a": 1, "c": 1},
                    [np.nan, 1],
                    [[1, 2, 3], 1],
                    [[np.nan, 1], 1],
                ),
                right=[1.0, 1.0],
            ),
            "sigma": Other((NO_WORD, object(), 0.0, -1.0, np.ones(3), np.nan, np.inf)),
            "bounds": Other((NO_WORD, 1, object(), (1,), (1, 0), (np.nan, 2), ([0] * 3, [9] * 3))),
            "absolute_sigma": Boolean(),
            "starts": Other((NO_WORD, 1.0, object(), {}, [[1.0]], [{"c": 1}], [[np.nan, 1]])),
            "shared_x": Other((NO_WORD, None, 1, False), right=True),
            "epochs": Integer(1, right=5),
            "verbose": VERBOSE,
        },
    ),
    "StatefulLSTMForecaster": Target(
        models.StatefulLSTMForecaster,
        {
            "units": Integers(1, right=(2,)),
            "num_features": Integer(1),
            "initial_state": Choice(("zeros", "learned", "noisy")),
            "dropout": Number(0, below=1),
            "scaling": Choice(("running", "global", "whole_series"), also=(None,)),
            "transform": TRANSFORM,
            "seasonal_difference": Integer(0),
            "cell": Choice(("lstm", "gru")),
            "bias_adjustment": Boolean(),
        },
    ),
    "StatefulLSTMForecaster.backtest": Target(
        lambda **kw: forecaster().backtest(**kw),
        {
            "series": ONE_SERIES,
            "horizon": HORIZON,
            "start": Other((None, NO_WORD, object(), 0, 1.5, 19, -1, -40, True), right=18),
            "stride": Integer(1),
            "refit": Other((NO_WORD, 1, None, object(), {"series": 1}, {"validation_split": 1})),
            "season_length": Integer(1, also=(None,), right=2),
            "metrics": Other((NO_WORD, 1, [], {}, object(), [3], lambda a, b, c: 0)),
            "verbose": VERBOSE,
        },
    ),
    "StatefulLSTMForecaster.compile": Target(
        lambda **kw: models.StatefulLSTMForecaster((2,)).compile(**kw),
        {
            "optimizer": OPTIMIZER,
            "loss": LOSS,
            "metrics": KERAS_ARGUMENT,
            "weighted_metrics": KERAS_ARGUMENT,
        },
    ),
    "StatefulLSTMForecaster.evaluate": Target(
        lambda **kw: forecaster().evaluate(**{"series": SERIES, **kw}),
        {
            "series": Other(NO_SERIES),
            "batch_size": COUNT_OR_NONE,
            "verbose": VERBOSE,
            "callbacks": Other(NO_CALLBACKS),
            "return_dict": Boolean(),
            "validation_horizon": COUNT_OR_NONE,
        },
    ),
    "StatefulLSTMForecaster.fit": Target(
        lambda **kw: forecaster().fit(**{"series": SERIES, "verbose": 0, **kw}),
        {
            "series": Other(NO_SERIES),
            "batch_size": COUNT_OR_NONE,
            "bptt_steps": Integer(1),
            "epochs": Integer(1),
            "validation_data": Other(NO_SERIES[1:]),  # None: no validation
            "callbacks": Other(NO_CALLBACKS),
            "shuffle": Boolean(),
            "verbose": VERBOSE,
            "initial_epoch": Integer(0),
            "validation_freq": Other((NO_WORD, 0, 1.5, True, None, [0], [NO_WORD])),
            "validation_horizon": Integer(1, also=(None,), right=3),
        },
    ),
    "StatefulLSTMForecaster.forecast": Target(
        lambda **kw: forecaster().forecast(**kw), {"horizon": HORIZON, "context": ONE_SERIES}
    ),
    "StatefulLSTMForecaster.predict": Target(
        lambda **kw: forecaster().predict(**kw),
        {"series": ONE_SERIES, "batch_size": COUNT_OR_NONE, "verbose": VERBOSE},
    ),
    "StatefulLSTMForecaster.step": Target(
        lambda **kw: forecaster().step(**{"x": 1.0, "state": state(), **kw}),
        {
            "x": Other((*NO_ARRAY, [1.0, 2.0], np.inf, [[1.0], [1.0, 2.0]])),
            "state": Other((None, NO_WORD, 1, (), object())),
        },
    ),
    "StatefulLSTMForecaster.warm_up": Target(
        lambda **kw: forecaster().warm_up(**kw),
        {"context": ONE_SERIES, "state": Other((NO_WORD, 1, (), object()))},
    ),
    "TargetNetwork": Target(
        models.TargetNetwork,
        {
            "model": Other(NO_MODEL, right=network),
            "tau": Number(0, 1),
            "update_period": Integer(1),
            "target": Other((NO_WORD, 1, object(), [])),
        },
    ),
    "TargetNetwork.set_weights": Target(
        lambda **kw: target_network().set_weights(**kw),
        {
            "weights": Other(
                (None, NO_WORD, 1, [], [np.ones(3)]), right=lambda: network().get_weights()
            )
        },
    ),
    "discounted_returns": Target(
        models.discounted_returns,
        {
            name: RETURNS_OF[name]
            for name in ("rewards", "terminated", "truncated", "next_values", "discount")
        },
    ),
    "generalized_advantage": Target(
        models.generalized_advantage,
        {**RETURNS_OF, "next_values": Other(RETURNS_OF["values"].bad_values, right=RETURNS)},
    ),
    "n_step_returns": Target(
        models.n_step_returns,
        {
            **{
                name: RETURNS_OF[name]
                for name in ("rewards", "terminated", "truncated", "discount")
            },
            "next_values": Other(RETURNS_OF["values"].bad_values, right=RETURNS),
            "n": Integer(1, right=2),
        },
    ),
    "hard_update": Target(
        models.hard_update,
        {
            "target": Other((None, NO_WORD, 1, object()), right=other_network),
            "online": Other((None, NO_WORD, 1, object()), right=network),
        },
    ),
    "soft_update": Target(
        models.soft_update,
        {
            "target": Other((None, NO_WORD, 1, object()), right=other_network),
            "online": Other((None, NO_WORD, 1, object()), right=network),
            "tau": Number(0, 1),
        },
    ),
    "seed_report": Target(
        models.seed_report,
        {
            "build_and_train": Other((None, NO_WORD, 1, {}, {"a": 1}), right=lambda: train),
            "seeds": Integers(0, right=(0, 1)),
            "verbose": Integer(0, 1, right=0),
        },
    ),
    # models.forecasting
    "Backtest": Target(
        forecasting.Backtest,
        {
            "series": Other(NO_ARRAY, right=SERIES),
            "origins": Integers(1, right=(10,)),
            "horizon": Integer(1, right=3),
            "season_length": Integer(1, right=1),
            "by_method": Other(
                (None, NO_WORD, {}, {"a": np.ones(3)}), right={"a": np.ones((1, 3, 1))}
            ),
            "metrics": Other((NO_WORD, 1, [], {}, object(), [3], lambda a, b, c: 0)),
            "failures": Other((NO_WORD, 1, [], object())),
        },
    ),
    "Backtest.conformal": Target(
        lambda **kw: backtest().conformal(**kw), {"level": Number(above=0, below=1, right=0.5)}
    ),
    "Backtest.scale": Target(lambda **kw: backtest().scale(**kw), {"series": Other(NO_ARRAY[1:])}),
    "Backtest.plot": Target(
        lambda **kw: backtest().plot(**kw),
        {
            "path": Other((None, 1, object(), []), right="backtest.png"),
            "xlabel": Other(NO_NAME),
            "ylabel": Other((None, *NO_NAME)),
            "x": Other((NO_WORD, 1, np.ones(3), object())),
            "series": Other((NO_WORD, 1, object())),
            "level": Number(above=0, below=1, also=(None,), right=0.5),
        },
        slow=True,
    ),
    "ConformalIntervals": Target(
        forecasting.ConformalIntervals,
        {
            "level": Number(above=0, below=1, right=0.5),
            "lowest": Number(also=(None,), right=0),
        },
    ),
    "ConformalIntervals.fit": Target(
        lambda **kw: forecasting.ConformalIntervals().fit(**kw),
        {
            "y_true": Other((*NO_ARRAY, [1.0], np.ones((9, 3))), right=np.ones((9, 2))),
            "y_pred": Other((*NO_ARRAY, np.ones((9, 3))), right=np.ones((9, 2))),
            "scale": Other((NO_WORD, object(), 1.0, np.ones(3), -np.ones(9))),
        },
    ),
    "ConformalIntervals.interval": Target(
        lambda **kw: conformal().interval(**kw),
        {
            "y_pred": Other((*NO_ARRAY, np.ones(3)), right=np.ones(2)),
            "scale": Other((None, NO_WORD, object(), np.ones(3), -1.0), right=1.0),
        },
    ),
    "ConformalIntervals.coverage": Target(
        lambda **kw: conformal().coverage(**kw),
        {
            "y_true": Other((*NO_ARRAY, np.ones(3), [np.nan] * 2), right=np.ones(2)),
            "y_pred": Other((*NO_ARRAY, np.ones(3)), right=np.ones(2)),
            "scale": Other((None, NO_WORD, object(), np.ones(3), -1.0), right=1.0),
        },
    ),
    "ForecasterState": Target(
        forecasting.ForecasterState,
        {
            name: Unchecked("made by `warm_up` and `step`, which check their own", right=[])
            for name in inspect.signature(forecasting.ForecasterState).parameters
        },
    ),
    "ForecasterState.save": Target(
        lambda **kw: state().save(**kw), {"path": Other(NO_PATH, right="state.npz")}
    ),
    "ForecasterState.load": Target(
        forecasting.ForecasterState.load, {"path": Other(NO_PATH, right="state.npz")}
    ),
    "PackedSeries": Target(
        forecasting.PackedSeries,
        {
            name: Unchecked("made by `pack_series`, which checks its own", right=[])
            for name in forecasting.PackedSeries._fields
        },
    ),
    "LinearAutoregression": Target(
        forecasting.LinearAutoregression,
        {
            "lags": Integers(1, right=(1, 3)),
            "transform": TRANSFORM,
            "bias_adjustment": Boolean(right=False),
        },
    ),
    "LinearAutoregression.fit": Target(
        lambda **kw: forecasting.LinearAutoregression(2).fit(**kw), {"series": ONE_SERIES}
    ),
    "LinearAutoregression.forecast": Target(
        lambda **kw: autoregression().forecast(**kw), {"horizon": HORIZON, "context": ONE_SERIES}
    ),
    "SeasonalNaive": Target(forecasting.SeasonalNaive, {"season_length": Integer(1)}),
    "SeasonalNaive.forecast": Target(
        forecasting.SeasonalNaive(2).forecast, {"horizon": HORIZON, "context": ONE_SERIES}
    ),
    "mase": Target(
        forecasting.mase,
        {
            "y_true": Other((*NO_ARRAY, np.ones(3), [np.nan] * 2, [np.inf, 1.0]), right=[1.0, 2.0]),
            "y_pred": Other((*NO_ARRAY, np.ones(3), [np.nan, 1.0]), right=[1.0, 2.0]),
            "y_train": Other((*NO_ARRAY, [1.0], [1.0, 1.0], [np.inf, 1.0]), right=SERIES),
            "season_length": Integer(1),
        },
    ),
    "rmse": Target(
        forecasting.rmse,
        {
            "y_true": Other((*NO_ARRAY, [np.nan] * 2, [np.inf, 1.0]), right=[1.0, 2.0]),
            "y_pred": Other((*NO_ARRAY, np.ones(3), [np.nan, 1.0]), right=[1.0, 2.0]),
        },
    ),
    "rmsse": Target(
        forecasting.rmsse,
        {
            "y_true": Other((*NO_ARRAY, np.ones(3), [np.nan] * 2, [np.inf, 1.0]), right=[1.0, 2.0]),
            "y_pred": Other((*NO_ARRAY, np.ones(3), [np.nan, 1.0]), right=[1.0, 2.0]),
            "y_train": Other((*NO_ARRAY, [1.0], [1.0, 1.0], [np.inf, 1.0]), right=SERIES),
            "season_length": Integer(1),
        },
    ),
    "smape": Target(
        forecasting.smape,
        {
            "y_true": Other((*NO_ARRAY, [np.nan] * 2, [np.inf, 1.0]), right=[1.0, 2.0]),
            "y_pred": Other((*NO_ARRAY, np.ones(3), [np.nan, 1.0]), right=[1.0, 2.0]),
        },
    ),
    "pack_series": Target(
        models.pack_series,
        {
            "series": ONE_SERIES,
            "batch_size": Integer(1, right=2),
            "bptt_steps": Integer(1, right=3),
        },
    ),
    # optimizers
    "Box": Target(
        optimizers.Box,
        {
            "lower": Other((NO_WORD, None, np.nan, object(), [[1], [1, 2]], True, np.inf)),
            "upper": Other((NO_WORD, None, np.nan, object(), [[1], [1, 2]], True, -np.inf)),
        },
    ),
    "Covariance": Target(
        lambda **kw: curve_fit().covariance,
        dict.fromkeys(inspect.signature(optimizers.Covariance).parameters, BY_FIT),
    ),
    "Covariance.standard_deviations": Target(
        lambda **kw: curve_fit().covariance.standard_deviations(**kw),
        {
            "gradients": Other(
                (*NO_ARRAY, 1.0, np.ones(2), np.ones((1, 3)), np.full((1, 2), np.nan)),
                right=np.ones((1, 2)),
            )
        },
    ),
    "LeastSquaresProblem": Target(
        optimizers.LeastSquaresProblem,
        {
            "model": Other(NO_MODEL, right=network),
            "x": Other((None, NO_WORD, object(), 1.0, X.tolist()), right=X),
            "y": Other((*NO_ARRAY, Y[:, 0], Y[:5], np.full((6, 1), np.nan), Y + 1j), right=Y),
            "sample_weight": Other(
                (NO_WORD, object(), 1.0, np.ones(1), np.ones(5), -np.ones(6), np.full(6, np.nan))
            ),
        },
    ),
    **{
        f"LeastSquaresProblem.{method}": Target(
            functools.partial(lambda method, **kw: getattr(problem(), method)(**kw), method),
            {
                name: Other(
                    (None, NO_WORD, object(), 1.0, np.ones(2), np.ones((3, 1)), ["a"] * 3),
                    right=np.ones(3),
                )
            },
        )
        for method, name in (("assign", "values"), ("flat_residuals", "v"), ("flat_jacobian", "v"))
    },
    "LeastSquaresProblem.covariance": Target(
        lambda **kw: optimizers.LeastSquaresProblem(fitted().model, X, Y).covariance(**kw),
        {"absolute_sigma": Boolean()},
    ),
    "LeastSquaresProblem.residuals": Target(
        lambda variables: problem().residuals(*variables),
        {
            "variables": Other(
                ((), (np.ones(3),), (NO_WORD, NO_WORD), ([["a"], ["b"]], ["c"])),
                right=(np.ones((2, 1)), np.ones(1)),
            )
        },
    ),
    "LevenbergMarquardt": Target(
        optimizers.LevenbergMarquardt,
        {
            "damping_rule": Choice(("auto", "trust_region", "nielsen", "marquardt")),
            "initial_damping": Number(above=0, also=("auto",), right=1.0),
            "scaling": Choice(("max", "diagonal", "identity")),
            "solver": Choice(("auto", "cholesky", "qr", "dual", "cg")),
            "max_attempts": Integer(1),
            "geodesic_acceleration": Boolean(),
            "polish": Boolean(also=("auto",), right=True),
            "ftol": TOLERANCE,
            "xtol": TOLERANCE,
            "gtol": TOLERANCE,
            "jacobian_rows": Integer(1, also=("auto",), right=7),
            "cg_tolerance": Number(above=0),
            "momentum": Number(0, below=1),
            "name": Other(NO_NAME),
        },
    ),
}


def public_signatures():
    """The arguments of every public function, class and method for users, by its name."""
    found = {}
    for value in checks.public_objects().values():
        if not inspect.isclass(value):
            found[value.__name__] = _arguments_of(value)
            continue
        found[value.__name__] = _arguments_of(value)
        for name in dir(value):
            owner = next(base for base in value.__mro__ if name in vars(base))
            ours = owner.__module__.split(".")[0] == "kerazoo"
            hook = name in HOOKS or (value.__name__, name) in HOOKS_OF
            if ours and not name.startswith("_") and not hook:
                method = getattr(value, name)
                if inspect.isroutine(method):
                    arguments = _arguments_of(method)
                    arguments.pop("self", None)
                    found[f"{value.__name__}.{name}"] = arguments
    return {name: arguments for name, arguments in found.items() if arguments}


def _arguments_of(function):
    return {
        p.name: p
        for p in inspect.signature(function).parameters.values()
        if p.kind is not p.VAR_KEYWORD
    }


SIGNATURES = public_signatures()
CASES = [(name, argument) for name, target in TABLE.items() for argument in target.arguments]


def test_every_argument_has_an_entry():
    expected = {name: set(arguments) for name, arguments in SIGNATURES.items()}
    found = {name: set(target.arguments) for name, target in TABLE.items()}
    missing = {name: expected[name] - found.get(name, set()) for name in expected}
    stale = {name: found[name] - expected.get(name, set()) for name in found}
    assert {name: more for name, more in missing.items() if more} == {}
    assert {name: more for name, more in stale.items() if more} == {}


@pytest.mark.parametrize(("name", "argument"), CASES, ids=[".".join(case) for case in CASES])
def test_what_is_wrong_is_refused_by_name(name, argument, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # some write a file
    target = TABLE[name]
    needed = _needed(name)
    said = []
    for bad in target.arguments[argument].bad():
        try:
            target.call(**{**needed, argument: bad})
        except (TypeError, ValueError) as error:
            message = str(error)
            named = re.search(rf"`{re.escape(argument)}[`\[]", message)
            if not named or "Received" not in message:
                said.append(f"{bad!r}: {type(error).__name__}: {message[:200]}")
        except Exception as error:
            said.append(f"{bad!r}: {type(error).__name__}: {str(error)[:200]}")
        else:
            said.append(f"{bad!r}: taken")
    assert not said, "\n".join([f"{name}({argument}=...)", *said])


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow) if target.slow else name
        for name, target in TABLE.items()
        if any(hasattr(kind, "as_numpy") for kind in target.arguments.values())
    ],
)
def test_numpy_scalars_are_taken(name, tmp_path, monkeypatch):
    """All at once, and what is stored is plain Python: it goes into a JSON file as it is."""
    monkeypatch.chdir(tmp_path)  # some write a file
    target = TABLE[name]
    plain, numpy = {}, {}
    for argument, kind in target.arguments.items():
        default = SIGNATURES[name][argument].default if name in SIGNATURES else None
        right = kind.right if kind.right is not None else default
        if hasattr(kind, "as_numpy") and isinstance(right, (bool, int, float, tuple)):
            plain[argument], numpy[argument] = right, kind.as_numpy(right)
    needed = _needed(name)
    made = target.call(**{**needed, **numpy})
    if hasattr(made, "get_config"):
        expected = target.call(**{**needed, **plain}).get_config()
        config = made.get_config()
        for argument in plain.keys() & config.keys():
            found = config[argument]
            json.dumps(found)
            wanted = expected[argument]
            assert type(found) is type(wanted)
            if isinstance(wanted, float):
                assert found == pytest.approx(wanted, rel=1e-6)
            else:
                assert found == wanted


def _needed(name):
    """Right values of the arguments that must be given: those without a default, or None."""
    parameters = SIGNATURES.get(name, {})
    return {
        argument: kind.right() if callable(kind.right) else kind.right
        for argument, kind in TABLE[name].arguments.items()
        if kind.right is not None
        and argument in parameters
        and parameters[argument].default in (inspect.Parameter.empty, None)
    }
