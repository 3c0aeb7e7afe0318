"""Keras's way with names of layers."""

import re


def snake_case(name):
    """`MultiHeadAttention` as Keras names it: `multi_head_attention`."""
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", name))
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def without_number(name):
    """`dense_1` as `dense`."""
    return re.sub(r"_\d+$", "", name)
