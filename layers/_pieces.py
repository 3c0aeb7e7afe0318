from keras import ops


def largest_piece(z, units, axis):
    """(..., pieces * units, ...) -> (..., units, ...), the largest of each unit's pieces."""
    shape = ops.shape(z)
    pieces = shape[axis] // units
    # (..., pieces * units, ...) -> (..., pieces, units, ...)
    grouped = ops.reshape(z, (*shape[:axis], pieces, units, *shape[axis + 1 :]))
    if 0 in grouped.shape:  # An empty batch, say: `ops.max` refuses it, or drops axes on torch.
        return ops.take(grouped, 0, axis=axis)
    return ops.max(grouped, axis=axis)
