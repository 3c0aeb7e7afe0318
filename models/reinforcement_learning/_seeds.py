import numpy as np

# What random numbers are for: each purpose has its own.
NOISE, ENVIRONMENTS, EVALUATION, REPLAY = range(4)


def seed_of(*parts):
    """A seed of its own for each purpose."""
    return int(np.random.SeedSequence(parts).generate_state(1)[0] >> 1)
