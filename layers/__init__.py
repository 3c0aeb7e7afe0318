"""Layers, and functions that read or write a layer's weights."""

from .maxout import Maxout

__all__ = ["Maxout"]
