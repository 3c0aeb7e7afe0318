import numpy as np

from ..._arguments import real_array


def check_rollout(terminated, truncated, **numbers_of_steps):
    """All as arrays of one shape, (time,) or (time, environments): flags and float64."""
    arrays = {
        name: real_array(name, array).astype("float64") for name, array in numbers_of_steps.items()
    }
    flags = {"terminated": terminated, "truncated": truncated}
    arrays |= {name: _flags(name, array) for name, array in flags.items()}
    shapes = {name: array.shape for name, array in arrays.items()}
    shape = arrays["rewards"].shape
    if len(shape) not in (1, 2) or set(shapes.values()) != {shape} or 0 in shape:
        raise ValueError(
            f"{', '.join(f'`{name}`' for name in shapes)} must have the same shape, (time,) or "
            "(time, environments), of at least one step. "
            f"Received: {', '.join(f'{n}.shape={s}' for n, s in shapes.items())}"
        )
    return arrays.values()


def _flags(name, array):
    array = np.asarray(array)
    if array.dtype.kind != "b" and not np.isin(array, (0, 1)).all():
        raise ValueError(
            f"`{name}` must be boolean, for each step whether it ended an episode. "
            f"Received: {name} of dtype {array.dtype}"
        )
    return array.astype(bool)
