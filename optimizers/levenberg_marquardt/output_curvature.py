"""The loss as a function of the network's outputs: its gradient and its curvature there.

The Hessian of a Keras loss F(z) in the outputs z is a block for each example, and every form
below writes its block as `S S^T`. With the rows `S^T dz/dw` as Jacobian J, `J^T J` is the
generalized Gauss-Newton matrix of exactly that loss: reduction, sample weights, class weights,
masks and loss weights are in S because S comes from differentiating F itself.

| loss                                   | block                      | S                        |
|----------------------------------------|----------------------------|--------------------------|
| mse                                    | 2c I                       | sqrt of the diagonal     |
| huber, log-cosh, poisson, msle,        |                            |                          |
| binary cross-entropy of logits         | diagonal h                 | sqrt(h)                  |
| binary cross-entropy of probabilities  | c / (p (1 - p))            | sqrt of the diagonal     |
| (sparse) categorical c.-e. of logits   | c (diag p - p p^T)         | sqrt(c) (diag q - p q^T) |
| the same of probabilities              | c diag(1 / p)              | sqrt of the diagonal     |
| any other smooth loss                  | its Hessian, negative      | V sqrt(Lambda)           |
|                                        | eigenvalues set to zero    |                          |

with q = sqrt(p) and c an example's weight in F. For probabilities it is the Hessian's expectation
(the Fisher information), which through a softmax or a sigmoid equals the form of the logits; the
Hessian at the observed label would be rank one and vanish with the error.
"""

import keras
import tensorflow as tf
from keras import losses

QUADRATIC, DIAGONAL, BERNOULLI, SOFTMAX, MULTINOMIAL, DENSE = (
    "quadratic",
    "diagonal",
    "bernoulli",
    "softmax",
    "multinomial",
    "dense",
)
# Forms of losses that compare each output with a target of its own.
ELEMENTWISE = (QUADRATIC, DIAGONAL, BERNOULLI)
_DIAGONAL_LOSSES = (
    losses.Huber,
    losses.LogCosh,
    losses.Poisson,
    losses.MeanSquaredLogarithmicError,
)
_CATEGORICAL = (losses.CategoricalCrossentropy, losses.SparseCategoricalCrossentropy)
_NOT_SMOOTH = (
    losses.MeanAbsoluteError,
    losses.MeanAbsolutePercentageError,
    losses.Hinge,
    losses.CategoricalHinge,
)
_BY_FUNCTION = {
    losses.mean_squared_error: losses.MeanSquaredError,
    losses.huber: losses.Huber,
    losses.log_cosh: losses.LogCosh,
    losses.poisson: losses.Poisson,
    losses.mean_squared_logarithmic_error: losses.MeanSquaredLogarithmicError,
    losses.binary_crossentropy: losses.BinaryCrossentropy,
    losses.categorical_crossentropy: losses.CategoricalCrossentropy,
    losses.sparse_categorical_crossentropy: losses.SparseCategoricalCrossentropy,
    losses.mean_absolute_error: losses.MeanAbsoluteError,
    losses.mean_absolute_percentage_error: losses.MeanAbsolutePercentageError,
    losses.hinge: losses.Hinge,
    losses.categorical_hinge: losses.CategoricalHinge,
}
# Keras clips probabilities here before it takes their logarithm.
_SMALLEST_PROBABILITY = 1e-7
# Entries of S below this part of the largest are too small to divide a gradient by.
_LEAST_SLOPE = 1e-3


def curvature_form(loss):
    """The row of the table above that `loss` belongs to.

    Args:
        loss: What `compile` takes for one output: a name, a function or a `keras.losses.Loss`.

    Raises:
        ValueError: The loss is not smooth, so that it has no curvature to use, or not one number.
    """
    loss = keras.losses.get(loss)
    if not isinstance(loss, losses.Loss) and loss in _BY_FUNCTION:
        loss = _BY_FUNCTION[loss]()
    if isinstance(loss, _NOT_SMOOTH):
        raise ValueError(
            "`loss` must be smooth in the outputs: Levenberg-Marquardt uses its curvature, and "
            f"{loss.name} has none. Use 'huber' or 'log_cosh' in place of an absolute error, a "
            f"cross-entropy in place of a hinge. Received: loss={loss.name}"
        )
    if isinstance(loss, losses.Loss) and loss.reduction in (None, "none"):
        raise ValueError(
            "`loss` must be reduced to one number, which is what a step lowers. "
            f"Received: loss={loss.name} with reduction={loss.reduction!r}"
        )
    # Exact classes: a subclass may compute something else.
    if type(loss) is losses.MeanSquaredError:
        return QUADRATIC
    if type(loss) in _DIAGONAL_LOSSES:
        return DIAGONAL
    if type(loss) is losses.BinaryCrossentropy:
        return DIAGONAL if loss.get_config()["from_logits"] else BERNOULLI
    if type(loss) in _CATEGORICAL and loss.get_config().get("axis", -1) == -1:
        return SOFTMAX if loss.get_config()["from_logits"] else MULTINOMIAL
    return DENSE


