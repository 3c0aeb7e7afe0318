"""Layers, and functions that read or write a layer's weights."""

from .initial_state import InitialState
from .maxout import Maxout
from .maxout_conv2d import MaxoutConv2D
from .maxout_dense import MaxoutDense
from .prelu import PReLU
from .skip_init import SkipInit

__all__ = ["InitialState", "Maxout", "MaxoutConv2D", "MaxoutDense", "PReLU", "SkipInit"]
