from collections.abc import Callable
from typing import NamedTuple

import keras
import tensorflow as tf

from ..jacobian import LayeredJacobian, check_outputs
from .curvature import OutputCurvature
from .weight_penalty import WeightPenalty


class Linearization(NamedTuple):
    """The loss near w: `F(w + s) = F + g^T s + s^T J^T J s / 2`."""

    outputs: list  # z at w
    output_gradients: list  # dF/dz
    output_factors: list  # S (curvature/curvature.py)
    penalty_gradient: tf.Tensor
    penalty_curvature: tf.Tensor
    layers: Callable  # of a chunk's number, to what the layers keep of it (jacobian/)
    gradient: tf.Tensor = None  # g, (weights,)
    system: tf.Tensor = None  # what the linear solver keeps of J


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

    num_replicas = 1

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
        families = families_of(self._structure)
        self.curvature = OutputCurvature(families, lambda z: self._loss(self.structured(z)))
        self.penalty = WeightPenalty(weights)
        first = tf.nest.flatten(x)[0]
        self.batch = tf.shape(first)[0]
        self._sizes = [spec.shape[1:].num_elements() for spec in self.specs]
        self.rows = sum(self._sizes)  # of J, an example
        self.jacobian = LayeredJacobian(network, weights, x, self.rows)
        self.static_batch = first.shape[0]
        self.divide(self.rows)

    def divide(self, rows_at_a_time):
        """Sets how many rows of the Jacobian are held at a time."""
        self._chunk = max(1, rows_at_a_time // self.rows)  # examples
        self.num_chunks = -(-self.batch // self._chunk)
        # Known when the graph is made, it needs no loop.
        self.one_chunk = self.static_batch is not None and self.static_batch <= self._chunk

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

    def has_finite_gradient(self, w, z):
        """Whether the gradient of the loss at w, whose outputs are z, is finite everywhere."""
        with tf.GradientTape() as tape:
            tape.watch(z)
            loss = self.loss(w, z)
        gradients = tape.gradient(loss, z, unconnected_gradients="zero")
        return tf.reduce_all(tf.math.is_finite(self.vector_jacobian_product(w, gradients)))

    def linearize(self, w):
        """The loss and its curvature in the outputs; the solvers add what they need of J."""
        run = None
        if self.one_chunk and self.rows == 1:
            run = self.jacobian.run(w, self.x)
            z = run.outputs
        else:
            z = self.outputs(w)
        with self.weights.scope(w):
            gradients, factors = self.curvature(z)
        layers = self.layers_near(w, factors, run)
        return Linearization(z, gradients, factors, *self.penalty.derivatives(w), layers)

    def layers_near(self, w, factors, run=None):
        """Function of a chunk's number to what the layers keep of it."""

        def layers(i):
            of_chunk = run or self.jacobian.run(w, self.slice(self.x, i))
            return self.jacobian.data(of_chunk, self._cotangents(self.slice(factors, i)))

        if self.one_chunk:
            data = layers(0)
            return lambda i: data
        return layers

    def layers_of_examples(self, w, factors, chosen):
        """What the layers keep of some examples, given by their places in the batch."""
        x, factors = tf.nest.map_structure(lambda t: tf.gather(t, chosen), (self.x, factors))
        return self.jacobian.data(self.jacobian.run(w, x), self._cotangents(factors))

    def accumulate(self, solver, near_w, w):
        """The solver's system of all rows of the batch."""
        return solver.accumulate(self, near_w, w)

    def agreed(self, values):
        """Values on which all workers decide alike."""
        return values

    def differs_between_workers(self, data):
        return False

    def over_chunks(self, add_chunk, *totals):
        """Goes over the batch in chunks: `add_chunk(i, *totals)` gives the next totals."""
        if self.one_chunk:
            return add_chunk(0, *totals)
        return tf.while_loop(
            lambda i, *_: i < self.num_chunks,
            lambda i, *totals: (i + 1, *add_chunk(i, *totals)),
            (0, *totals),
        )[1:]

    def concatenated(self, of_chunk, dtype, inner_shape):
        """What a function of a chunk's number gives for all chunks, row below row."""
        if self.one_chunk:
            return of_chunk(0)
        chunks = tf.TensorArray(
            dtype, self.num_chunks, infer_shape=False, element_shape=[None, *inner_shape]
        )
        (chunks,) = self.over_chunks(lambda i, chunks: (chunks.write(i, of_chunk(i)),), chunks)
        return chunks.concat()

    def mv(self, linearization, v):
        """`J v`, (batch * rows,)."""
        values = self.weights.split(v)

        def of_chunk(i):
            return tf.reduce_sum(self.jacobian.mv(linearization.layers(i), values), axis=0)

        return self.concatenated(of_chunk, v.dtype, [])

    def transpose_mv(self, w, linearization, alpha):
        """`J^T alpha` for one number a row, (batch * rows,)."""
        alpha = tf.reshape(alpha, [-1, self.rows])
        if self.one_chunk:
            return self.jacobian.transpose_mv(linearization.layers(0), alpha)
        v = [
            tf.reshape(family.mv(factor, tf.cast(of_output, factor.dtype)), tf.shape(z))
            for family, factor, of_output, z in zip(
                self.curvature.families,
                linearization.output_factors,
                tf.split(alpha, self._sizes, axis=1),
                linearization.outputs,
                strict=True,
            )
        ]
        return self.vector_jacobian_product(w, v)

    def vector_jacobian_product(self, w, output_vectors):
        """`sum over the batch of v^T dz/dw` for v given like the outputs."""
        v = flat(output_vectors)

        def add_chunk(i, total):
            with tf.GradientTape() as tape:
                tape.watch(w)
                outputs, _ = self._call_network(w, self.slice(self.x, i))
                z = flat(outputs)
            v_chunk = tf.cast(self.slice(v, i), z.dtype)
            return (total + tape.gradient(z, w, v_chunk, unconnected_gradients="zero"),)

        return self.over_chunks(add_chunk, tf.zeros_like(w))[0]

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

    def slice(self, tensors, i):
        if self.one_chunk:
            return tensors
        start = i * self._chunk
        return tf.nest.map_structure(lambda t: t[start : start + self._chunk], tensors)

    def _run_in_chunks(self, w):
        if self.one_chunk:
            return self._traced(w, self.x)
        specs = [*self.specs, *self._mask_specs]
        arrays = [
            tf.TensorArray(spec.dtype, self.num_chunks, infer_shape=False, element_shape=spec.shape)
            for spec in specs
        ]

        def run_chunk(i, *arrays):
            outputs, masks = self._traced(w, self.slice(self.x, i))
            return tuple(a.write(i, t) for a, t in zip(arrays, [*outputs, *masks], strict=True))

        arrays = self.over_chunks(run_chunk, *arrays)
        tensors = [
            tf.ensure_shape(array.concat(), spec.shape)
            for array, spec in zip(arrays, specs, strict=True)
        ]
        return tensors[: len(self.specs)], tensors[len(self.specs) :]

    def _cotangents(self, factors):
        """`S^T` over all outputs side by side, (examples, rows, outputs)."""
        blocks = []
        before, after = 0, self.rows
        for family, factor, size in zip(self.curvature.families, factors, self._sizes, strict=True):
            after -= size
            rows = family.cotangents(factor)
            blocks.append(tf.pad(rows, [[0, 0], [0, 0], [before, after]]))
            before += size
        return tf.concat(blocks, axis=1)


def flat(tensors):
    """(batch, outputs) of a list of (batch, ...)."""
    return tf.concat([tf.reshape(t, [tf.shape(t)[0], -1]) for t in tensors], axis=1)
