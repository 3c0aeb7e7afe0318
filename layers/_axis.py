"""Checks of the axis that several layers take."""

from .._arguments import integer_or_none, wrong


def axis_argument(axis):
    """`axis` as an `int`; any but the batch axis."""
    number = integer_or_none(axis)
    if not number:
        raise wrong("axis", "an integer other than 0, the batch axis", axis)
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
