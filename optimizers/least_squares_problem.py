import warnings

import keras
import numpy as np
import tensorflow as tf

from .._arguments import boolean, built_model, one_dtype, real_array, wrong
from ._estimate_covariance import estimate_covariance
from ._output_jacobian import OutputJacobian
from .levenberg_marquardt.flat_weights import FlatWeights
from .levenberg_marquardt.jacobian import LayeredJacobian, check_outputs


class LeastSquaresProblem:
    """A Keras model and its data as residuals and variables, for solvers outside Keras.

    `residuals . residuals = sum over outputs of mean(weight * (model(x) - y)^2) + L2 penalties`

    which is the "mse" loss that Keras's `evaluate` gives for one batch: masks of the outputs are
    honoured (masked residuals are zero, the others count `n / number of unmasked` each), and every
    weight w with an L2 penalty adds a residual `sqrt(l2) w` at the end. `residuals` and `variables`
    are what `tensorflow_graphics`' `levenberg_marquardt.minimize` takes, the `flat_` forms what
    `scipy.optimize.least_squares` takes. Use it to compare solvers, or for bounds and robust losses
    that scipy has. To just train a model use `kerazoo.models.LeastSquares`: it needs no copy of the
    weights, takes other losses and holds no more of the Jacobian than fits. Runs on TensorFlow,
    with `training=False`.

    Always hand over the exact Jacobian, `jac=problem.flat_jacobian`. Differences of float32
    residuals keep about three digits. Where their steps are made for float64, as of residuals
    converted to it, the outputs of a float32 model do not change at all: the Jacobian is zero, and
    scipy reports success at the start.

    The residuals of an output with n values are `sqrt(weight / n) (model(x) - y)`. So for scipy:

    - `f_scale=c / np.sqrt(n)` where c is in the unit of y. A robust loss of scipy also sees the
      residuals of L2 penalties.
    - `inv(J.T @ J) / n` is the covariance of the weights if `sample_weight` is 1 / sigma^2 of each
      target. If sigma is to be estimated, `inv(J.T @ J) * r @ r / (n - number of weights)` is, as
      ever. Both are for one output without masks and penalties.

    Args:
        model: A built Keras model, all trainable weights in float32 or all in float64.
        x: Inputs: an array (examples, ...) or what structure of arrays the model takes.
        y: Targets, like the model's outputs: an array or a list or dictionary of arrays.
        sample_weight: Array (examples,) for all outputs, or one that has an output's shape
            without its last axis. Default None: 1.

    Attributes:
        variables: List of tensors, the trainable weights as they are now: where a solver begins.
        flat_variables: The same as one NumPy vector.

    Raises:
        ValueError: Targets that do not have the outputs' shape; complex targets or outputs; outputs
            that are not one row for each example; no trainable weight; a penalty that is no sum of
            squares; random numbers in the model.

    Warns:
        UserWarning: At the first call of `flat_jacobian` with weights that change no residual,
            whose columns are zero: no solver can determine them.

    Example:

    >>> from scipy.optimize import least_squares
    >>> network = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    >>> x = np.linspace(0, 1, 20)[:, None]
    >>> problem = kerazoo.optimizers.LeastSquaresProblem(network, x, 2 * x + 1)
    >>> found = least_squares(
    ...     problem.flat_residuals, problem.flat_variables, jac=problem.flat_jacobian
    ... )
    >>> problem.assign(found.x)
    >>> np.round(network.predict(np.array([[3.0]]), verbose=0), 3)
    array([[7.]], dtype=float32)

    The same with tensorflow_graphics:

        from tensorflow_graphics.math.optimizer import levenberg_marquardt
        _, values = levenberg_marquardt.minimize(problem.residuals, problem.variables, 20)
        problem.assign(values)

    References:
        https://github.com/tensorflow/graphics
    """

    def __init__(self, model, x, y, sample_weight=None):
        self.model = built_model("model", model)
        self._weights = FlatWeights(model.trainable_variables)
        dtype = self._weights.dtype
        self._x = _tensors("x", x)
        self._sample_weight = sample_weight
        self._y = [tf.cast(_target(leaf), dtype) for leaf in keras.tree.flatten(y)]
        self._check_outputs()
        outputs = self._outputs(self._weights.vector(), self._x)
        self._check_shapes(outputs)
        self._penalties = _penalties(self._weights)
        rows = sum(y.shape[1:].num_elements() for y in self._y)
        self._layered = LayeredJacobian(self.model, self._weights, self._x, rows)
        self._roots = [
            tf.sqrt(
                _weights_like(target, sample_weight)
                * _mask_like(target, z)
                / target.shape.num_elements()
            )
            for target, z in zip(self._y, outputs, strict=True)
        ]
        self._flat_residuals = tf.function(self._residuals, autograph=False)
        self._flat_jacobian = tf.function(self._jacobian, autograph=False)
        self._has_warned = False

    @property
    def variables(self):
        return self._weights.split(self._weights.vector())

    @property
    def flat_variables(self):
        return self._weights.vector().numpy()

    def assign(self, values):
        """Sets the model's weights to a flat vector, or to a list like `variables`."""
        v = self._vector("values", values)
        if not np.isfinite(v).all():
            raise wrong("values", "finite: weights of NaN or Inf come of a failed solver", values)
        self._weights.assign(v)

    def residuals(self, *variables):
        """The residuals (n,) at these values of the variables; pure and differentiable."""
        shapes = [tuple(np.shape(value)) for value in variables]
        expected = [tuple(variable.shape) for variable in self._weights.variables]
        if shapes != expected:
            raise ValueError(
                "`variables` must be one tensor for each trainable weight, of its shape: "
                f"{expected}. Received: variables of shapes {shapes}"
            )
        return self._residuals(self._vector("variables", variables))

    def flat_residuals(self, v):
        """The residuals (n,) at the weights `v`, a flat vector, as NumPy."""
        return self._flat_residuals(self._vector("v", v)).numpy()

    def flat_jacobian(self, v):
        """The derivatives (n, weights) of the residuals at the weights `v`, as NumPy."""
        J = self._flat_jacobian(self._vector("v", v)).numpy()
        self._warn_about_zero_columns(J)
        return J

    def covariance(self, absolute_sigma=False):
        """How far the model's weights, as they are now, are uncertain: call `assign` first.

        Args:
            absolute_sigma: Boolean, whether `sample_weight` is 1 / sigma^2. Default False: it is
                proportional to that, and sigma is estimated from the residuals.

        Returns:
            A `Covariance`, as of `kerazoo.models.LeastSquares.covariance`, which says more.
        """
        absolute_sigma = boolean("absolute_sigma", absolute_sigma)
        targets = [y.numpy() for y in self._y]
        weights = self._sample_weight
        weights = [None if weights is None else real_array("sample_weight", weights)] * len(targets)
        return estimate_covariance(
            OutputJacobian(self.model, self._weights),
            self._x,
            targets,
            weights,
            lambda rows: [1 / one.unmasked if one.unmasked else 0.0 for one in rows],
            absolute_sigma,
        )

    def _vector(self, name, values):
        """Values of all weights, flat or one tensor a variable, as one tensor (weights,)."""
        wanted = f"{self._weights.size} numbers, one for each weight"
        try:
            if isinstance(values, (list, tuple)):
                values = _flat([tf.cast(value, self._weights.dtype) for value in values])
            v = tf.cast(values, self._weights.dtype)
        except (TypeError, ValueError, tf.errors.OpError) as error:
            raise wrong(name, wanted, values) from error
        if v.shape != (self._weights.size,):
            raise wrong(name, wanted, values)
        return v

    def _outputs(self, v, x):
        with self._weights.scope(v) as scope:
            outputs = self.model(x, training=False)
        if scope.losses:
            raise ValueError(
                "Losses added inside the model (`activity_regularizer`, `add_loss`) are no sum of "
                "squares of its outputs: make the quantity an output. "
                f"Received: model={self.model.name} with {len(scope.losses)} such losses"
            )
        return keras.tree.flatten(outputs)

    def _residuals(self, v):
        outputs = zip(self._outputs(v, self._x), self._y, self._roots, strict=True)
        r = [root * (tf.cast(z, v.dtype) - y) for z, y, root in outputs]
        values = self._weights.split(v)
        return _flat(r + [root * values[i] for i, root in self._penalties])

    def _jacobian(self, v):
        """Rows in the order of the residuals: by output, then by example; then the penalties."""
        sizes = [y.shape[1:].num_elements() for y in self._y]
        roots = [
            tf.reshape(tf.broadcast_to(root, tf.shape(y)), [-1, size])
            for y, root, size in zip(self._y, self._roots, sizes, strict=True)
        ]
        run = self._layered.run(v, self._x)
        data = self._layered.data(run, tf.linalg.diag(tf.concat(roots, axis=1)))
        rows = tf.transpose(self._layered.columns(data))
        by_example = tf.reshape(rows, [-1, sum(sizes), self._weights.size])
        blocks = tf.split(by_example, sizes, axis=1)
        blocks = [tf.reshape(J, [-1, self._weights.size]) for J in blocks]
        starts = np.cumsum([0, *self._weights.sizes])
        eye = np.eye(self._weights.size) if self._penalties else None
        blocks += [
            tf.constant(root * eye[starts[i] : starts[i + 1]], v.dtype)
            for i, root in self._penalties
        ]
        return tf.concat(blocks, axis=0)

    def _check_outputs(self):
        specs = tf.nest.map_structure(
            lambda leaf: tf.TensorSpec([None, *leaf.shape[1:]], leaf.dtype), self._x
        )
        v = tf.TensorSpec([self._weights.size], self._weights.dtype)
        traced = tf.function(self._outputs, autograph=False).get_concrete_function(v, specs)
        check_outputs(traced.structured_outputs)

    def _check_shapes(self, outputs):
        shapes = [tuple(z.shape) for z in outputs]
        targets = [tuple(y.shape) for y in self._y]
        if shapes != targets:
            raise ValueError(
                "`y` must have the shape of the model's outputs: broadcasting would make other "
                f"residuals. Received: shapes of y={targets}, of the outputs={shapes}"
            )

    def _warn_about_zero_columns(self, J):
        zero = np.split(~J.any(axis=0), np.cumsum(self._weights.sizes)[:-1])
        if self._has_warned or not np.concatenate(zero).any():
            return
        self._has_warned = True
        variables = zip(self._weights.variables, zero, strict=True)
        counts = [f"{v.path} ({z.sum()} of {z.size})" for v, z in variables if z.any()]
        warnings.warn(
            "These weights change no residual where the Jacobian was asked for: their columns are "
            "zero, and no solver can determine them. Either the model does not use them, or their "
            f"derivatives vanish there, as behind a dead ReLU. Weights: {', '.join(counts)}",
            stacklevel=3,
        )


