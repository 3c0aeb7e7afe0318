import tensorflow as tf

from .operator import Jacobian


class JacobianOfReplicas(Jacobian):
    """J of a batch whose rows several replicas share: each makes those of its own.

    What multiplies a vector takes the rows of each replica and is joined, or summed. Inner products
    want rows of one replica with those of another: what the layers keep of a chunk of rows, which
    is far less than the rows themselves, is made in shares and joined in all workers, and each
    replica multiplies it with its share of the other rows. So all pairs of rows are divided evenly,
    and no worker holds more than one device would. The inner products themselves are then in all
    workers, and each solves for the step by itself.

    The workers run the same collectives in the same order: loops with collectives in them take one
    turn at a time. In all turns a collective must take tensors of one shape.

    Args:
        operators: The `JacobianOperator` of each device of this process, for its share.
        replicas: The `Replicas`.
        layered: The `LayeredJacobian`.
        chunks: The `Chunks` of the whole batch.
        data_of_examples: Function of places in the whole batch to what the layers keep of these
            examples.
    """

    def __init__(self, operators, replicas, layered, chunks, data_of_examples):
        super().__init__(layered, chunks.one_by_one())
        self.operators = operators
        self.replicas = replicas
        self._data_of = data_of_examples

    def mv(self, v):
        return self._joined(lambda operator: operator.mv(v))

    def mv_by_variable(self, v):
        return self._joined(lambda operator: operator.mv_by_variable(v), axis=1)

    def transpose_mv(self, alpha):
        shares = self.replicas.shares(tf.reshape(alpha, [-1, self.rows]))
        products = self._on_each_device(
            lambda operator, share: operator.transpose_mv(share), shares
        )
        return self.replicas.sum(tf.add_n(products))

    def squares(self):
        squares = self._on_each_device(lambda operator: operator.squares())
        return self.replicas.sum(tf.add_n(squares))

    def system(self, solver, r=None):
        shares = [None] * len(self.operators) if r is None else self.replicas.shares(r)
        systems = self._on_each_device(
            lambda operator, share: operator.system(solver, share), shares
        )
        if solver.systems_add_up:
            return tf.nest.map_structure(self.replicas.sum, solver.joined(systems))
        return solver.joined(tf.unstack(self.replicas.stack(systems), self.replicas.num_replicas))

    def columns(self, sample, count, factors):
        return self._joined(lambda operator: operator.columns(sample, count, factors))

    def data(self, i):
        first, count = self._places_of_chunk(i)
        if self.chunks.only_one and self._enough_for_all(count):
            shares = self._on_each_device(lambda operator: operator.data(0))
            sizes = [stop - start for start, stop in self.replicas.bounds(count)]
            return self._joined_data(shares, sizes, count)
        # The last chunk, which may be smaller, is filled up to the shape of the others.
        full = tf.minimum(self.chunks.examples, self.chunks.batch)
        return self.layered.slice(self._data_at(lambda k: first + k, full), 0, count, full)

    def _data_of_examples(self, places):
        return self._data_at(lambda k: tf.gather(places, k), tf.shape(places)[0])

    def _panel(self, data, start, stop, factors, groups):
        batch = self.chunks.static_batch
        others = self.layered.slice(data, start, stop, batch)

        def of_share(bounds):
            own = self.layered.slice(data, start + bounds[0], start + bounds[1], batch)
            return self.layered.gram(own, others, factors, groups)

        count = batch - start
        if not self._enough_for_all(count):
            return of_share((0, count))
        panels = self._on_devices(of_share, self.replicas.bounds(count))
        return self.replicas.join_rows(panels, count, axis=1, entries=self.rows)

    def _block(self, data, i, j, factors, groups):
        first, count = self._places_of_chunk(j)

        def of_share(bounds):
            own, size = self._data_of_share(lambda k: first + k, count, bounds)
            block = self.layered.gram(data, own, factors, groups)
            return block[:, :, : size * self.rows]

        blocks = self._on_devices(of_share, self.replicas.bounds(count))
        return self.replicas.among_zeros(blocks, count, axis=2, entries=self.rows)

    def _summed(self, products):
        return self.replicas.sum(products)

    def _places_of_chunk(self, i):
        """Where chunk i begins in the batch, and its examples."""
        chunks = self.chunks
        if chunks.only_one:
            return 0, chunks.static_batch
        first = i * chunks.examples
        return first, tf.minimum(chunks.examples, chunks.batch - first)

    def _data_at(self, place, count):
        """What the layers keep of `count` examples, the k-th at `place(k)`, made in shares."""
        made = self._on_devices(
            lambda bounds: self._data_of_share(place, count, bounds), self.replicas.bounds(count)
        )
        return self._joined_data([data for data, _ in made], [size for _, size in made], count)

    def _data_of_share(self, place, count, bounds):
        """Of one example at least, as some layers cannot do with none; and how many are wanted."""
        start, stop = bounds
        chosen = tf.minimum(tf.range(start, tf.maximum(stop, start + 1)), count - 1)
        chosen = tf.minimum(place(chosen), self.chunks.batch - 1)
        return self._data_of(chosen), stop - start

    def _joined_data(self, shares, sizes, count):
        """The data of `count` examples in all workers, from shares of these sizes."""

        def joined(*parts):
            entries = [
                tf.shape(part)[0] // tf.maximum(size, 1)
                for part, size in zip(parts, sizes, strict=True)
            ]
            parts = [
                part[: size * each] for part, size, each in zip(parts, sizes, entries, strict=True)
            ]
            return self.replicas.join_rows(parts, count, entries=entries[0])

        return tf.nest.map_structure(joined, *shares)

    def _enough_for_all(self, count):
        return count >= self.replicas.num_replicas

    def _joined(self, of_share, axis=0):
        """What a function of each operator gives, joined over the rows of all."""
        shares = self._on_each_device(of_share)
        batch = self.chunks.static_batch or self.chunks.batch
        return self.replicas.join_rows(shares, batch, axis=axis, entries=self.rows)

    def _on_each_device(self, run, *arguments):
        return self._on_devices(run, self.operators, *arguments)

    def _on_devices(self, run, *arguments):
        results = []
        for device, *own in zip(self.replicas.devices, *arguments, strict=True):
            with tf.device(device):
                results.append(run(*own))
        return results
