"""Many independent fits of one small model, batched in one graph: `fit_many` and `fit_curves`."""

from .data import DataSets, data_sets, starts_of
from .run import Ends, fit_side_by_side, warn_of_failures

__all__ = [
    "DataSets",
    "Ends",
    "data_sets",
    "fit_side_by_side",
    "starts_of",
    "warn_of_failures",
]