def _target(y):
    if np.iscomplexobj(y):
        raise wrong(
            "y",
            "real: stack real and imaginary parts, `np.stack([y.real, y.imag], axis=-1)`, and "
            "those of the outputs alike",
            y,
        )
    return real_array("y", y)


def _penalties(weights):
    """The position of each variable with an L2 penalty, and the penalty's root."""
    found = []
    for i, variable in enumerate(weights.variables):
        penalty = variable.regularizer
        if penalty is None:
            continue
        plain = type(penalty) is keras.regularizers.L2
        if not plain and not (type(penalty) is keras.regularizers.L1L2 and penalty.l1 == 0):
            raise ValueError(
                "The penalty of a weight must be L2: others are no sum of squares. Build the model "
                f"without it. Received: {type(penalty).__name__} on {variable.path}"
            )
        found.append((i, float(penalty.l2) ** 0.5))
    return found


def _mask_like(target, output):
    """What Keras weighs each residual with for a mask: `n / number of unmasked`, or 0."""
    mask = getattr(output, "_keras_mask", None)
    if mask is None:
        return tf.ones([], target.dtype)
    mask = tf.cast(mask, target.dtype)
    mask *= tf.math.divide_no_nan(tf.cast(tf.size(mask), target.dtype), tf.reduce_sum(mask))
    return tf.reshape(mask, [*mask.shape, *[1] * (target.shape.rank - mask.shape.rank)])


