"""Checks of arguments that the ready networks share."""

import numbers

from .._arguments import positive_integer


def image_or_vector(input_shape):
    shape = sizes("input_shape", input_shape)
    if len(shape) not in (1, 3):
        raise ValueError(
            "`input_shape` must be (features,) or (rows, columns, channels). "
            f"Received: input_shape={input_shape}"
        )
    return shape


def sizes(name, values):
    """A tuple of positive integers, also where one was given."""
    if not isinstance(values, (tuple, list)):
        values = (values,)
    return tuple(positive_integer(name, value) for value in values)


def fraction(name, value):
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 <= value < 1:
        raise ValueError(f"`{name}` must be a number in [0, 1). Received: {name}={value!r}")
    return float(value)
