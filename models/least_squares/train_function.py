"""What `fit` calls for a step, or for several at once: Keras's own loop, with less in between.

A batch that never changes is read once a fit. Of batches that change, as many are read at once as
one call takes steps. So the steps of a call follow each other with nothing in between, and XLA can
compile them as one program.

That takes it seconds. A small step, which is made of hundreds of tiny operations, is then much
faster: `jit_compile="auto"` does it where `steps_per_execution` asks for many steps a call, which
is for those who take thousands (`scripts/bench_levenberg_marquardt.py` prints both).
"""

import itertools
from functools import partial

import keras
import tensorflow as tf

from .data_checks import check_weights
from .step_report import is_over

# With "auto", XLA compiles from so many steps a call on.
_MANY_STEPS = 10
# Beyond, most of a step is matmul, and TensorFlow's own is faster.
_MOST_WEIGHTS = 128
_MOST_ENTRIES = 2**21  # of J


class NotForXLAError(Exception):
    """Of a network that XLA would compile to something else than TensorFlow runs."""


# What TensorFlow raises, before anything has run, for operations that XLA does not know; and ours.
_NOT_COMPILED = (
    NotForXLAError,
    tf.errors.InvalidArgumentError,
    tf.errors.NotFoundError,
    tf.errors.UnimplementedError,
)


class TrainFunction:
    """Takes the next step, or steps, of a fit; the logs are those of the last.

    Args:
        take_step: Function of a batch, whether XLA compiles it, and a remark on that for
            `optimizer.choice`; it returns the logs, with a "report".
        steps_at_once: How many steps a call takes.
        jit_compile: True, False or "auto", as `compile` was given it.
        obstacle: Function of a batch, or its `tf.TensorSpec`s, to why XLA should not compile its
            steps, or None.
        whole_batch: Whether all steps of a fit see the same batch.
        of_batches: Keras's own train function, for batches that are not read ahead.
    """

    def __init__(self, take_step, steps_at_once, jit_compile, obstacle, whole_batch, of_batches):
        self.take_step = take_step
        self.steps_at_once = steps_at_once
        self.compiles = steps_at_once >= _MANY_STEPS if jit_compile == "auto" else jit_compile
        self.must_compile = jit_compile is True
        self.has_compiled = False
        self.obstacle = obstacle
        self.whole_batch = whole_batch
        self.remark = ""
        self._of_batches = of_batches
        self._next = _graph(self._on_next)
        self._next_batches = tf.function(self._stacked, autograph=False)
        self._same, self._compiled_same = _graph(self._on_same), _program(self._on_same)
        self._each, self._compiled_each = _graph(self._on_each), _program(self._on_each)

    def __call__(self, iterator, watch):
        if not isinstance(iterator, tf.data.Iterator):  # as of `train_on_batch`
            return self._of_batches(iterator)
        if self.whole_batch:
            if watch.batch is None:
                watch.batch = _without_optionals(next(iterator))
                self._look_for_obstacles(watch.batch)
                if self.compiles:
                    _check_weights(watch.batch)
            return self._taken(self._same, self._compiled_same, watch.batch)
        spec = _without_optionals(iterator.element_spec)
        self._look_for_obstacles(spec)
        if self.compiles and _is_known(spec):
            return self._taken(self._each, self._compiled_each, *self._read(iterator))
        if self.compiles:
            return self._taken_by_size(iterator, watch)
        if self.steps_at_once > 1:
            return self._of_batches(iterator)
        try:
            return self._next(iterator)
        except tf.errors.OutOfRangeError:
            raise StopIteration from None

    def _look_for_obstacles(self, batch):
        if self.compiles:
            obstacle = self.obstacle(batch)
            if obstacle:
                self._give_up(obstacle)

    def _give_up(self, obstacle, error=None):
        if self.must_compile:
            raise ValueError(
                "`jit_compile=True` needs steps that XLA can compile, and that this makes faster: "
                f"leave it at 'auto'. Received: {obstacle}"
            ) from error
        self.compiles = False
        self.remark = f", not compiled by XLA ({obstacle})"

    def _taken(self, graph, program, *batch):
        if self.compiles:
            try:
                logs = program(*batch)
            except _NOT_COMPILED as error:
                if self.has_compiled:
                    raise
                ours = isinstance(error, NotForXLAError)
                self._give_up(
                    str(error) if ours else "it does not know all operations of the step", error
                )
            else:
                self.has_compiled = True
                return logs
        return graph(*batch)

    def _read(self, iterator):
        """As many batches as one call takes steps, (steps, ...), and how many there were."""
        batches, count = self._next_batches(iterator)
        if not count:
            raise StopIteration
        _check_weights(batches)
        return batches, count

    def _taken_by_size(self, iterator, watch):
        """For batches whose spec leaves their size open: XLA compiles those of the first size."""
        batches = [_without_optionals(b) for b in itertools.islice(iterator, self.steps_at_once)]
        logs = None
        for size, same in itertools.groupby(batches, _shapes):
            same = list(same)
            watch.batch_size = watch.batch_size or size
            repeated = same + same[-1:] * (self.steps_at_once - len(same))
            batch = _map(lambda *leaves: tf.stack(leaves), *repeated), tf.constant(len(same))
            _check_weights(batch[0])
            if size == watch.batch_size:
                logs = self._taken(self._each, self._compiled_each, *batch)
            else:
                logs = self._each(*batch)
        if logs is None:
            raise StopIteration
        return logs

    def _stacked(self, iterator):
        spec = _without_optionals(iterator.element_spec)
        arrays = _map(
            lambda leaf: tf.TensorArray(leaf.dtype, self.steps_at_once, element_shape=leaf.shape),
            spec,
        )

        def read(count, _, arrays):
            batch = iterator.get_next_as_optional()

            def write():
                leaves = _without_optionals(batch.get_value())
                return _map(lambda array, leaf: array.write(count, leaf), arrays, leaves)

            found = batch.has_value()
            return count + tf.cast(found, tf.int32), found, tf.cond(found, write, lambda: arrays)

        def goes_on(count, found, _):
            return found & (count < self.steps_at_once)

        count, _, arrays = tf.while_loop(goes_on, read, (0, True, arrays))
        return _map(lambda array: array.stack(), arrays), count

    def _on_next(self, iterator, compiled):
        batch = _without_optionals(iterator.get_next())
        return self.take_step(batch, compiled, self.remark)

    def _on_same(self, batch, compiled):
        return self._repeated(lambda taken: batch, self.steps_at_once, compiled)

    def _on_each(self, batches, count, compiled):
        return self._repeated(
            lambda taken: _map(lambda leaf: leaf[taken], batches), count, compiled
        )

    def _repeated(self, batch, count, compiled):
        remark = ", compiled by XLA" if compiled else self.remark
        if self.steps_at_once == 1:
            return self.take_step(batch(0), compiled, remark)
        step = tf.function(lambda batch: self.take_step(batch, compiled, remark), autograph=False)
        step = step.get_concrete_function(batch(0))
        nothing = tf.nest.map_structure(
            lambda log: tf.zeros(log.shape, log.dtype), step.structured_outputs
        )

        def goes_on(taken, logs):
            more = taken < count
            return more & ~is_over(logs["report"]) if self.whole_batch else more

        def body(taken, _):
            return taken + 1, step(batch(taken))

        return tf.while_loop(goes_on, body, (0, nothing))[1]


