"""Checks of arguments that several layers take."""

import operator


def positive_integer(name, value):
    """`value` as an `int`, NumPy's integers included."""
    number = _integer(value)
    if number is None or number < 1:
        raise ValueError(f"`{name}` must be a positive integer. Received: {name}={value!r}")
    return number


def axis_argument(axis):
    """`axis` as an `int`; any but the batch axis."""
    number = _integer(axis)
    if not number:
        raise ValueError(
            f"`axis` must be an integer other than 0, the batch axis. Received: axis={axis!r}"
        )
    return number


def axis_from_front(axis, input_shape):
    """`axis` counted from the front, once the input's rank is known to have it."""
    rank = len(input_shape)
    from_front = axis if axis > 0 else rank + axis
    if not 0 < from_front < rank:
        raise ValueError(
            f"`axis` must be one of an input's {rank} axes and not the batch axis. "
            f"Received: axis={axis}, input_shape={tuple(input_shape)}"
        )
    return from_front


def _integer(value):
    if isinstance(value, bool):
        return None
    try:
        return operator.index(value)
    except TypeError:
        return None
