import tensorflow as tf

from .geodesic_acceleration import curvature_along
from .scaling import scale_of


class ScaledModel:
    """The quadratic model of the loss in the scaled weights D w: `F + g^T s + s^T A s / 2`.

    There damping is lambda times the identity, and lengths are those that trust regions and
    convergence tests speak of. What a damping leads to is a candidate: here the scaled step
    itself, in residual_space.py something smaller.

    Args:
        solver: Of linear_solvers.py.
        objective: The `Objective`.
        w: The weights.
        linearization: The loss near w.
        norms: Norm of each column of J, to scale with.
    """

    def __init__(self, solver, objective, w, linearization, norms):
        self.solver = solver
        self.objective = objective
        self.w = w
        self.linearization = linearization
        self.D = scale_of(norms)
        self.g = linearization.gradient / self.D
        self.system = solver.scaled(linearization.system, self.D)
        # Weights at a bound of their constraint stay out of the system: a step that is projected
        # back without knowing of the bounds leads nowhere.
        free = objective.weights.free(w, linearization.gradient)
        if free is not None:
            held = 1 - tf.cast(free, self.D.dtype)
            self.g *= 1 - held
            self.system = solver.without(self.system, held)

    def none(self):
        """A candidate to begin with."""
        return tf.zeros_like(self.g)

    def at_attempt(self, number):
        return self

    def gradient_length(self):
        return tf.norm(self.g)

    def length_of_weights(self):
        return tf.norm(self.D * self.w)

    def solve(self, damping):
        """The candidate for this damping, its length |s|, and `-|s| d|s| / d damping`."""
        s, slope = self.solver.step(self.system, self.g, damping)
        return s, tf.norm(s), slope

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

    def acceleration(self, s, damping):
        """The second-order correction in the weights, and its length."""
        b = self.objective.vector_jacobian_product(
            self.w, curvature_along(self.objective, self.linearization, self.w, s / self.D)
        )
        a = self.solver.correction(self.system, b / self.D, damping)
        return a / self.D, tf.norm(a)
