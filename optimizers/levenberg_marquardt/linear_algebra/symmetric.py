"""Symmetric matrices, of which one triangle is held in panels, and their Cholesky factors.

A matrix is a list. Panel k holds the columns of block k from the diagonal down:

    | 0     |
    | 0 1   |
    | 0 1 2 |

TensorFlow's own factorization and triangular solve run at an eighth of the speed of its matmul.
In panels nearly all of the work is matmul, half of what is symmetric is never made, and no panel
is copied into a larger matrix.
"""

import itertools
import math

import tensorflow as tf

# Fewer rows are in one panel.
_FEWEST_ROWS = 512
_PANELS = 8
# A diagonal block is halved until TensorFlow factors so few rows at a time.
_FEW_ROWS = 128
_FEW_ROWS_TO_ELIMINATE = 32
# Of matrices whose size the graph does not know.
_PANELS_OF_ANY_SIZE, _HALVINGS_OF_ANY_SIZE = 4, 1


def count_of_panels(size):
    """`size` is a number or a scalar tensor."""
    if tf.is_tensor(size):
        return _PANELS_OF_ANY_SIZE
    return _PANELS if size >= _FEWEST_ROWS else 1


def zeros(size, dtype):
    return [tf.zeros([size - start, stop - start], dtype) for start, stop in _ends(size)]


def squared(R):
    """`R R^T`."""
    ends = _ends(R.shape[0])
    return [tf.matmul(R[start:], R[start:stop], transpose_b=True) for start, stop in ends]


def in_panels(lower):
    """Matrices (..., size, size) of which the lower triangle is given."""
    panels = []
    for start, stop in _ends(lower.shape[-1] or tf.shape(lower)[-1]):
        panel = lower[..., start:, start:stop]
        below = tf.linalg.band_part(panel[..., : stop - start, :], -1, 0)
        above = tf.linalg.matrix_transpose(below)
        block = below + above - tf.linalg.diag(tf.linalg.diag_part(below))
        panels.append(tf.concat([block, panel[..., stop - start :, :]], axis=-2))
    return panels


def diagonal(A):
    return tf.concat([tf.linalg.diag_part(panel) for panel in A], axis=-1)


def plus_diagonal(A, d):
    parts = tf.split(d, [_width(panel) for panel in A])
    return [_plus_diagonal(panel, part) for panel, part in zip(A, parts, strict=True)]


def scaled(A, d):
    """`diag(d) A diag(d)`."""
    start, panels = 0, []
    for panel in A:
        own = d[start:]
        panels.append(own[:, None] * panel * own[: _width(panel)])
        start += _width(panel)
    return panels


def times(A, v):
    """`A v` of matrices (..., size, size)."""
    if len(A) == 1:
        return tf.linalg.matvec(A[0], v)
    product, start = 0.0, 0
    for panel in A:
        width = _width(panel)
        below = tf.linalg.matvec(panel, v[start : start + width])
        above = tf.linalg.matvec(panel[..., width:, :], v[start + width :], transpose_a=True)
        own = tf.concat([below[..., :width] + above, below[..., width:]], axis=-1)
        product += tf.pad(own, [[0, 0]] * (own.shape.rank - 1) + [[start, 0]])
        start += width
    return product


class Factor:
    """The lower triangular L with `L L^T = A + diag(damping)`.

    It is kept as the inverses of its diagonal blocks and what is below each of them. In graph mode
    a matrix that is not positive definite raises nothing: all becomes NaN, which is the cheapest
    test there is.

    Args:
        A: Panels.
        damping: (size,).
        by_elimination: Whether XLA compiles it.
    """

    def __init__(self, A, damping, by_elimination=False):
        self.inverses, self.below = [], []
        panels = list(A)
        dampings = tf.split(damping, [_width(panel) for panel in panels])
        while panels:
            panel = panels.pop(0)
            width = _width(panel)
            block = _plus_diagonal(panel[:width], dampings.pop(0))
            inverse = _inverse_of_factor(block, *_parts(panel.shape[-1], by_elimination))
            below = tf.matmul(panel[width:], inverse, transpose_b=True)
            self.inverses.append(inverse)
            self.below.append(below)
            for k, later in enumerate(panels):
                panels[k] = later - tf.matmul(below, below[: _width(later)], transpose_b=True)
                below = below[_width(later) :]

    def half_solve(self, B):
        """`L^-1 B` for B (size, any)."""
        return tf.concat(self._forward(B), axis=0)

    def solve(self, B):
        """`(A + diag(damping))^-1 B`."""
        solved = None
        for inverse, below, part in zip(
            self.inverses[::-1], self.below[::-1], self._forward(B)[::-1], strict=True
        ):
            if solved is not None:
                part -= tf.matmul(below, solved, transpose_a=True)
            part = tf.matmul(inverse, part, transpose_a=True)
            solved = part if solved is None else tf.concat([part, solved], axis=0)
        return solved

    def _forward(self, B):
        parts = []
        for inverse, below in zip(self.inverses, self.below, strict=True):
            width = _width(inverse)
            parts.append(tf.matmul(inverse, B[:width]))
            B = B[width:] - tf.matmul(below, parts[-1])
        return parts


def _inverse_of_factor(A, halvings, of_part):
    """`L^-1` for `L L^T = A`."""
    if halvings == 0:
        return of_part(A)
    size = _width(A)
    half = size // 2
    first = _inverse_of_factor(A[:half, :half], halvings - 1, of_part)
    below = tf.matmul(A[half:, :half], first, transpose_b=True)
    rest = A[half:, half:] - tf.matmul(below, below, transpose_b=True)
    second = _inverse_of_factor(rest, halvings - 1, of_part)
    left = -tf.matmul(second, tf.matmul(below, first))
    upper = tf.pad(first, [[0, 0], [0, size - half]])
    return tf.concat([upper, tf.concat([left, second], axis=1)], axis=0)


def _by_cholesky(A):
    return tf.linalg.triangular_solve(tf.linalg.cholesky(A), tf.eye(_width(A), dtype=A.dtype))


def _by_elimination(A):
    """The same where XLA compiles it, whose own factorization is slow on CPUs.

    Gauss's elimination turns `[A I]` into `[D L'^T, L'^-1]`, where `A = L' D L'^T`.
    """
    size = _width(A)
    places = tf.range(size)

    def eliminate(k, rows):
        row = rows[k]
        factors = tf.where(places > k, rows[:, k] / row[k], 0.0)
        return k + 1, rows - factors[:, None] * row

    rows = tf.concat([A, tf.eye(size, dtype=A.dtype)], axis=1)
    _, rows = tf.while_loop(lambda k, _: k < size, eliminate, (0, rows), maximum_iterations=size)
    return rows[:, size:] / tf.sqrt(tf.linalg.diag_part(rows))[:, None]


def _parts(size, by_elimination):
    """How often to halve a diagonal block, and what takes the parts."""
    few_rows, of_part = _FEW_ROWS_TO_ELIMINATE, _by_elimination
    if not by_elimination:
        few_rows, of_part = _FEW_ROWS, _by_cholesky
    if size is None:
        return _HALVINGS_OF_ANY_SIZE, of_part
    return max(0, math.ceil(math.log2(size / few_rows))), of_part


def _ends(size):
    """Where each panel begins and ends."""
    count = count_of_panels(size)
    return list(itertools.pairwise([size * k // count for k in range(count + 1)]))


def _plus_diagonal(panel, d):
    return tf.linalg.set_diag(panel, tf.linalg.diag_part(panel) + d)


def _width(panel):
    return panel.shape[-1] if panel.shape[-1] is not None else tf.shape(panel)[-1]
