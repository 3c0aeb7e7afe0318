import copy
from typing import NamedTuple

import keras
import tensorflow as tf

from ..free_memory import free_memory
from ..jacobian import Chunks, Jacobian, JacobianOperator, LayeredJacobian, check_outputs
from .curvature import OutputCurvature, masks_of, side_by_side, with_masks
from .weight_penalty import WeightPenalty


class Linearization(NamedTuple):
    """The loss near w, whose curvature is `J^T J` and the penalty's."""

    loss: tf.Tensor  # F at w
    outputs: list  # z at w
    output_gradients: list  # dF/dz
    output_factors: list  # S (curvature/curvature.py)
    penalty_gradient: tf.Tensor
    penalty_curvature: tf.Tensor
    jacobian: Jacobian  # J, the rows of `S^T dz/dw`


class Objective:
    """A Keras loss on one batch as a function of the weight vector w.

    Args:
        network: Keras model, run with `training=False`: dropout masks and batch statistics would
            make the loss of the batch another function than the sum over its examples.
        weights: The `FlatWeights` that w stands for.
        loss: Function of the network's outputs to the scalar Keras loss F of the whole batch,
            regularizers included.
        families_of: Function of the structure of the network's outputs to the `LossFamily` of each,
            flattened.
        x: Inputs of the batch.
    """

    num_replicas = num_devices = 1

    def __init__(self, network, weights, loss, families_of, x):
        inputs = keras.tree.flatten(x)
        if not all(isinstance(leaf, tf.Tensor) for leaf in inputs):
            raise ValueError(
                "The inputs must be dense tensors: give a sparse array as a dense one, and pad and "
                f"mask what is ragged. Received: inputs={inputs}"
            )
        self.network = network
        self.weights = weights
        self.x = x
        self._loss = loss
        self._traced = self._trace()
        self.specs, self._mask_specs = self._traced.structured_outputs
        check_outputs(self.specs)
        sizes = [spec.shape[1:].num_elements() for spec in self.specs]
        self.rows = sum(sizes)  # of J, an example
        families = families_of(self._structure)
        self.curvature = OutputCurvature(families, sizes, lambda z: self._loss(self.structured(z)))
        self.penalty = WeightPenalty(weights)
        first = tf.nest.flatten(x)[0]
        self.layered_jacobian = LayeredJacobian(network, weights, x, self.rows)
        self.chunks = Chunks(tf.shape(first)[0], first.shape[0], examples=1)
        self._made = {}

    def in_chunks(self, rows_at_a_time):
        """The same objective, with so many rows of the Jacobian held at a time."""
        objective, chunks = copy.copy(self), self.chunks
        examples = max(1, rows_at_a_time // self.rows)
        objective.chunks = Chunks(chunks.batch, chunks.static_batch, examples)
        objective._made = {}
        return objective

    @property
    def quadratic(self):
        """Whether changes of the loss have a form free of cancellation (gain_ratio.py)."""
        return self.curvature.quadratic and self.penalty.quadratic

    def outputs(self, w):
        """The network's outputs for the whole batch as a flat list, run chunk by chunk."""
        outputs, masks = self._run_in_chunks(w)
        for i, mask in zip(self._masked, masks, strict=True):
            outputs[i]._keras_mask = mask
        return outputs

    def outputs_of_example(self, w, i):
        """Its outputs when it is run alone."""
        return self._traced(w, tf.nest.map_structure(lambda leaf: leaf[i : i + 1], self.x))[0]

    def loss(self, w, z):
        """F, with the regularizers at w; no metric notices."""
        # Without regularizers the weights need no value, and need not be taken apart.
        scope = self.weights.scope(w) if self.penalty.regularized else self.weights.scope_of([], [])
        with scope:
            return tf.cast(self._loss(self.structured(z)), w.dtype)

    def made_once(self, name, compute):
        """`compute` as a graph that all its callers share: to make operations takes far longer
        than to run them."""
        if name not in self._made:

            def with_masks_apart(*arguments):
                results = compute(*arguments)
                return results, masks_of(tf.nest.flatten(results))

            self._made[name] = tf.function(with_masks_apart, autograph=False)

        def run(*arguments):
            results, masks = self._made[name](*arguments)
            with_masks(tf.nest.flatten(results), masks)
            return results

        return run

    def gradient(self, w, z):
        """Of the loss at w, whose outputs are z."""
        with tf.GradientTape() as tape:
            tape.watch(z)
            loss = self.loss(w, z)
        gradients = tape.gradient(loss, z, unconnected_gradients="zero")
        return self.vector_jacobian_product(w, gradients)

    def linearize(self, w):
        """The outputs at w with the loss's gradient and curvature in them, the penalty's, and J."""
        run = None
        if self.chunks.only_one and self.rows == 1:
            run = self.layered_jacobian.run(w, self.x)
            z = run.outputs
        else:
            z = self.outputs(w)
        with self.weights.scope(w):
            loss, gradients, factors = self.curvature(z)
        jacobian = self.jacobian_at(w, factors, run)
        loss = tf.cast(loss, w.dtype)
        return Linearization(loss, z, gradients, factors, *self.penalty.derivatives(w), jacobian)

    def jacobian_at(self, w, factors, run=None):
        """J, the rows of `S^T dz/dw`, as a `JacobianOperator`.

        Args:
            w: The weights.
            factors: S of the outputs at w.
            run: What `LayeredJacobian.run` returned for w and the whole batch, if it is known.
        """

        def of_chunk(i):
            return self._data(w, *self.chunks.slice((self.x, factors), i), run)

        def of_examples(places):
            return self._data_of_examples(w, factors, places)

        def pullback(alpha):
            return self.vector_jacobian_product(w, self.curvature.combined(factors, alpha))

        layered = self.layered_jacobian
        return JacobianOperator(layered, self.chunks, of_chunk, of_examples, pullback)

    def _data_of_examples(self, w, factors, places):
        """What the layers keep of J for examples at these places in the batch."""
        chosen = tf.nest.map_structure(lambda t: tf.gather(t, places), (self.x, factors))
        return self._data(w, *chosen)

    def _data(self, w, x, factors, run=None):
        layered = self.layered_jacobian
        return layered.data(run or layered.run(w, x), self.curvature.rows(factors))

    def agreed(self, values):
        """Values on which all workers decide alike."""
        return values

    def free_memory(self):
        """Bytes that a step may count on, the same number for all workers."""
        return free_memory()

    def differs_between_workers(self, data):
        """Whether another worker has other data; False itself where there is no other."""
        return False

    def vector_jacobian_product(self, w, output_vectors):
        """`sum over the batch of v^T dz/dw` for v given like the outputs."""
        v = side_by_side(output_vectors)

        def add_chunk(i, total):
            with tf.GradientTape() as tape:
                tape.watch(w)
                outputs, _ = self._call_network(w, self.chunks.slice(self.x, i))
                z = side_by_side(outputs)
            v_chunk = tf.cast(self.chunks.slice(v, i), z.dtype)
            return (total + tape.gradient(z, w, v_chunk, unconnected_gradients="zero"),)

        return self.chunks.fold(add_chunk, tf.zeros_like(w))[0]

    def _call_network(self, w, x):
        with self.weights.scope(w) as scope:
            outputs = self.network(x, training=False)
        if scope.losses:
            raise ValueError(
                "Losses added inside the network (`activity_regularizer`, `add_loss`) are not "
                "functions of its outputs, so their curvature is out of reach: make the quantity "
                "an output with a loss of its own. "
                f"Received: model={self.network.name} with {len(scope.losses)} such losses"
            )
        self._structure = keras.tree.map_structure(lambda _: 0, outputs)
        flat = keras.tree.flatten(outputs)
        masks = [getattr(output, "_keras_mask", None) for output in flat]
        self._masked = [i for i, mask in enumerate(masks) if mask is not None]
        return [tf.identity(output) for output in flat], [masks[i] for i in self._masked]

    def _trace(self):
        """The network as a graph for any batch, made once however often it is called."""

        def any_batch(leaf):
            return tf.TensorSpec([None, *leaf.shape[1:]], leaf.dtype)

        w = tf.TensorSpec([self.weights.size], self.weights.dtype)
        x = tf.nest.map_structure(any_batch, self.x)
        return tf.function(self._call_network, autograph=False).get_concrete_function(w, x)

    def structured(self, z):
        """The flat list of outputs in the structure that the network returns."""
        return keras.tree.pack_sequence_as(self._structure, z)

    def _run_in_chunks(self, w):
        if self.chunks.only_one:
            return self._traced(w, self.x)
        specs = [*self.specs, *self._mask_specs]
        arrays = [self.chunks.array(spec.dtype, spec.shape) for spec in specs]

        def run_chunk(i, *arrays):
            outputs, masks = self._traced(w, self.chunks.slice(self.x, i))
            return tuple(a.write(i, t) for a, t in zip(arrays, [*outputs, *masks], strict=True))

        arrays = self.chunks.fold(run_chunk, *arrays)
        tensors = [
            tf.ensure_shape(array.concat(), spec.shape)
            for array, spec in zip(arrays, specs, strict=True)
        ]
        return tensors[: len(self.specs)], tensors[len(self.specs) :]