def obstacle_to_compiling(optimizer, replicas, batch):
    """Why XLA cannot compile steps on such a batch, or would not make them faster; else None.

    Args:
        optimizer: The `LevenbergMarquardt`.
        replicas: The `Replicas`.
        batch: Tensors or `tf.TensorSpec`s of inputs, targets and sample weights.
    """
    leaves = [leaf for leaf in tf.nest.flatten(batch) if hasattr(leaf, "shape")]
    if replicas.num_replicas > 1:
        return "several devices"
    if tf.config.list_logical_devices("GPU"):
        return "a GPU, where TensorFlow's own operations are fast"
    double = optimizer.weights.dtype == tf.float64
    if optimizer.solver != "cholesky" and (double or optimizer.solver != "auto"):
        return "another solver than 'cholesky'"
    if double and optimizer.polish is not False:
        return "the polish"
    if optimizer.momentum or optimizer.jacobian_rows != "auto":
        return "`momentum` or `jacobian_rows`"
    if optimizer.weights.size > _MOST_WEIGHTS:
        return f"more than {_MOST_WEIGHTS} weights"
    if not all(leaf.dtype.is_floating for leaf in leaves):
        # XLA takes another row for an index that is out of range, and says nothing.
        return "data of integers or text"
    if not all(leaf.shape[1:].is_fully_defined() for leaf in leaves):
        return "examples of unknown shape"
    examples = leaves[0].shape[0] or optimizer.examples_expected
    targets = tf.nest.flatten(keras.utils.unpack_x_y_sample_weight(batch)[1])
    outputs = sum(leaf.shape[1:].num_elements() for leaf in targets if leaf is not None)
    residuals = examples * outputs
    if residuals * optimizer.weights.size > _MOST_ENTRIES:
        return "a large Jacobian"
    return None


def check_operations(kinds):
    """Refuses networks with an error that XLA would leave out without a word.

    Args:
        kinds: Types of the operations of the network.
    """
    if any(kind.startswith("Gather") for kind in kinds):
        raise NotForXLAError("a lookup, whose indices XLA does not check")
    if "Assert" in kinds:
        raise NotForXLAError("an assertion in the network, which XLA leaves out")


def _graph(steps):
    return tf.function(partial(steps, compiled=False), autograph=False, reduce_retracing=True)


def _program(steps):
    return tf.function(partial(steps, compiled=True), autograph=False, jit_compile=True)


def _without_optionals(data):
    """tf.data hands a None out as an empty `Optional`."""
    return keras.tree.map_structure(
        lambda leaf: None if isinstance(leaf, tf.experimental.Optional) else leaf, data
    )


def _check_weights(batch):
    """Before the step: XLA leaves out the assertion that a graph has."""
    check_weights(keras.utils.unpack_x_y_sample_weight(batch)[2])


def _is_known(spec):
    return all(leaf.shape.is_fully_defined() for leaf in tf.nest.flatten(spec) if leaf is not None)


def _shapes(batch):
    return [tuple(leaf.shape) for leaf in tf.nest.flatten(batch) if leaf is not None]


def _map(function, *structures):
    """`function` of the tensors; None stays."""
    return keras.tree.map_structure(
        lambda *leaves: None if leaves[0] is None else function(*leaves), *structures
    )
