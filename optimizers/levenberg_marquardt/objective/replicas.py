import keras
import tensorflow as tf

# How long a worker waits for the others before it gives up.
TIMEOUT_SECONDS = 600.0


class Replicas:
    """The devices that hold the weights: those of this process, and those of other workers.

    Each replica takes its share of the rows of a batch. A process runs its own devices side by side
    in one graph, and only what has to cross to another worker goes through the strategy's
    collectives: these work inside a loop, where those of `MirroredStrategy` do not.

    Args:
        variables: The trainable variables, whose strategy it is.

    Attributes:
        num_replicas: Of all workers.
        devices: Those of this process.
        several_workers: Whether there are others than this process.
        workers_here: How many of them run on this machine, this one included.
    """

    def __init__(self, variables):
        strategies = {id(s): s for s in map(_strategy_of, variables)}
        if len(strategies) > 1:
            raise ValueError(
                "All trainable weights must be made in one `strategy.scope()`, or all outside. "
                f"Received: strategies={[type(s).__name__ for s in strategies.values()]}"
            )
        (self.strategy,) = strategies.values() or (None,)
        if self.strategy is None:
            self.num_replicas, self.devices, self._ids = 1, (None,), (0,)
            self.several_workers, self.workers_here = False, 1
            return
        known = (
            tf.distribute.MirroredStrategy,
            tf.distribute.MultiWorkerMirroredStrategy,
            tf.distribute.OneDeviceStrategy,
        )
        if not isinstance(self.strategy, known):
            raise ValueError(
                "Levenberg-Marquardt runs under MirroredStrategy, MultiWorkerMirroredStrategy and "
                f"OneDeviceStrategy. Received: strategy={type(self.strategy).__name__}"
            )
        self.num_replicas = self.strategy.num_replicas_in_sync
        self.devices = self.strategy.extended.worker_devices
        ids = self.strategy.experimental_distribute_values_from_function(
            lambda context: context.replica_id_in_sync_group
        )
        self._ids = [int(i) for i in self.strategy.experimental_local_results(ids)]
        self.several_workers = len(self.devices) < self.num_replicas
        self.workers_here = _on_this_machine(self.strategy) if self.several_workers else 1

    def bounds(self, rows):
        """Where the share of each replica of this process begins and ends."""
        n = self.num_replicas
        return [(rows * i // n, rows * (i + 1) // n) for i in self._ids]

    def shares(self, tensors):
        """The rows of each replica of this process."""
        return [_rows(tensors, a, b) for a, b in self.bounds(row_count(tensors))]

    def sum(self, tensor):
        """The sum over the workers of a tensor that each has."""
        if not self.several_workers:
            return tensor
        options = tf.distribute.experimental.CommunicationOptions(timeout_seconds=TIMEOUT_SECONDS)

        def all_reduce():
            context = tf.distribute.get_replica_context()
            # A worker sums over its own devices by itself: one of them speaks for all.
            first = context.replica_id_in_sync_group == self._ids[0]
            value = tf.where(first, tensor, tf.zeros_like(tensor))
            return context.all_reduce(tf.distribute.ReduceOp.SUM, value, options)

        summed = self.strategy.run(all_reduce)
        return tf.ensure_shape(self.strategy.experimental_local_results(summed)[0], tensor.shape)

    def join_rows(self, shares, rows, axis=0, entries=1):
        """The whole batch of which the replicas of this process have these shares.

        Args:
            shares: Tensors of `bounds(rows)`, in order.
            rows: Of the whole batch.
            axis: Where they are.
            entries: That each row has on this axis.
        """
        if not self.several_workers:
            return tf.concat(shares, axis=axis)
        dtype = shares[0].dtype
        if not dtype.is_floating:
            shares = [tf.cast(share, tf.int32) for share in shares]
        return tf.cast(self.sum(self.among_zeros(shares, rows, axis, entries)), dtype)

    def among_zeros(self, shares, rows, axis=0, entries=1):
        """As `join_rows`, with zeros for the rows of other workers."""
        joined = tf.concat(shares, axis=axis)
        if not self.several_workers:
            return joined
        bounds = self.bounds(rows)
        around = [[0, 0]] * joined.shape.rank
        around[axis] = [bounds[0][0] * entries, (rows - bounds[-1][1]) * entries]
        return tf.pad(joined, around)

    def smallest(self, value):
        """The smallest of a number that each worker has, as a number, while a graph is made."""
        if not self.several_workers:
            return value
        with tf.init_scope():
            own = [tf.constant(value, tf.float64)] * len(self.devices)
            return float(tf.reduce_min(tf.function(self.stack)(own)))

    def stack(self, tensors):
        """The tensors of all replicas, (replicas, ...), from those of this process."""
        return self.join_rows(tf.stack(tensors), self.num_replicas)

    def agreed(self, values):
        """The first worker's values for all: other machines may round otherwise.

        Workers that decide differently would wait for one another for ever.
        """
        if not self.several_workers:
            return values

        def from_first(value):
            value = tf.convert_to_tensor(value)
            number = tf.cast(value, tf.int32) if value.dtype == tf.bool else value
            mine = number if self._ids[0] == 0 else tf.zeros_like(number)
            return tf.cast(self.sum(mine), value.dtype)

        return tf.nest.map_structure(from_first, values)

    def differ(self, tensors):
        """Whether another worker has other tensors than this one."""
        if not self.several_workers:
            return False
        sums = tf.stack([_fingerprint(t) for t in keras.tree.flatten(tensors) if t is not None])
        others = tf.abs(self.agreed(sums) - sums) > 1e-6 * tf.abs(sums)
        return self.sum(tf.cast(tf.reduce_any(others), tf.int32)) > 0


def row_count(tensors):
    """As a Python number where the graph knows it, so that the shares have known shapes too."""
    first = tf.nest.flatten(tensors)[0]
    return first.shape[0] if first.shape[0] is not None else tf.shape(first)[0]


def _rows(tensors, start, stop):
    return tf.nest.map_structure(lambda t: t[start:stop], tensors)


def _strategy_of(variable):
    return getattr(variable.value, "distribute_strategy", None)


def _on_this_machine(strategy):
    """How many workers have the address of this one, but for the port."""
    resolver = strategy.cluster_resolver
    cluster = resolver.cluster_spec()
    here = cluster.task_address(resolver.task_type, resolver.task_id)
    addresses = [address for job in cluster.jobs for address in cluster.job_tasks(job)]
    return [_host(address) for address in addresses].count(_host(here))


def _host(address):
    return address.rsplit(":", 1)[0]


def _fingerprint(tensor):
    """A sum that changes when rows change places."""
    flat = tf.cast(tf.reshape(tensor, [-1]), tf.float64)
    return tf.reduce_sum(flat * (1.5 + tf.sin(tf.cast(tf.range(tf.size(flat)), tf.float64))))
