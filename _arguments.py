"""Checks of arguments that objects of several rooms take."""

import operator


def positive_integer(name, value):
    """`value` as an `int`, NumPy's integers included."""
    number = integer_or_none(value)
    if number is None or number < 1:
        raise ValueError(f"`{name}` must be a positive integer. Received: {name}={value!r}")
    return number


def integer_or_none(value):
    """`value` as an `int`, or None where it is no whole number or a boolean."""
    if isinstance(value, bool):
        return None
    try:
        return operator.index(value)
    except TypeError:
        return None
