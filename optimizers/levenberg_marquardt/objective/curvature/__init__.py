"""The curvature of losses in the outputs of a network, one family of losses a file."""

from .curvature import OutputCurvature, with_masks
from .diagonal import Diagonal
from .family_of import family_of

__all__ = ["Diagonal", "OutputCurvature", "family_of", "with_masks"]
