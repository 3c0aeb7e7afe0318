"""Activations, constraints, initializers, losses, optimizers and regularizers as arguments."""

import keras

from ._arguments import wrong

KINDS = {
    "activation": keras.activations.get,
    "constraint": keras.constraints.get,
    "initializer": keras.initializers.get,
    "loss": keras.losses.get,
    "optimizer": keras.optimizers.get,
    "regularizer": keras.regularizers.get,
}


def keras_object(name, value):
    """The object that `value` is, names or describes, of the kind in which `name` ends."""
    kind = name.rsplit("_", 1)[-1]
    if isinstance(value, dict):  # From a file: Keras says which class it could not find.
        return KINDS[kind](value)
    wanted = f"a{'n' * (kind[0] in 'aeiou')} {kind} of Keras or the name of one"
    if value is None and kind == "initializer":  # Keras would take another default than ours.
        raise wrong(name, wanted, value)
    try:
        return KINDS[kind](value)
    except (TypeError, ValueError) as error:
        raise wrong(name, wanted, value) from error
