"""A function of one row, run for many rows: all at once where TensorFlow can, else one by one.

`tf.vectorized_map` turns the operations of one row into operations for all rows. Most of what it
cannot turn it refuses while the graph is made, and then `tf.map_fn` runs the rows one after the
other: slower, and right for everything. Left to itself it would instead wrap what it does not know
in a loop that fails later, for some data only: a gather from concatenated weights has a gradient
whose size depends on the numbers looked up. Two kinds of operations it takes and fails with when
the graph runs. `fails_at_once` finds these beforehand:

- a loop whose number of turns depends on the data, which is another one for every row,
- a function that XLA must compile, such as Keras's convolution in groups: it is taken apart, and
  what is left of it has no kernel.
"""

import contextlib
import itertools

import tensorflow as tf

from .layer_calls import holds_batch


@tf.autograph.experimental.do_not_convert
def for_each_row(function, rows, signature, at_once=True):
    """`function(row)` for each row, stacked.

    Args:
        function: Function of what `rows` holds for one row to a tensor.
        rows: Structure of tensors (rows, ...).
        signature: `tf.TensorSpec` of what the function returns.
        at_once: False: one by one in any case.
    """
    if at_once:
        # In a graph of its own, so that of a failure nothing is left in this one.
        vectorized = tf.function(
            lambda rows: tf.vectorized_map(function, rows, fallback_to_while_loop=False),
            autograph=False,
        )
        # TensorFlow raises errors of many kinds here. One that is the function's own comes again.
        with contextlib.suppress(Exception), _without_log():
            return vectorized(rows)
    return tf.map_fn(function, rows, fn_output_signature=signature)


def fails_at_once(graph, operations):
    """Whether operations of a `Recorder`'s graph are of a kind that would fail for many rows."""
    kinds = {operation.type for operation in operations}
    if kinds.isdisjoint(_WITH_FUNCTIONS):
        return False
    definition = graph.as_graph_def()
    functions = {f.signature.name: f for f in definition.library.function}
    main = _Nodes(definition.node, functions, lambda name: _holds_data(graph, name))
    return any(main.fails(operation.name) for operation in operations)


_LOOPS = ("While", "StatelessWhile")
_WITH_FUNCTIONS = (
    *_LOOPS,
    *("If", "StatelessIf", "Case", "StatelessCase", "PartitionedCall", "StatefulPartitionedCall"),
)


class _Nodes:
    """Nodes of a graph or of a function in it, by name.

    Args:
        nodes: Their definitions.
        functions: The definitions of all functions by name.
        is_data: Function of a name to whether its values differ between rows.
    """

    def __init__(self, nodes, functions, is_data):
        self.nodes = {node.name: node for node in nodes}
        self.functions = functions
        self.is_data = is_data

    def fails(self, name):
        node = self.nodes[name]
        if node.attr["_XlaMustCompile"].b:
            return True
        if node.op in _LOOPS and self._turns_depend_on_data(node):
            return True
        return any(self._fails_inside(function) for function in _functions_of(node))

    def _fails_inside(self, function):
        if function not in self.functions:  # such as a gradient that only exists by its name
            return False
        definition = self.functions[function]
        # Any argument may hold data.
        arguments = {argument.name for argument in definition.signature.input_arg}
        inner = _Nodes(definition.node_def, self.functions, lambda name: name in arguments)
        return any(inner.fails(name) for name in inner.nodes)

    def _turns_depend_on_data(self, loop):
        condition = self.functions[loop.attr["cond"].func.name]
        places = self._places_used(loop, _arguments_used(condition, 0))
        return any(self._depends_on_data(loop.input[place]) for place in places)

    def _places_used(self, loop, places):
        """Those of a loop's variables that decide on these, turn by turn."""
        body = self.functions[loop.attr["body"].func.name]
        found, left = set(), set(places)
        while left:
            found |= left
            left = set().union(*(_arguments_used(body, place) for place in left)) - found
        return found

    def _depends_on_data(self, tensor):
        seen, left = set(), [tensor]
        while left:
            name = left.pop().lstrip("^").split(":")[0]
            if self.is_data(name):
                return True
            if name in self.nodes and name not in seen:
                seen.add(name)
                left.extend(self.nodes[name].input)
        return False


def _functions_of(node):
    values = list(node.attr.values())
    of_lists = itertools.chain.from_iterable(value.list.func for value in values)
    return {f.name for f in [*(value.func for value in values), *of_lists] if f.name}


def _arguments_used(function, output):
    """Positions of the arguments that an output of a function is made from."""
    nodes = {node.name: node for node in function.node_def}
    arguments = {argument.name: i for i, argument in enumerate(function.signature.input_arg)}
    used, seen = set(), set()
    left = [function.ret[function.signature.output_arg[output].name]]
    while left:
        name = left.pop().lstrip("^").split(":")[0]
        if name in arguments:
            used.add(arguments[name])
        elif name not in seen:
            seen.add(name)
            left.extend(nodes[name].input)
    return used


def _holds_data(graph, name):
    return any(holds_batch(tensor) for tensor in graph.get_operation_by_name(name).outputs)


@contextlib.contextmanager
def _without_log():
    """TensorFlow writes its attempts to the log as errors, before it raises them."""
    logger = tf.get_logger()
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before
