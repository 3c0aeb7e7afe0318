"""The loss of a batch as a function of the weights, its gradient and its curvature."""

from .curvature import family_of, with_masks
from .make_objective import ObjectiveMaker
from .objective import Objective

__all__ = ["Objective", "ObjectiveMaker", "family_of", "with_masks"]
