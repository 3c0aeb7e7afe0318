from typing import NamedTuple

import keras
import tensorflow as tf

from .jacobian import gradient, jacobian_rows
from .network_layers import has_loops, unrolled
from .output_curvature import OutputCurvature, cotangents, residuals
from .weight_penalty import WeightPenalty


class Linearization(NamedTuple):
    """The loss near w: `F(w + s) = F + g^T s + s^T J^T J s / 2`."""

    system: tf.Tensor  # what the linear solver keeps of J
    gradient: tf.Tensor  # g, (weights,)
    outputs: list  # z at w
    output_gradients: list  # dF/dz
    output_factors: list  # S of output_curvature.py
    penalty_gradient: tf.Tensor
    penalty_curvature: tf.Tensor


class Objective:
    """A Keras loss on one batch as a function of the weight vector w.

    Args:
        network: Keras model, run with `training=False`: dropout masks and batch statistics would
            make the loss of the batch another function than the sum over its examples.
        weights: The `FlatWeights` that w stands for.
        loss: Function of the network's outputs to the scalar Keras loss F of the whole batch,
            regularizers included.
        forms_of: Function of the structure of the network's outputs to the curvature form of each
            (output_curvature.py), flattened.
        x: Inputs of the batch.
        jacobian_rows: Rows of the Jacobian held at a time.
    """

    num_replicas = 1

    def __init__(self, network, weights, loss, forms_of, x, jacobian_rows):
        self.network = network
        self.weights = weights
        self.x = x
        self._loss = loss
        self._traced = self._trace()
        self._specs, self._mask_specs = self._traced.structured_outputs
        if not all(spec.shape[1:].is_fully_defined() for spec in self._specs):
            raise ValueError(
                "The shape of each output must be known but for the batch: give the inputs a "
                "fixed length, and pad and mask what is shorter. "
                f"Received: output shapes={[tuple(spec.shape) for spec in self._specs]}"
            )
        forms = forms_of(self._structure)
        self.curvature = OutputCurvature(forms, lambda z: self._loss(self.structured(z)))
        self.penalty = WeightPenalty(weights)
        first = tf.nest.flatten(x)[0]
        self._batch = tf.shape(first)[0]
        outputs = sum(spec.shape[1:].num_elements() for spec in self._specs)
        self._chunk = max(1, jacobian_rows // outputs)  # examples
        self._num_chunks = -(-self._batch // self._chunk)
        # Known when the graph is made, it needs no loop.
        self._one_chunk = first.shape[0] is not None and first.shape[0] <= self._chunk

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

    def outputs_of_first_example(self, w):
        return self._traced(w, tf.nest.map_structure(lambda leaf: leaf[:1], self.x))[0]

    def loss(self, w, z):
        """F, with the regularizers at w; no metric notices."""
        with self.weights.scope(w):
            return tf.cast(self._loss(self.structured(z)), w.dtype)

    def linearize(self, w, solver):
        """Everything a step needs to know about the loss near w."""
        z = self.outputs(w)
        with self.weights.scope(w):
            gradients, factors = self.curvature(z)
        system, g = self.normal_equations(w, gradients, factors, solver)
        penalty_gradient, penalty_curvature = self.penalty.derivatives(w)
        if self.penalty.regularized:
            root = tf.sqrt(penalty_curvature)
            r_penalty = tf.math.divide_no_nan(penalty_gradient, root)
            system = solver.add(system, tf.linalg.diag(root), r_penalty)
            g += penalty_gradient
        return Linearization(system, g, z, gradients, factors, penalty_gradient, penalty_curvature)

    def normal_equations(self, w, gradients, factors, solver):
        """What the solver keeps of J, and the gradient, of the loss without the penalty."""
        r = residuals(gradients, factors) if self.quadratic else tf.zeros([self._batch, 0], w.dtype)

        def add_chunk(i, system, g):
            x = self._slice(self.x, i)
            S_t = self._cotangents(self._slice(factors, i))
            J = self._jacobian_rows(w, x, tf.cast(S_t, w.dtype))
            if self.quadratic:
                r_chunk = tf.cast(tf.reshape(self._slice(r, i), [-1]), w.dtype)
                g += tf.linalg.matvec(J, r_chunk, transpose_a=True)
            else:
                r_chunk = tf.zeros(tf.shape(J)[:1], w.dtype)
                z_bar = tf.cast(_flat(self._slice(gradients, i)), w.dtype)
                g += gradient(self._forward, w, x, z_bar)
            return solver.add(system, J, r_chunk), g

        empty = solver.empty(self.weights.size, w.dtype)
        return self._over_chunks(add_chunk, empty, tf.zeros_like(w))

    def vector_jacobian_product(self, w, output_vectors):
        """`sum over the batch of v^T dz/dw` for v given like the outputs."""
        v = _flat(output_vectors)

        def add_chunk(i, total):
            v_chunk = tf.cast(self._slice(v, i), w.dtype)
            return (total + gradient(self._forward, w, self._slice(self.x, i), v_chunk),)

        return self._over_chunks(add_chunk, tf.zeros_like(w))[0]

    def agreed(self, values):
        """Values on which all workers decide alike."""
        return values

    def differs_between_workers(self, data):
        return False

    def _jacobian_rows(self, w, x, cotangents):
        known_shapes = all(leaf.shape[1:].is_fully_defined() for leaf in tf.nest.flatten(x))
        if known_shapes:
            with unrolled(self.network):
                return jacobian_rows(self._forward, w, x, cotangents)
        side_by_side = not has_loops(self.network)
        return jacobian_rows(self._forward, w, x, cotangents, side_by_side)

    def _forward(self, w, x):
        """Outputs of some examples, (examples, outputs)."""
        # Not the traced function: inside it a vectorized map would make a copy of w an example.
        outputs, _ = self._call_network(w, x)
        return tf.cast(_flat(outputs), w.dtype)

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

    def _slice(self, tensors, i):
        if self._one_chunk:
            return tensors
        start = i * self._chunk
        return tf.nest.map_structure(lambda t: t[start : start + self._chunk], tensors)

    def _over_chunks(self, add_chunk, *totals):
        if self._one_chunk:
            return add_chunk(0, *totals)
        return tf.while_loop(
            lambda i, *_: i < self._num_chunks,
            lambda i, *totals: (i + 1, *add_chunk(i, *totals)),
            (0, *totals),
        )[1:]

    def _run_in_chunks(self, w):
        if self._one_chunk:
            return self._traced(w, self.x)
        specs = [*self._specs, *self._mask_specs]
        arrays = [
            tf.TensorArray(
                spec.dtype, self._num_chunks, infer_shape=False, element_shape=spec.shape
            )
            for spec in specs
        ]

        def run_chunk(i, *arrays):
            outputs, masks = self._traced(w, self._slice(self.x, i))
            return tuple(a.write(i, t) for a, t in zip(arrays, [*outputs, *masks], strict=True))

        arrays = self._over_chunks(run_chunk, *arrays)
        tensors = [
            tf.ensure_shape(array.concat(), spec.shape)
            for array, spec in zip(arrays, specs, strict=True)
        ]
        return tensors[: len(self._specs)], tensors[len(self._specs) :]

    def _cotangents(self, factors):
        """`S^T` over all outputs side by side, (examples, rows, outputs)."""
        blocks = []
        before, after = 0, sum(spec.shape[1:].num_elements() for spec in self._specs)
        for form, factor, spec in zip(self.curvature.forms, factors, self._specs, strict=True):
            size = spec.shape[1:].num_elements()
            after -= size
            rows = cotangents(form, factor)
            blocks.append(tf.pad(rows, [[0, 0], [0, 0], [before, after]]))
            before += size
        return tf.concat(blocks, axis=1)


def _flat(tensors):
    """(batch, outputs) of a list of (batch, ...)."""
    return tf.concat([tf.reshape(t, [tf.shape(t)[0], -1]) for t in tensors], axis=1)
