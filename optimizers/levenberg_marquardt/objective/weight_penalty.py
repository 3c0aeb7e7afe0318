import keras
import tensorflow as tf

_DIAGONAL = (keras.regularizers.L1, keras.regularizers.L2, keras.regularizers.L1L2)


class WeightPenalty:
    """What the weight regularizers add to the loss: `P(w)`, its gradient and its curvature.

    The Hessian of L1, L2 and their sum is diagonal and used as it is. Of any other regularizer
    only the gradient is, and the damping stands in for its curvature.
    """

    def __init__(self, weights):
        self.weights = weights
        self.regularized = [v.regularizer for v in weights.variables if v.regularizer is not None]

    @property
    def quadratic(self):
        return all(type(r) is keras.regularizers.L2 for r in self.regularized)

    def derivatives(self, w):
        """The gradient of P and the diagonal of its Hessian, (weights,) each."""
        if not self.regularized:
            return tf.zeros_like(w), tf.zeros_like(w)
        with tf.GradientTape() as outer:
            outer.watch(w)
            with tf.GradientTape() as inner:
                inner.watch(w)
                diagonal, other = self._values(w)
                value = diagonal + other
            gradient = inner.gradient(value, w)
            with tf.GradientTape() as inner:
                inner.watch(w)
                diagonal, _ = self._values(w)
            diagonal_gradient = inner.gradient(diagonal, w, unconnected_gradients="zero")
        curvature = outer.gradient(diagonal_gradient, w, unconnected_gradients="zero")
        return gradient, tf.maximum(curvature, 0.0)

    def _values(self, w):
        """P split into the part whose Hessian is diagonal and the rest."""
        diagonal = other = tf.zeros([], w.dtype)
        for variable, part in zip(self.weights.variables, self.weights.split(w), strict=True):
            if isinstance(variable.regularizer, _DIAGONAL):
                diagonal += tf.cast(variable.regularizer(part), w.dtype)
            elif variable.regularizer is not None:
                other += tf.cast(variable.regularizer(part), w.dtype)
        return diagonal, other
