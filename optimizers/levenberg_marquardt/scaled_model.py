import tensorflow as tf


class ScaledModel:
    """The quadratic model of the loss in the scaled weights D w: `F + g^T s + s^T A s / 2`.

    There damping is lambda times the identity, and lengths are those that trust regions and
    convergence tests speak of.

    Args:
        solver: Of linear_solvers.py.
        linearization: The loss near w.
        D: Scale of each weight.
        free: Mask of the weights that may move, or None for all. Weights at a bound of their
            constraint stay out of the system: a step that is projected back without knowing of
            the bounds leads nowhere.
    """

    def __init__(self, solver, linearization, D, free):
        self.solver = solver
        self.D = D
        self.g = linearization.gradient / D
        self.system = solver.scale(linearization.system, D)
        if free is not None:
            free = tf.cast(free, D.dtype)
            self.g *= free
            without_held = solver.scale(self.system, 1 / free)
            self.system = solver.add(without_held, tf.linalg.diag(1 - free), 0 * self.g)

    def step(self, damping):
        """The step for this damping, and the slope that the secular equation needs."""
        return self.solver.step(self.system, self.g, damping)

    def correction(self, b, damping):
        """`-(A + damping I)^-1 b` for a right-hand side given in the unscaled weights."""
        return self.solver.correction(self.system, b / self.D, damping)

    def predicted_reduction(self, s):
        """`-(g^T s + s^T A s / 2)`: what the model promises for the step s."""
        return -tf.tensordot(self.g, s, 1) - self.solver.quadratic(self.system, s) / 2
