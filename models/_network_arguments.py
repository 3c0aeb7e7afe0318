"""Checks of arguments that the ready networks share."""

import keras

from .._arguments import integers, number, wrong


def image_or_vector(input_shape):
    shape = sizes("input_shape", input_shape)
    if len(shape) not in (1, 3):
        raise wrong("input_shape", "(features,) or (rows, columns, channels)", input_shape)
    return shape


def sizes(name, values):
    """A tuple of positive integers, also where one was given; none of them is no layer."""
    return () if values in ((), []) else integers(name, values, minimum=1)


def dropout_rate(name, value):
    return number(name, value, minimum=0, below=1)


def activation_config(activation):
    """An activation, as a config holds it."""
    try:
        return keras.activations.serialize(keras.activations.get(activation))
    except (TypeError, ValueError) as error:
        wanted = "the name of a Keras activation, a function or None"
        raise wrong("activation", wanted, activation) from error
