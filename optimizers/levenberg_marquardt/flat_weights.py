import keras
import numpy as np
import tensorflow as tf

# How far a weight is moved to see whether its constraint lets it, relative to all weights.
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

    def free(self, w, gradient):
        """Mask of the weights that their constraint lets move downhill; None if there is none."""
        if not self.constrained:
            return None
        size = tf.norm(gradient)
        little = _LITTLE * tf.maximum(tf.norm(w), 1.0) / tf.where(size > 0, size, 1.0)
        return (self.constrain(w - little * gradient) != w) | (gradient == 0)
