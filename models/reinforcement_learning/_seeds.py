import numpy as np

from ..._arguments import integer_or_none

# What random numbers are for: each purpose has its own.
NOISE, ENVIRONMENTS, EVALUATION, REPLAY = range(4)


def seed_of(*parts):
    """A seed of its own for each purpose."""
    return int(np.random.SeedSequence(parts).generate_state(1)[0] >> 1)


def check_seed(seed):
    number = integer_or_none(seed)
    if number is None or number < 0:
        raise ValueError(f"`seed` must be an integer not below 0. Received: seed={seed!r}")
    return number
