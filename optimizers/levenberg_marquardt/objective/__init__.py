"""The loss of a batch as a function of the weights, its gradient and its curvature."""

from .curvature import family_of, masks_of, with_masks
from .objective_maker import ObjectiveMaker

__all__ = ["ObjectiveMaker", "family_of", "masks_of", "with_masks"]
