"""One of each public class, as the promise tests build it."""

from collections.abc import Callable
from dataclasses import dataclass

from kerazoo import layers


@dataclass(frozen=True)
class Layer:
    make: Callable
    input_shape: tuple


EXAMPLES = {
    layers.InitialState: Layer(lambda **kw: layers.InitialState(5, mode="learned", **kw), (4, 2)),
    layers.Maxout: Layer(lambda **kw: layers.Maxout(3, **kw), (4, 12)),
    layers.PReLU: Layer(lambda **kw: layers.PReLU(**kw), (4, 5)),
}
