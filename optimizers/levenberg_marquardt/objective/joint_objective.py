from functools import partial

import tensorflow as tf

from ..jacobian import JacobianOfReplicas
from .objective import Linearization, Objective
from .replicas import row_count


class JointObjective(Objective):
    """The objective of a batch whose rows several replicas share among them.

    What costs time is done by each replica for its own rows: running the network, and the Jacobian
    with its square. The loss is cheap, and any loss at all if every process takes it of the outputs
    of the whole batch; so the step is that of one replica on that batch, whatever the reduction,
    the weights and the masks.
    """

    def __init__(self, replicas, network, weights, loss, families_of, x):
        self.num_replicas, self.num_devices = replicas.num_replicas, len(replicas.devices)
        self._replicas = replicas
        self._examples = row_count(x)
        self._parts = []
        for device, share in zip(replicas.devices, replicas.shares(x), strict=True):
            with tf.device(device):
                self._parts.append(Objective(network, weights, loss, families_of, share))
        super().__init__(network, weights, loss, families_of, x)

    def in_chunks(self, rows_at_a_time):
        objective = super().in_chunks(rows_at_a_time)
        objective._parts = [part.in_chunks(rows_at_a_time) for part in self._parts]
        return objective

    def made_once(self, name, compute):
        return compute  # collectives stay in the graph of the step

    def outputs(self, w):
        shares = self._on_each_device(lambda part: part.outputs(w))
        z = []
        for parts in zip(*shares, strict=True):
            joined = self._replicas.join_rows(parts, self._examples)
            if hasattr(parts[0], "_keras_mask"):
                masks = [part._keras_mask for part in parts]
                joined._keras_mask = self._replicas.join_rows(masks, self._examples)
            z.append(joined)
        return z

    def linearize(self, w):
        z = self.outputs(w)
        with self.weights.scope(w):
            loss, gradients, factors = self.curvature(z)
        operators = self._on_each_device(
            lambda part, share: part.jacobian_at(w, share), self._replicas.shares(factors)
        )
        jacobian = JacobianOfReplicas(
            operators,
            self._replicas,
            self.layered_jacobian,
            self.chunks,
            partial(self._data_of_examples, w, factors),
        )
        loss = tf.cast(loss, w.dtype)
        return Linearization(loss, z, gradients, factors, *self.penalty.derivatives(w), jacobian)

    def vector_jacobian_product(self, w, output_vectors):
        shares = self._replicas.shares(output_vectors)
        products = self._on_each_device(
            lambda part, share: part.vector_jacobian_product(w, share), shares
        )
        return self._replicas.sum(tf.add_n(products))

    def agreed(self, values):
        return self._replicas.agreed(values)

    def free_memory(self):
        # Workers on one machine share what it has.
        return self._replicas.smallest(super().free_memory() / self._replicas.workers_here)

    def differs_between_workers(self, data):
        return self._replicas.differ(data)

    def _on_each_device(self, run, *arguments):
        results = []
        for device, part, *own in zip(self._replicas.devices, self._parts, *arguments, strict=True):
            with tf.device(device):
                results.append(run(part, *own))
        return results
