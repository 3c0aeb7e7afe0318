"""Layers, and functions that read or write a layer's weights."""

from .initial_state import InitialState
from .maxout import Maxout
from .prelu import PReLU

__all__ = ["InitialState", "Maxout", "PReLU"]