def _weights_like(target, sample_weight):
    if sample_weight is None:
        return tf.ones([1] * target.shape.rank, target.dtype)
    weight = real_array("sample_weight", sample_weight)
    shape = tuple(weight.shape)
    if not shape or shape != tuple(target.shape[: len(shape)]) or (weight < 0).any():
        wanted = (
            "weights of at least 0 for all examples, (examples,), or for each of their steps, as "
            f"the first axes of {tuple(target.shape)}"
        )
        raise wrong("sample_weight", wanted, sample_weight)
    ones = [1] * (target.shape.rank - len(shape))
    return tf.reshape(tf.cast(weight, target.dtype), [*shape, *ones])


def _tensors(name, data):
    """`data` with a tensor in place of each array."""
    try:
        tensors = keras.tree.map_structure(
            lambda array: tf.convert_to_tensor(one_dtype(array)), data
        )
    except (TypeError, ValueError):
        tensors = []
    leaves = keras.tree.flatten(tensors)
    if not leaves or any(leaf.shape.rank == 0 for leaf in leaves):
        wanted = "an array (examples, ...), or a list or dictionary of one for each input"
        raise wrong(name, wanted, data)
    return tensors


def _flat(tensors):
    return tf.concat([tf.reshape(tensor, [-1]) for tensor in tensors], axis=0)
