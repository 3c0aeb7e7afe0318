"""The curvature of a loss in the network's outputs: one class per loss family."""

from .curvature import OutputCurvature, masks_of, side_by_side, with_masks
from .family_of import family_of

__all__ = ["OutputCurvature", "family_of", "masks_of", "side_by_side", "with_masks"]
