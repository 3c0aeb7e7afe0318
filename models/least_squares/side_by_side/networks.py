import keras
import tensorflow as tf

from ....optimizers.levenberg_marquardt.flat_weights import FlatWeights
from ....optimizers.levenberg_marquardt.jacobian import differs_alone


class Networks:
    """One network at the weights of many fits: outputs and Jacobians, side by side.

    Args:
        network: Keras model with one output, run with `training=False`.
        shared: Whether all fits have the same inputs x, of shape (points, ...); else they are
            (fits, points, ...).
    """

    def __init__(self, network, shared):
        self.network = network
        self.weights = FlatWeights(network.trainable_variables)
        self.shared = shared
        self.outputs = tf.function(self._outputs, autograph=False)
        self.jacobian = tf.function(self._jacobian, autograph=False)

    def _outputs(self, w, x):
        """The outputs at weights w (fits, weights); (fits, points * numbers of an output)."""
        if self.shared:
            z = tf.vectorized_map(lambda w: self._call(w, x), w)
        else:
            z = tf.vectorized_map(lambda pair: self._call(*pair), (w, x))
        return tf.reshape(z, [tf.shape(w)[0], -1])

    def _jacobian(self, w, x):
        """The derivatives of the outputs, (fits, points * numbers of an output, weights).

        Each point gets a copy of the weights of its fit. As an output depends on no other point,
        one backward pass for all of them gives every row.
        """
        points = tf.nest.flatten(x)[0].shape[0 if self.shared else 1]
        fits = tf.shape(w)[0]
        rows = tf.nest.map_structure(lambda leaf: self._as_rows(leaf, fits), x)
        copies = tf.repeat(w, points, axis=0)
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(copies)
            z = tf.vectorized_map(self._one_point, (copies, rows))
            numbers = tf.unstack(z, axis=1) if z.shape[1] <= _NUMBERS_UNROLLED else []
        if numbers:
            J = [tape.gradient(one, copies, unconnected_gradients="zero") for one in numbers]
            J = J[0] if len(J) == 1 else tf.stack(J, axis=1)
        else:
            # As a loop: in a vectorized map the gradient of a gather warns of its slowness.
            J = tape.batch_jacobian(z, copies, "zero", experimental_use_pfor=False)
        return tf.reshape(J, [fits, -1, self.weights.size])

    def _as_rows(self, leaf, fits):
        if self.shared:
            return tf.tile(leaf, [fits, *[1] * (leaf.shape.rank - 1)])
        return tf.reshape(leaf, tf.concat([[-1], tf.shape(leaf)[2:]], axis=0))

    def _one_point(self, row):
        w, x = row
        one = tf.nest.map_structure(lambda leaf: leaf[None], x)
        return tf.reshape(self._call(w, one), [-1])

    def _call(self, w, x):
        with self.weights.scope(w) as scope:
            outputs = self.network(x, training=False)
        if scope.losses:
            raise ValueError(
                "`fit_many` minimizes the squares of the outputs alone: leave out losses added "
                "inside the network (`activity_regularizer`, `add_loss`). "
                f"Received: model={self.network.name} with {len(scope.losses)} such losses"
            )
        flat = keras.tree.flatten(outputs)
        if len(flat) != 1:
            raise ValueError(
                "`fit_many` needs a model with one output: concatenate several to one. "
                f"Received: model={self.network.name} with {len(flat)} outputs"
            )
        if getattr(flat[0], "_keras_mask", None) is not None:
            raise ValueError(
                "`fit_many` takes no masks: give padding a `sample_weight` of 0, and leave the "
                f"masking layer out. Received: model={self.network.name}, whose output has a mask"
            )
        return flat[0]

    def spec(self, x):
        """The shape of the output of one point, and its dtype."""
        w = tf.TensorSpec([self.weights.size], self.weights.dtype)
        first = tf.nest.map_structure(
            lambda leaf: tf.TensorSpec(leaf.shape[(0 if self.shared else 1) :], leaf.dtype), x
        )
        call = tf.function(self._call, autograph=False).get_concrete_function(w, first)
        return call.structured_outputs

    def check_points_are_apart(self, w, x):
        """Refuses a network whose output for a point depends on the other points."""
        first = x if self.shared else tf.nest.map_structure(lambda leaf: leaf[0], x)
        with self.weights.scope(w):
            together = self.network(first, training=False)
            last = tf.nest.map_structure(lambda leaf: leaf[-1:], first)
            alone = self.network(last, training=False)
        if bool(differs_alone(together, alone, -1)):
            raise ValueError(
                "Each point's output must depend on that point alone: leave out layers that mix "
                f"the examples of a batch. Received: model={self.network.name}, whose output for "
                "the last point is another without the points before it"
            )


# A backward pass for each number of a point's output: up to here side by side in the graph.
_NUMBERS_UNROLLED = 8
