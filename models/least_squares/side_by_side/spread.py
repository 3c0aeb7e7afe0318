import numpy as np

from ....optimizers._weight_spread import WeightSpread


def unit_errors(triangles, held, eps):
    """Standard errors of the weights of many fits where residuals have sigma 1, and the ranks.

    The same as of `WeightSpread` one by one, which takes a hundred times as long: those where all
    weights are free and determined are computed together.

    Args:
        triangles: (fits, weights, weights + 1), R and `Q^T r` of the rows `sqrt(w) [J r]`.
        held: Mask (fits, weights) of the weights at a bound.
        eps: Machine epsilon of the dtype in which J was computed.

    Returns:
        (fits, weights): infinite where not determined, NaN where held, all NaN where J is not
        finite; ranks (fits,).
    """
    fits, size, _ = triangles.shape
    errors, ranks = np.full((fits, size), np.nan), np.zeros(fits, int)
    finite = np.isfinite(triangles).all(axis=(1, 2))
    columns = np.where(finite[:, None, None], triangles[:, :, :-1], 0.0)
    norms = np.linalg.norm(columns, axis=1)
    scaled = columns / np.where(norms > 0, norms, 1.0)[:, None]
    _, s, Vt = np.linalg.svd(scaled)
    # What `WeightSpread` counts as determined, with room for what two ways of rounding may differ.
    regular = finite & ~held.any(axis=1) & (s[:, -1] > 40 * eps * max(np.sqrt(size), 1.0))
    squares = np.sum((Vt[regular] / s[regular][:, :, None]) ** 2, axis=1)
    errors[regular] = np.sqrt(squares) / norms[regular]
    ranks[regular] = size
    for i in np.flatnonzero(finite & ~regular):
        spread = WeightSpread(triangles[i], columns[i], held[i], eps)
        with np.errstate(invalid="ignore"):
            errors[i] = np.sqrt(np.diag(spread.covariance()))
        ranks[i] = spread.rank
    return errors, ranks
