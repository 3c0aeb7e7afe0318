"""Checks of the arguments that Keras's `fit`, `evaluate` and `predict` share with ours."""

import numbers
from functools import partial

import keras
import numpy as np

from .._arguments import boolean, integer, integers, number, positive_integer, wrong


def checked(**arguments):
    """The arguments by name, each as plain Python; an error names the one that is wrong."""
    return {name: _CHECKS[name](name, value) for name, value in arguments.items()}


def checked_losses(value):
    """`value` where each entry is a loss that Keras knows, a function, or None."""
    wanted = "a Keras loss, its name or a function"
    for loss in keras.tree.flatten(value):
        if isinstance(loss, type):
            raise wrong("loss", f"{wanted}, not a class", value)
        try:
            keras.losses.get(loss)
        except (TypeError, ValueError) as error:
            raise wrong("loss", wanted, value) from error
    return value


def checked_loss_weights(value, minimum=None):
    """`value` with each entry as a `float`, the only number that Keras takes, or None."""
    return keras.tree.map_structure(
        lambda weight: number("loss_weights", weight, minimum=minimum, also=(None,)), value
    )


def _callbacks(name, value):
    known = [one for one in keras.tree.flatten(value) if one is not None]
    if not all(isinstance(one, keras.callbacks.Callback) for one in known):
        raise wrong(name, "a `keras.callbacks.Callback`, a list of them, or None", value)
    return value


def _class_weight(name, value):
    if value is None:
        return None
    if not isinstance(value, dict) or not value:
        raise wrong(name, "a dictionary of weights by class index, or None", value)
    return {
        integer(name, key, minimum=0): number(name, weight, minimum=0)
        for key, weight in value.items()
    }


def _validation_freq(name, value):
    if isinstance(value, (list, tuple, set)):
        return list(integers(name, list(value), minimum=1))
    return positive_integer(name, value)


def _validation_data(name, value):
    listed = isinstance(value, (list, tuple))
    scalar = isinstance(value, (str, bytes, dict, numbers.Number))
    if scalar or hasattr(value, "__array__") or (listed and len(value) not in (2, 3)):
        raise wrong(name, "(x, y), (x, y, sample_weight), or a data set of such", value)
    return value


def _x(name, value):
    if value is None:
        raise wrong(name, "arrays, or a `tf.data.Dataset`, `PyDataset` or generator", value)
    return value


def _verbose(name, value):
    if isinstance(value, (bool, np.bool_)):
        return int(value)
    return integer(name, value, minimum=0, maximum=2, also=("auto",))


_COUNT_OR_NONE = partial(positive_integer, also=(None,))
_CHECKS = {
    "batch_size": _COUNT_OR_NONE,
    "bptt_steps": positive_integer,
    "callbacks": _callbacks,
    "class_weight": _class_weight,
    "epochs": partial(integer, minimum=0),
    "initial_epoch": partial(integer, minimum=0),
    "return_dict": boolean,
    "shuffle": boolean,
    "steps": _COUNT_OR_NONE,
    "steps_per_epoch": _COUNT_OR_NONE,
    "validation_batch_size": _COUNT_OR_NONE,
    "validation_data": _validation_data,
    "validation_freq": _validation_freq,
    "validation_split": partial(number, minimum=0, below=1),
    "validation_steps": _COUNT_OR_NONE,
    "verbose": _verbose,
    "x": _x,
}
