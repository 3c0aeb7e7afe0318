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
            self.several_workers = False
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

    def join_rows(self, shares, rows):
        """The whole batch of which the replicas of this process have these shares."""
        joined = tf.concat(shares, axis=0)
        if not self.several_workers:
            return joined
        bounds = self.bounds(rows)
        around = [[bounds[0][0], rows - bounds[-1][1]], *[[0, 0]] * (joined.shape.rank - 1)]
        dtype = joined.dtype if joined.dtype.is_floating else tf.int32
        return tf.cast(self.sum(tf.pad(tf.cast(joined, dtype), around)), joined.dtype)

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


def _fingerprint(tensor):
    """A sum that changes when rows change places."""
    flat = tf.cast(tf.reshape(tensor, [-1]), tf.float64)
    return tf.reduce_sum(flat * (1.5 + tf.sin(tf.cast(tf.range(tf.size(flat)), tf.float64))))
