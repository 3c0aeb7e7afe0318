"""The loss of a batch as a function of the weights, its gradient and its curvature."""

from .curvature import Diagonal, family_of, with_masks
from .joint_objective import JointObjective
from .objective import Objective
from .replicas import Replicas

__all__ = ["Diagonal", "JointObjective", "Objective", "Replicas", "family_of", "with_masks"]
