"""One of each public class, as the promise tests build it."""

from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np

from kerazoo import layers, models, optimizers


@dataclass(frozen=True)
class Layer:
    make: Callable
    input_shape: tuple


@dataclass(frozen=True)
class Plain:
    """Neither layer nor loss: held against the promises that every object keeps."""

    make: Callable


def _network():
    return keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])


EXAMPLES = {
    layers.Maxout: Layer(lambda **kw: layers.Maxout(3, **kw), (4, 12)),
    models.LeastSquares: Plain(lambda: models.LeastSquares(_network())),
    optimizers.LeastSquaresProblem: Plain(
        lambda: optimizers.LeastSquaresProblem(_network(), np.ones((3, 2)), np.ones((3, 1)))
    ),
    optimizers.LevenbergMarquardt: Plain(lambda: optimizers.LevenbergMarquardt("nielsen")),
}
