from keras import ops


def largest_piece(z, units, axis):
    """(..., pieces * units, ...) -> (..., units, ...), the largest of each unit's pieces."""
    shape = ops.shape(z)
    pieces = shape[axis] // units
    # (..., pieces * units, ...) -> (..., pieces, units, ...)
    grouped = ops.reshape(z, (*shape[:axis], pieces, units, *shape[axis + 1 :]))
    # Eagerly `ops.max` refuses a tensor without elements, such as an empty batch, unless it is
    # told where to start.
    return ops.max(grouped, axis=axis, initial=0 if 0 in grouped.shape else None)
