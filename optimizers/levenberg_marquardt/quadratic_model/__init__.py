"""The quadratic model of the loss near w, by solvers of linear_algebra/: what search tries.

A space is the loss near w in the unknowns of a solver: gradient, norms of the columns of J, and
what the solver keeps of J. With a scale D it gives a model, which answers a damping with a
candidate for the step, its length, and the reduction of the loss to be expected.
"""

from .iterative_space import IterativeSpace
from .residual_space import ResidualSpace
from .scaling import SCALINGS
from .weight_space import WeightSpace

__all__ = ["SCALINGS", "IterativeSpace", "ResidualSpace", "WeightSpace"]
