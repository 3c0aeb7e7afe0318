from functools import partial

import tensorflow as tf

from .geodesic_acceleration import second_residuals
from .scaling import length_of, scale_of

# With more, a backward pass takes less time than the square of J, and than it takes to make.
_FEW_WEIGHTS = 500


class WeightSpace:
    """The loss near w for a solver of as many unknowns as there are weights.

    Args:
        objective: The `Objective`.
        w: The weights.
        solver: `Cholesky` or `QR`.

    Attributes:
        linearization: The objective's `Linearization` at w.
        gradient: (weights,).
        norms: Lengths of the columns of J, (weights,).
    """

    norms_by_variable = False

    def __init__(self, objective, w, solver):
        self.solver = solver
        self.objective = objective
        self.w = w
        self.linearization, self.system, self.gradient = self._made_once()(w)
        self.norms = solver.column_norms(self.system, w.dtype)

    def _made_once(self):
        name = type(self.solver), self.solver.residual_form
        return self.objective.made_once(name, partial(_near, self.objective, self.solver))

    def gradient_at(self, w, z):
        """That of the loss at w, whose outputs are z."""
        if self.objective.weights.size > _FEW_WEIGHTS:
            return self.objective.gradient(w, z)
        *_, gradient = self._made_once()(w)
        return gradient

    def gradient_sizes(self, g):
        """What the convergence test holds against the norms."""
        return tf.abs(g)

    def model(self, norms):
        """The `WeightModel`, scaled with these norms of the columns of J."""
        return WeightModel(self, norms)


def _near(objective, solver, w):
    """The `Linearization` at w but for J, the system, and the gradient."""
    near_w = objective.linearize(w)
    if solver.residual_form:
        r = objective.curvature.residuals(near_w.output_gradients, near_w.output_factors)
        system = near_w.jacobian.system(solver, tf.cast(r, w.dtype))
        gradient = tf.cast(solver.gradient(system), w.dtype)
    else:
        system = near_w.jacobian.system(solver)
        gradient = objective.vector_jacobian_product(w, near_w.output_gradients)
    if objective.penalty.regularized:
        root = tf.sqrt(near_w.penalty_curvature)
        r_penalty = tf.math.divide_no_nan(near_w.penalty_gradient, root)
        system = solver.add_diagonal(system, root, r_penalty)
        gradient += near_w.penalty_gradient
    return near_w._replace(jacobian=None), system, gradient


class WeightModel:
    """The quadratic model of the loss in the scaled weights D w: `F + g^T s + s^T A s / 2`.

    There damping is lambda times the identity, and lengths are those that trust regions and
    convergence tests speak of. What a damping leads to is a candidate: here the scaled step
    itself, elsewhere what the solver returns.
    """

    def __init__(self, space, norms):
        self.solver = space.solver
        self.objective = space.objective
        self.w = space.w
        self.linearization = space.linearization
        self.D = scale_of(norms)
        self.g = space.gradient / self.D
        self.system = self.solver.scaled(space.system, self.D)
        # Weights at a bound of their constraint stay out of the system: a step that is projected
        # back without knowing of the bounds leads nowhere.
        free = self.objective.weights.free(self.w, space.gradient)
        if free is not None:
            held = 1 - tf.cast(free, self.D.dtype)
            self.g *= 1 - held
            self.system = self.solver.without(self.system, held)

    def no_candidate(self):
        """Zeros in the shape of a candidate."""
        return tf.zeros_like(self.g)

    def at_attempt(self, number):
        return self

    def agreed(self, values):
        return values

    def gradient_length(self):
        return length_of(self.g)

    def length_of_weights(self):
        return length_of(self.D * self.w)

    def solve(self, damping):
        """The candidate for this damping, its length |s|, and `-|s| d|s| / d damping`."""
        s, slope = self.solver.step(self.system, self.g, damping)
        return s, length_of(s), slope

    def direction(self, s):
        """The candidate as a step in the weights."""
        return s / self.D

    def after_constraints(self, s, moved):
        """The candidate for what the weights' constraints leave of its step."""
        return moved * self.D if self.objective.weights.constrained else s

    def predicted_reduction(self, s):
        """`g^T s`, and `-(g^T s + s^T A s / 2)`: the reduction that the model predicts."""
        along_g = tf.tensordot(self.g, s, 1)
        return along_g, -along_g - self.solver.quadratic(self.system, s) / 2

    def acceleration(self, direction, damping):
        """The second-order correction of a step in the weights, and its scaled length."""
        r = second_residuals(self.objective, self.linearization, self.w, direction)
        S_r = self.objective.curvature.combined(self.linearization.output_factors, r)
        b = self.objective.vector_jacobian_product(self.w, S_r)
        a = self.solver.correction(self.system, b / self.D, damping)
        return a / self.D, length_of(a)