class OutputCurvature:
    """Gradient and curvature of F(z) for all outputs of a network.

    Args:
        forms: One form an output, in the order of the flattened outputs.
        loss: Function of the list of outputs, (batch, ...) each, to the scalar F.
    """

    def __init__(self, forms, loss):
        self.forms = forms
        self.loss = loss

    @property
    def quadratic(self):
        """Whether F is a sum of squares: `F(z + d) - F(z) = g d + h d^2 / 2` holds exactly."""
        return all(form == QUADRATIC for form in self.forms)

    def __call__(self, z):
        """The gradients, and for each output the tensors that `cotangents` builds S from."""
        reference = [_reference(form, output) for form, output in zip(self.forms, z, strict=True)]
        reference = with_masks(reference, z)
        directions = [_direction(form, output) for form, output in zip(self.forms, z, strict=True)]
        gradients, products = self.hessian_product(z, directions)
        if all(r is output for r, output in zip(reference, z, strict=True)):
            at_reference = products
        else:
            _, at_reference = self.hessian_product(reference, directions)
        factors = []
        for i, (form, output) in enumerate(zip(self.forms, z, strict=True)):
            if form == DENSE:
                factors.append(self._dense_factor(z, i))
            else:
                factors.append(_factor(form, output, at_reference[i]))
        return gradients, factors

    def hessian_product(self, z, directions):
        """The gradient of F and its Hessian times `directions`."""
        with tf.GradientTape() as outer:
            outer.watch(z)
            with tf.GradientTape() as inner:
                inner.watch(z)
                value = self.loss(z)
            gradients = inner.gradient(value, z, unconnected_gradients="zero")
        products = outer.gradient(gradients, z, directions, unconnected_gradients="zero")
        return gradients, products

    def _dense_factor(self, z, i):
        """S = V sqrt(max(Lambda, 0)) of each example's block, (batch, outputs, outputs)."""
        size = z[i].shape[1:].num_elements()

        def column(direction):
            directions = [tf.zeros_like(output) for output in z]
            directions[i] += tf.reshape(direction, [1, *z[i].shape[1:]])
            return tf.reshape(self.hessian_product(z, directions)[1][i], [-1, size])

        H = tf.vectorized_map(column, tf.eye(size, dtype=z[i].dtype))  # (outputs, batch, outputs)
        H = tf.transpose(H, [1, 0, 2])
        # A decomposition of NaN raises in the middle of the graph; the step is rejected anyway.
        H = tf.where(tf.math.is_finite(H), H, 0.0)
        eigenvalues, V = tf.linalg.eigh((H + tf.linalg.matrix_transpose(H)) / 2)
        return V * tf.sqrt(tf.maximum(eigenvalues, 0.0))[:, None, :]


def cotangents(form, factor):
    """`S^T` of each example as rows over the flattened output, (examples, rows, outputs)."""
    if form == DENSE:
        return tf.linalg.matrix_transpose(factor)
    if form != SOFTMAX:
        return tf.linalg.diag(tf.reshape(factor, [-1, factor.shape[1:].num_elements()]))
    # (examples, positions, classes): sqrt(c) q, from which p and sqrt(c) follow.
    classes = factor.shape[-1]
    positions = factor.shape[1:-1].num_elements()
    weighted_q = tf.reshape(factor, [-1, positions, classes])
    root_c = tf.norm(weighted_q, axis=-1, keepdims=True)
    q = tf.math.divide_no_nan(weighted_q, root_c)
    S_t = tf.linalg.diag(weighted_q) - weighted_q[..., :, None] * (q**2)[..., None, :]
    placed = S_t[:, :, :, None, :] * tf.eye(positions, dtype=S_t.dtype)[:, None, :, None]
    return tf.reshape(placed, [-1, positions * classes, positions * classes])


