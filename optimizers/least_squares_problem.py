import keras
import numpy as np
import tensorflow as tf

from .._arguments import built_model, real_array, wrong
from .levenberg_marquardt.flat_weights import FlatWeights
from .levenberg_marquardt.layered_jacobian import LayeredJacobian


class LeastSquaresProblem:
    """A Keras model and its data as residuals and variables, for solvers outside Keras.

    `residuals . residuals = sum over outputs of mean(weight * (model(x) - y)^2)`

    which is Keras's "mse". `residuals` and `variables` are what `tensorflow_graphics`'
    `levenberg_marquardt.minimize` takes, the `flat_` forms what `scipy.optimize.least_squares`
    takes. Use it to compare solvers, or for bounds and robust losses that scipy has. To just train
    a model use `kerazoo.models.LeastSquares`: it needs no copy of the weights, takes other losses
    and holds no more of the Jacobian than fits. Runs on TensorFlow, with `training=False`.

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
        ValueError: Targets that do not have the outputs' shape; no trainable weight.

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
        self._y = [tf.cast(real_array("y", target), dtype) for target in keras.tree.flatten(y)]
        self._check_shapes()
        self._roots = [
            tf.sqrt(_weights_like(target, sample_weight) / tf.cast(tf.size(target), dtype))
            for target in self._y
        ]
        self._flat_residuals = tf.function(self._residuals, autograph=False)
        self._flat_jacobian = tf.function(self._jacobian, autograph=False)

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
        return self._flat_jacobian(self._vector("v", v)).numpy()

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
        with self._weights.scope(v):
            outputs = self.model(x, training=False)
        return [tf.cast(z, v.dtype) for z in keras.tree.flatten(outputs)]

    def _residuals(self, v):
        outputs = zip(self._outputs(v, self._x), self._y, self._roots, strict=True)
        return _flat([root * (z - y) for z, y, root in outputs])

    def _jacobian(self, v):
        """Rows in the order of the residuals: by output, then by example."""
        sizes = [y.shape[1:].num_elements() for y in self._y]
        roots = [
            tf.reshape(tf.broadcast_to(root, tf.shape(y)), [-1, size])
            for y, root, size in zip(self._y, self._roots, sizes, strict=True)
        ]
        jacobian = LayeredJacobian(self.model, self._weights, self._x, sum(sizes))
        run = jacobian.run(v, self._x)
        data = jacobian.data(run, tf.linalg.diag(tf.concat(roots, axis=1)))
        rows = tf.transpose(jacobian.columns(data))
        by_example = tf.reshape(rows, [-1, sum(sizes), self._weights.size])
        blocks = tf.split(by_example, sizes, axis=1)
        return tf.concat([tf.reshape(J, [-1, self._weights.size]) for J in blocks], axis=0)

    def _check_shapes(self):
        outputs = self._outputs(self._weights.vector(), self._x)
        shapes = [tuple(z.shape) for z in outputs]
        targets = [tuple(y.shape) for y in self._y]
        if shapes != targets:
            raise ValueError(
                "`y` must have the shape of the model's outputs: broadcasting would make other "
                f"residuals. Received: shapes of y={targets}, of the outputs={shapes}"
            )


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
        tensors = keras.tree.map_structure(tf.convert_to_tensor, data)
    except (TypeError, ValueError):
        tensors = []
    leaves = keras.tree.flatten(tensors)
    if not leaves or any(leaf.shape.rank == 0 for leaf in leaves):
        wanted = "an array (examples, ...), or a list or dictionary of one for each input"
        raise wrong(name, wanted, data)
    return tensors


def _flat(tensors):
    return tf.concat([tf.reshape(tensor, [-1]) for tensor in tensors], axis=0)
