import tensorflow as tf

# Entries of S below this part of the largest are too small to divide a gradient by.
_LEAST_SLOPE = 1e-3
# Keras clips probabilities here before it takes their logarithm.
_SMALLEST_PROBABILITY = 1e-7


class LossFamily:
    """Losses whose Hessian in an output z has one form: `S S^T`, a block for each example.

    A family defines `covers` and `factor`. The other methods are right for a diagonal S, kept as
    its diagonal in the shape of z; a family with another S replaces those that read it. `factor`
    gets the Hessian at `reference` times `direction`, from which it reads the weight of each
    example in the loss.

    A family has no state: one instance serves all models.
    """

    quadratic = False  # whether the loss is a sum of squares

    def covers(self, loss):
        """Whether `loss`, a `keras.losses.Loss` or a function, belongs to the family."""
        raise NotImplementedError

    def reference(self, z):
        """Outputs at which the Hessian shows the weights of the examples, whatever the labels."""
        return z

    def direction(self, z):
        return tf.ones_like(z)

    def factor(self, z, product, hessian):
        """What the family keeps of S.

        Args:
            z: The output, (batch, ...).
            product: The Hessian at `reference` times `direction`, like z.
            hessian: Function without arguments to the Hessian at z, (batch, outputs, outputs).
                It differentiates once an output: call it only where `product` is not enough.
        """
        raise NotImplementedError

    def cotangents(self, factor):
        """`S^T` of each example as rows over the flattened output, (examples, rows, outputs)."""
        return tf.linalg.diag(flattened(factor))

    def mv(self, factor, r):
        """`S r` for one number a row, (examples, rows); (examples, outputs)."""
        return flattened(factor) * r

    def residual(self, g, factor):
        """`r = S^-1 g` for a gradient g, like z; zero where the weight is zero."""
        return tf.math.divide_no_nan(g, factor)

    def residual_and_rest(self, g, factor):
        """`g = S r + rest`, for losses whose S does not span every gradient.

        Where the curvature (almost) vanishes and the gradient does not, as in the straight part of
        Huber's loss, no residual can stand for the gradient: it stays in the rest.

        Returns:
            r, as many numbers an example as S has columns, and the rest, like z.
        """
        usable = self.usable(factor)
        r = tf.where(usable, self.residual(g, factor), 0.0)
        return r, tf.where(usable, tf.zeros_like(g), g)

    def usable(self, factor):
        """Where S is large enough to divide a gradient by it."""
        return steep(factor)


def flattened(factor):
    return tf.reshape(factor, [-1, factor.shape[1:].num_elements()])


def steep(factor):
    return factor > _LEAST_SLOPE * tf.reduce_max(factor)


def clipped(probabilities):
    return tf.clip_by_value(probabilities, _SMALLEST_PROBABILITY, 1 - _SMALLEST_PROBABILITY)
