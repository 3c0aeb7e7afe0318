"""One of each public class, as the promise tests build it."""

from collections.abc import Callable
from dataclasses import dataclass

from kerazoo import layers


@dataclass(frozen=True)
class Layer:
    make: Callable
    input_shape: tuple


EXAMPLES = {
    layers.Maxout: Layer(lambda **kw: layers.Maxout(3, **kw), (4, 12)),
}
