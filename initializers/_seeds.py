import random

import keras

from .._arguments import integer_or_none, wrong


class SeededInitializer(keras.initializers.Initializer):
    """An initializer with a seed; without one every call draws anew.

    Keras's own initializers draw a seed once, when they are made, so that one unseeded instance
    gives two weights the same values. `keras.utils.set_random_seed` makes ours repeat as well.
    """

    def __init__(self, seed=None):
        self.seed = read_seed(seed)

    def get_config(self):
        return {"seed": keras.saving.serialize_keras_object(self.seed)}


def read_seed(seed):
    """An integer, a `SeedGenerator` or None; the first two also as Keras writes them down."""
    if isinstance(seed, dict) and "class_name" in seed:
        seed = keras.saving.deserialize_keras_object(seed)
    if seed is None or isinstance(seed, keras.random.SeedGenerator):
        return seed
    found = integer_or_none(seed)
    if found is None:
        raise wrong("seed", "an integer, a `keras.random.SeedGenerator` or None", seed)
    return found


def fresh_seed(seed):
    """What `keras.random` takes: the seed itself, or a new one where there is none."""
    # Python's generator, because `keras.utils.set_random_seed` sets it and Keras draws from it too.
    return random.randint(1, 2**31 - 1) if seed is None else seed
