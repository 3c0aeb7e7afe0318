"""The loss as a function of the network's outputs: its gradient and its curvature there.

The Hessian of a Keras loss F(z) in the outputs z is a block for each example, and every family of
losses below writes its block as `S S^T`. With the rows `S^T dz/dw` as Jacobian J, `J^T J` is the
generalized Gauss-Newton matrix of exactly that loss: reduction, sample weights, class weights,
masks and loss weights are in S because S comes from differentiating F itself.

| family      | losses                          | block                | S                        |
|-------------|---------------------------------|----------------------|--------------------------|
| Quadratic   | mse                             | 2c I                 | sqrt of the diagonal     |
| Diagonal    | huber, log-cosh, poisson, msle, | diagonal h without   | sqrt(h)                  |
|             | binary c.-e. of logits,         | negative entries     |                          |
|             | any with `elementwise = True`   |                      |                          |
| Bernoulli   | binary c.-e. of probabilities   | c / (p (1 - p))      | sqrt of the diagonal     |
| Softmax     | categorical c.-e. of logits     | c (diag p - p p^T)   | sqrt(c) (diag q - q q^T) |
| Multinomial | the same of probabilities       | c diag(1 / p)        | sqrt of the diagonal     |
| Dense       | any other smooth loss           | the Hessian without  | V sqrt(Lambda)           |
|             |                                 | negative eigenvalues |                          |

with q = sqrt(p), c an example's weight in F, and c.-e. for cross-entropy. For probabilities the
block is the Hessian's expectation (the Fisher information), which through a softmax or a sigmoid
equals the block of the logits; the Hessian at the observed label would be rank one and vanish with
the error.
"""

from functools import partial

import tensorflow as tf

from ...jacobian import for_each_row


class OutputCurvature:
    """Gradient and curvature of F(z) for all outputs of a network.

    Args:
        families: One `LossFamily` an output, in the order of the flattened outputs.
        sizes: Values of each output, for one example.
        loss: Function of the list of outputs, (batch, ...) each, to the scalar F.
    """

    def __init__(self, families, sizes, loss):
        self.families = families
        self.sizes = sizes
        self.loss = loss

    @property
    def quadratic(self):
        """Whether F is a sum of squares: `F(z + d) - F(z) = g d + h d^2 / 2` holds exactly."""
        return all(family.quadratic for family in self.families)

    def __call__(self, z):
        """F, its gradients, and for each output what its family keeps of S."""
        pairs = list(zip(self.families, z, strict=True))
        reference = [family.reference(output) for family, output in pairs]
        reference = with_masks(reference, masks_of(z))
        directions = [family.direction(output) for family, output in pairs]
        value, gradients, products = self.hessian_product(z, directions)
        if all(r is output for r, output in zip(reference, z, strict=True)):
            at_reference = products
        else:
            *_, at_reference = self.hessian_product(reference, directions)
        factors = [
            family.factor(output, product, partial(self._hessian, z, i))
            for i, ((family, output), product) in enumerate(zip(pairs, at_reference, strict=True))
        ]
        return value, gradients, factors

    def hessian_product(self, z, directions):
        """F, its gradient, and its Hessian times `directions`."""
        with tf.GradientTape() as outer:
            outer.watch(z)
            with tf.GradientTape() as inner:
                inner.watch(z)
                value = self.loss(z)
            gradients = _dense(inner.gradient(value, z, unconnected_gradients="zero"))
        products = outer.gradient(gradients, z, directions, unconnected_gradients="zero")
        return value, gradients, _dense(products)

    def residuals(self, gradients, factors):
        """`r = S^-1 g`, (batch, rows), of losses without a rest."""
        r = [
            family.residual(g, factor)
            for family, g, factor in zip(self.families, gradients, factors, strict=True)
        ]
        return side_by_side(r)

    def residuals_and_rests(self, gradients, factors):
        """`g = S r + rest` of any loss: r, (batch, rows), and the rests, like the outputs."""
        pairs = [
            family.residual_and_rest(g, factor)
            for family, g, factor in zip(self.families, gradients, factors, strict=True)
        ]
        return side_by_side([r for r, _ in pairs]), [rest for _, rest in pairs]

    def rows(self, factors):
        """`S^T` over all outputs side by side, (examples, rows, outputs).

        Args:
            factors: What the families keep of S for some examples.
        """
        blocks = []
        before, after = 0, sum(self.sizes)
        for family, factor, size in zip(self.families, factors, self.sizes, strict=True):
            after -= size
            rows = family.cotangents(factor)
            blocks.append(tf.pad(rows, [[0, 0], [0, 0], [before, after]]))
            before += size
        return tf.concat(blocks, axis=1)

    def projected(self, factors, v):
        """`S^T v`, (examples, rows), for v given like the outputs."""
        return tf.linalg.matvec(self.rows(factors), side_by_side(v))

    def combined(self, factors, alpha):
        """`S alpha` of each output, (examples, outputs), for one number a row.

        Args:
            factors: What the families keep of S.
            alpha: (examples, rows).
        """
        return [
            family.mv(factor, tf.cast(of_output, factor.dtype))
            for family, factor, of_output in zip(
                self.families, factors, tf.split(alpha, self.sizes, axis=1), strict=True
            )
        ]

    def _hessian(self, z, i):
        """Each example's block of output i, (batch, outputs, outputs)."""
        size = z[i].shape[1:].num_elements()

        def column(direction):
            directions = [tf.zeros_like(output) for output in z]
            directions[i] += tf.reshape(direction, [1, *z[i].shape[1:]])
            return tf.reshape(self.hessian_product(z, directions)[-1][i], [-1, size])

        signature = tf.TensorSpec([None, size], z[i].dtype)
        H = for_each_row(column, tf.eye(size, dtype=z[i].dtype), signature)
        return tf.transpose(H, [1, 0, 2])


def masks_of(outputs):
    """For each output its mask or None: the loss reads a mask from the tensor itself."""
    return [getattr(output, "_keras_mask", None) for output in outputs]


def with_masks(values, masks):
    """`values` with these masks."""
    for value, mask in zip(values, masks, strict=True):
        if mask is not None:
            value._keras_mask = mask
    return values


def _dense(gradients):
    """Sparse gradients as tensors: a loss may gather outputs."""
    return [tf.convert_to_tensor(gradient) for gradient in gradients]


def side_by_side(tensors):
    """(batch, outputs) of a list of (batch, ...)."""
    return tf.concat([tf.reshape(t, [tf.shape(t)[0], -1]) for t in tensors], axis=1)
