import keras
import numpy as np
import tensorflow as tf

from .levenberg_marquardt.jacobian import LayeredJacobian, differs_alone

_FLOATS_AT_A_TIME = 2**24  # of the Jacobian: 128 MiB in float64


class OutputJacobian:
    """The outputs of a model and their derivatives in its weights, chunk by chunk as NumPy.

    Args:
        model: A built Keras model, run with `training=False`.
        weights: Its `FlatWeights`.
    """

    def __init__(self, model, weights):
        self.model = model
        self.weights = weights
        self._functions = {}
        self._structure = None

    def chunks(self, x):
        """Yields `(start, outputs, masks, J)` for each chunk of the examples in `x`.

        `outputs` and `masks` are lists with one array an output, a mask None where there is none;
        J is (examples, values of all outputs, weights).
        """
        x = tf.nest.map_structure(self._tensor, x)
        leaves = tf.nest.flatten(x)
        function, w = self._traced(x), self.weights.vector()
        rows = sum(spec.shape[1:].num_elements() for spec in function.structured_outputs[0])
        self._check_examples_are_apart(function, w, x)
        step = max(1, _FLOATS_AT_A_TIME // (rows * self.weights.size))
        for start in range(0, int(leaves[0].shape[0]), step):
            part = tf.nest.map_structure(lambda leaf, i=start: leaf[i : i + step], x)
            outputs, masks, J = function(w, part)
            masks = [None if mask.shape.rank == 0 else mask.numpy() for mask in masks]
            *outputs, J = (_finite(tensor) for tensor in (*outputs, J))
            yield start, outputs, masks, J

    def structure(self, x):
        """The structure of the outputs for such inputs, with a number in place of each."""
        self._traced(tf.nest.map_structure(self._tensor, x))
        return self._structure

    def structured(self, outputs):
        """A flat list of outputs in the structure that the model returns."""
        return keras.tree.pack_sequence_as(self._structure, outputs)

    def _traced(self, x):
        """The graph for any number of such examples."""
        flat = tf.nest.flatten(x)
        specs = [tf.TensorSpec([None, *leaf.shape[1:]], leaf.dtype) for leaf in flat]
        specs = tf.nest.pack_sequence_as(x, specs)
        key = str(specs)
        if key not in self._functions:
            function = tf.function(self._outputs_and_jacobian, autograph=False)
            self._functions[key] = function.get_concrete_function(self.weights.vector(), specs)
        return self._functions[key]

    def _tensor(self, leaf):
        tensor = tf.convert_to_tensor(leaf)
        return tf.cast(tensor, self.weights.dtype) if tensor.dtype.is_floating else tensor

    def _check_examples_are_apart(self, function, w, x):
        """The Jacobian of a layer that mixes the examples of a batch would be another one."""
        two, last = ([leaf[start:] for leaf in tf.nest.flatten(x)] for start in (-2, -1))
        together, alone = (
            function(w, tf.nest.pack_sequence_as(x, part))[0] for part in (two, last)
        )
        for a, b in zip(together, alone, strict=True):
            if differs_alone(a, b, -1):
                raise ValueError(
                    "Each example's outputs must depend on that example alone: leave out layers "
                    "that mix the examples of a batch. "
                    f"Received: model={self.model.name}, whose last output is another without "
                    "the example before it"
                )

    def _outputs_and_jacobian(self, w, x):
        with self.weights.scope(w):
            outputs = self.model(x, training=False)
        self._structure = keras.tree.map_structure(lambda _: 0, outputs)
        outputs = keras.tree.flatten(outputs)
        none = tf.constant(True)  # a scalar stands for no mask
        masks = [getattr(z, "_keras_mask", None) for z in outputs]
        masks = [none if mask is None else mask for mask in masks]
        rows = sum(z.shape[1:].num_elements() for z in outputs)
        examples = tf.shape(tf.nest.flatten(x)[0])[0]
        jacobian = LayeredJacobian(self.model, self.weights, x, rows)
        each_value = tf.eye(rows, batch_shape=[examples], dtype=w.dtype)
        columns = jacobian.columns(jacobian.data(jacobian.run(w, x), each_value))
        J = tf.reshape(tf.transpose(columns), [examples, rows, self.weights.size])
        return [tf.identity(z) for z in outputs], masks, J


def _finite(tensor):
    array = tensor.numpy().astype("float64")
    if not np.isfinite(array).all():
        raise ValueError(
            "The model's outputs and their derivatives in the weights must be finite: they decide "
            "how far the weights are uncertain. Received: outputs or derivatives of NaN or Inf"
        )
    return array
