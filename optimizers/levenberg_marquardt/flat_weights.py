import keras
import numpy as np
import tensorflow as tf

from ..box import Box

# Constraints on each weight by itself, whatever the others are.
_ELEMENTWISE = (keras.constraints.NonNeg, Box)
# How far weights are moved to see whether their constraint lets them, relative to their size.
_LITTLE = 1e-3


class FlatWeights:
    """The trainable variables of a model as one vector w.

    A network is run at other weights than its own through `keras.StatelessScope`: whatever the
    call would write (weights, metrics, statistics) is dropped with the scope, so that trying a
    step changes nothing.
    """

    def __init__(self, variables):
        self.variables = list(variables)
        if not self.variables:
            raise ValueError(
                "Levenberg-Marquardt needs at least one trainable weight: set `trainable = True` "
                "on a layer and compile again. Received: trainable_variables=[]"
            )
        dtypes = {v.dtype for v in self.variables}
        if len(dtypes) > 1 or not dtypes <= {"float32", "float64"}:
            raise ValueError(
                "Levenberg-Marquardt needs all trainable weights in float32 or all in float64. "
                f"Received: dtypes={sorted(dtypes)}"
            )
        self.dtype = tf.as_dtype(dtypes.pop())
        self.sizes = [int(np.prod(v.shape)) for v in self.variables]
        self.size = sum(self.sizes)

    def vector(self):
        return tf.concat([tf.reshape(v.value, [-1]) for v in self.variables], axis=0)

    def split(self, w):
        parts = tf.split(w, self.sizes)
        return [tf.reshape(p, v.shape) for p, v in zip(parts, self.variables, strict=True)]

    def scope(self, w):
        """Inside it every variable has the value that `w` holds for it."""
        return self.scope_of(range(len(self.variables)), self.split(w))

    def scope_of(self, positions, values):
        """Inside it the variables at these positions have these values."""
        mapping = [(self.variables[i], value) for i, value in zip(positions, values, strict=True)]
        return keras.StatelessScope(state_mapping=mapping, collect_losses=True)

    def assign(self, w):
        for variable, value in zip(self.variables, self.split(w), strict=True):
            variable.assign(value)

    def by_variable(self, values):
        """Sums of (weights,) values over each variable, (variables,)."""
        return tf.stack([tf.reduce_sum(part) for part in tf.split(values, self.sizes)])

    def spread(self, by_variable):
        """(weights,) of one value for each variable."""
        # tf.repeat would make a mask of (variables, largest size).
        parts = zip(tf.unstack(by_variable), self.sizes, strict=True)
        return tf.concat([tf.fill([size], value) for value, size in parts], axis=0)

    @property
    def constrained(self):
        return any(v.constraint is not None for v in self.variables)

    def constrain(self, w):
        """`w` after the variables' own constraints, as an ordinary optimizer applies them."""
        if not self.constrained:
            return w
        values = [
            part if v.constraint is None else v.constraint(part)
            for v, part in zip(self.variables, self.split(w), strict=True)
        ]
        return tf.concat([tf.reshape(value, [-1]) for value in values], axis=0)

    @property
    def bounded(self):
        """Whether constraints are there, and all of them bounds on single weights."""
        constraints = [v.constraint for v in self.variables if v.constraint is not None]
        return bool(constraints) and all(isinstance(c, _ELEMENTWISE) for c in constraints)

    def free(self, w, gradient):
        """Mask of the weights that their constraint lets move downhill; None if there is none."""
        if not self.constrained:
            return None
        gradients = self.split(gradient)
        masks = []
        for variable, value, g in zip(self.variables, self.split(w), gradients, strict=True):
            if variable.constraint is None:
                free = tf.ones_like(g, dtype=tf.bool)
            else:
                size = tf.maximum(tf.norm(value), 1.0)
                if isinstance(variable.constraint, _ELEMENTWISE):
                    # By the sign: a gradient far below the others' would be lost in rounding.
                    little = _LITTLE * tf.maximum(tf.abs(value), size) * tf.sign(g)
                else:
                    little = _LITTLE * size * tf.math.divide_no_nan(g, tf.norm(g))
                free = (variable.constraint(value - little) != value) | (g == 0)
            masks.append(tf.reshape(free, [-1]))
        return tf.concat(masks, axis=0)

    def downhill(self, w, gradient):
        """The gradient without its part that constraints do not let the weights follow."""
        free = self.free(w, gradient)
        return gradient if free is None else tf.where(free, gradient, tf.zeros_like(gradient))
