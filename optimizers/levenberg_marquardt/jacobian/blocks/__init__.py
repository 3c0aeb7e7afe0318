"""The part of the Jacobian's rows that belongs to the weights of one layer.

A row of J is `c^T dz/dw` for one example and one combination c of the outputs z. From what went
into a layer, and the derivatives of the rows in what came out, a block makes its part of the rows.

| block           | layers                                | its part of a row                     |
|-----------------|---------------------------------------|---------------------------------------|
| `OuterProducts` | Dense, EinsumDense, Conv1D, 2D, 3D    | kernel `sum_t a_t delta_t^T`,         |
|                 |                                       | bias `sum_t delta_t`                  |
| `Embedding`     | Embedding                             | delta_t in the row looked up          |
| `Explicit`      | these where inner products of sums    | written out, (rows, weights)          |
|                 | cost more                             |                                       |
| `Fallback`      | all other layers                      | written out, by a backward pass of    |
|                 |                                       | the layer alone for each row          |
|                 |                                       | (rows_at_once.py)                     |

The first two never write their rows out: the inner product of two of them is
`sum_tu (a_t . a'_u) (delta_t . delta'_u)`, which costs inputs + outputs of the layer in place of
inputs x outputs. t runs over the positions of a sequence or an image, and over the repeated calls
of a shared layer.
"""

from .make_block import make_block

__all__ = ["make_block"]
