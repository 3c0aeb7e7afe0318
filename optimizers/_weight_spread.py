"""How far fitted weights, and what depends on them, are uncertain: linear algebra in NumPy."""

import numpy as np

# Columns of J are scaled to length 1, so that rounding moves a singular value by about this many
# machine epsilons for each column.
_ROUNDING = 20
# What the data cannot tell counts from this part of a standard deviation on.
_NOTICEABLE = 0.3


class Rows:
    """The rows of least squares for one output, added chunk by chunk, kept as one triangle.

    Args:
        size: Number of weights p.
    """

    def __init__(self, size):
        self.triangle = np.zeros((0, size + 1))  # R of the rows sqrt(w) [J r]
        self.count = 0  # of rows that count
        self.features = 1  # of the output, its last axis
        self.unmasked = 0  # of values, those of weight 0 too
        self.weight = 0.0  # sum of w
        self.sum_of_squares = 0.0  # of sqrt(w) r
        self.output_size = 0.0  # length of sqrt(w) z

    def add(self, J, r, z, w):
        """Adds rows: derivatives J (n, p), residuals r, outputs z and weights w (n,).

        Rows of weight 0 do not count.
        """
        J, r, z, w = (array[w > 0] for array in (J, r, z, w))
        self.count += len(r)
        self.weight += float(np.sum(w))
        self.sum_of_squares += float(np.sum(w * r**2))
        self.output_size = float(np.hypot(self.output_size, np.linalg.norm(np.sqrt(w) * z)))
        new = np.sqrt(w)[:, None] * np.column_stack([J, r])
        self.triangle = np.linalg.qr(np.concatenate([self.triangle, new]), mode="r")


class WeightSpread:
    """Standard deviations of weights, and of what depends on them, where errors have sigma 1.

    With the singular values s of the column-scaled J those below the rounding error of J are taken
    for zero. Their directions have an infinite standard deviation, the others that of the data.

    Args:
        triangle: (any, p + 1), R of the rows sqrt(c w) [J r], where c is the factor with which the
            loss multiplies the square of a residual, weighted by w = 1 / sigma^2.
        noise_triangle: (any, p), R of the rows c sqrt(w) J. Where all c are 1 it is the same.
        held: Mask (p,) of the weights that are known, such as those at a bound.
        eps: Machine epsilon of the dtype in which J was computed.
    """

    def __init__(self, triangle, noise_triangle, held, eps):
        self.held = held
        columns = triangle[:, :-1][:, ~held]
        norms = np.linalg.norm(columns, axis=0)
        self.norms = np.where(norms > 0, norms, 1.0)
        size = len(norms)
        self.tolerance = _ROUNDING * eps * max(np.sqrt(size), 1.0)
        U, s, Vt = np.linalg.svd(columns / self.norms)
        self.rank = int(np.sum(s > self.tolerance))
        # What the data cannot tell, as if its singular values were as large as they may be.
        unknown = np.zeros(size)
        unknown[: len(s)] = s
        unknown = np.maximum(unknown[self.rank :], self.tolerance / 4)
        self.unidentified = Vt[self.rank :] / unknown[:, None]
        self.identified = Vt[: self.rank] / s[: self.rank, None]
        # Errors of the weights per unit of independent noise: their covariance is noise^T noise.
        noise = noise_triangle[:, ~held] / self.norms
        self.noise = (noise @ self.identified.T) @ self.identified
        # Length of the residuals' part that a step in the weights would take away.
        self.slope = float(np.linalg.norm(U[:, : self.rank].T @ triangle[:, -1]))

    def of_combinations(self, G):
        """Standard deviations (m,) of the combinations `G w`, G (m, p); inf if not identified."""
        G = G[:, ~self.held] / self.norms
        deviations = np.linalg.norm(G @ self.noise.T, axis=1)
        return np.where(self._is_unidentified(G), np.inf, deviations)

    def covariance(self):
        """Their covariance (p, p): NaN for held weights, inf for those not identified."""
        free = np.flatnonzero(~self.held)
        infinite = self._is_unidentified(np.diag(1 / self.norms))
        noise = self.noise / self.norms
        of_free = noise.T @ noise
        of_free[infinite] = of_free[:, infinite] = np.nan
        of_free[infinite, infinite] = np.inf
        covariance = np.full((len(self.held),) * 2, np.nan)
        covariance[np.ix_(free, free)] = of_free
        return covariance

    def _is_unidentified(self, scaled):
        """Whether the directions taken for zero would add to what the others give."""
        unknown = np.linalg.norm(scaled @ self.unidentified.T, axis=1)
        return unknown > _NOTICEABLE * np.linalg.norm(scaled @ self.identified.T, axis=1)
