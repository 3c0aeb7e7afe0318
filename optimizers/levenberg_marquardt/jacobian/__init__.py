"""The Jacobian of a network's outputs in its weights: one block for each layer (blocks/).

It knows networks and weights, and neither losses nor the method.
"""

from .chunks import Chunks
from .jacobian import LayeredJacobian
from .jacobian_of_replicas import JacobianOfReplicas
from .network_as_function import check_outputs, differs_alone
from .operator import Jacobian, JacobianOperator
from .rows_at_once import for_each_row

__all__ = [
    "Chunks",
    "Jacobian",
    "JacobianOfReplicas",
    "JacobianOperator",
    "LayeredJacobian",
    "check_outputs",
    "differs_alone",
    "for_each_row",
]
