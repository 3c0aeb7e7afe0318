"""The quadratic model of the loss near w, by solvers of linear_algebra/: what search tries.

A space is the loss near w in the unknowns of a solver:

- `linearization`, `gradient` (weights,), `norms` of the columns of J;
- `norms_by_variable`: whether these are one for each weight or one for each variable;
- `gradient_sizes(g)`: what the convergence test holds against the norms;
- `gradient_at(w, z)`: that of the loss at other weights, whose outputs are z;
- `model(norms)`, where momentum is possible `model(norms, v)`: the model, scaled by D.

A model answers a damping with a candidate, whatever its solver keeps of a step:

- `D`, `gradient_length()`, `length_of_weights()`: the scale, and lengths in it;
- `solve(damping)`: candidate, its length, and the slope that the trust region needs;
- `agreed(values)`: values on which all workers decide alike whether to `solve` again, if that needs
  all of them;
- `direction(candidate)`: the step in the weights;
- `predicted_reduction(candidate)`: `g^T s`, and how much the loss should fall;
- `no_candidate()`, `at_attempt(number)`, `after_constraints(candidate, moved)`, and with geodesic
  acceleration `acceleration(direction, damping)`.
"""

from .iterative_space import IterativeSpace
from .residual_space import ResidualSpace
from .scaling import SCALINGS, length_of, scale_of
from .weight_space import WeightSpace

__all__ = ["SCALINGS", "IterativeSpace", "ResidualSpace", "WeightSpace", "length_of", "scale_of"]