def combined(form, factor, r):
    """`S r` for one number a row, (examples, rows); (examples, outputs)."""
    if form == DENSE:
        return tf.linalg.matvec(factor, r)
    flat = tf.reshape(factor, [-1, factor.shape[1:].num_elements()])
    if form != SOFTMAX:
        return flat * r
    root_c = tf.norm(factor, axis=-1, keepdims=True)
    q = tf.math.divide_no_nan(factor, root_c)
    r = tf.reshape(r, tf.shape(factor))
    along_q = tf.reduce_sum(q * r, axis=-1, keepdims=True)
    return tf.reshape(factor * (r - q * along_q), tf.shape(flat))


def residuals(gradients, factors):
    """`r = S^-1 g` of the quadratic form, (batch, outputs); zero where the weight is zero."""
    flat = [
        tf.reshape(tf.math.divide_no_nan(g, s), [tf.shape(g)[0], -1])
        for g, s in zip(gradients, factors, strict=True)
    ]
    return tf.concat(flat, axis=1)


def residuals_and_rest(forms, gradients, factors):
    """`g = S r + rest` for losses of any form.

    Where the curvature (almost) vanishes and the gradient does not, as in the straight part of
    Huber's loss, no residual can stand for the gradient: it stays in the rest.

    Returns:
        r, (batch, rows), and the rests, like the outputs.
    """
    flat, rests = [], []
    for form, g, factor in zip(forms, gradients, factors, strict=True):
        if form == DENSE:
            batch = tf.shape(g)[0]
            g_flat = tf.reshape(g, [batch, -1])
            eigenvalues = tf.reduce_sum(factor**2, axis=1)
            r = tf.linalg.matvec(factor, g_flat, transpose_a=True)
            r = tf.where(_steep(tf.sqrt(eigenvalues)), tf.math.divide_no_nan(r, eigenvalues), 0.0)
            rest = tf.reshape(g_flat - tf.linalg.matvec(factor, r), tf.shape(g))
        else:
            usable = _steep(factor)
            if form == SOFTMAX:  # g sums to zero over the classes, so they go together
                usable = tf.reduce_all(usable, axis=-1, keepdims=True)
            r = tf.where(usable, tf.math.divide_no_nan(g, factor), 0.0)
            rest = tf.where(usable, tf.zeros_like(g), g)
        flat.append(tf.reshape(r, [tf.shape(g)[0], -1]))
        rests.append(rest)
    return tf.concat(flat, axis=1), rests


def _steep(factor):
    return factor > _LEAST_SLOPE * tf.reduce_max(factor)


def _reference(form, z):
    """Outputs at which the weights c can be read off the Hessian, whatever the labels are."""
    if form == BERNOULLI:
        return tf.fill(tf.shape(z), tf.constant(0.5, z.dtype))
    if form == SOFTMAX:
        return tf.zeros_like(z)
    if form == MULTINOMIAL:
        return tf.fill(tf.shape(z), tf.constant(1 / z.shape[-1], z.dtype))
    return z


def _direction(form, z):
    if form in (SOFTMAX, MULTINOMIAL):
        first = tf.one_hot(0, z.shape[-1], dtype=z.dtype)
        return tf.zeros_like(z) + first
    return tf.ones_like(z)


def _factor(form, z, product):
    """The diagonal of S; of the softmax form sqrt(c) q."""
    if form in (QUADRATIC, DIAGONAL):
        return tf.sqrt(tf.maximum(product, 0.0))
    if form == BERNOULLI:  # at 1/2 the Hessian is 4c for every label
        p = tf.clip_by_value(z, _SMALLEST_PROBABILITY, 1 - _SMALLEST_PROBABILITY)
        return tf.sqrt(tf.maximum(product, 0.0) / (4 * p * (1 - p)))
    if form == SOFTMAX:  # at z = 0 the Hessian is c (I / C - 1 / C^2)
        root_c = tf.sqrt(tf.maximum(-product[..., 1:2], 0.0)) * z.shape[-1]
        return root_c * tf.sqrt(tf.nn.softmax(z))
    # At p = 1 / C Keras's normalization of p leaves -c off the diagonal.
    p = tf.clip_by_value(z, _SMALLEST_PROBABILITY, 1 - _SMALLEST_PROBABILITY)
    return tf.sqrt(tf.maximum(-product[..., 1:2], 0.0) / p)


def with_masks(values, outputs):
    """`values` with the masks of `outputs`: the loss reads a mask from the tensor itself."""
    for value, output in zip(values, outputs, strict=True):
        mask = getattr(output, "_keras_mask", None)
        if mask is not None:
            value._keras_mask = mask
    return values
