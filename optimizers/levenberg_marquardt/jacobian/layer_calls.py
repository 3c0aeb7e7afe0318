"""Which calls of which layers use which weights, found by watching the network run once.

Inside one call the weights meet nothing but the call's own inputs. So its part of a row of the
Jacobian needs no more than these inputs and the derivative of the row in the call's outputs, and
the whole Jacobian falls apart into one small problem a layer (blocks/).
"""

from typing import NamedTuple

import keras
import tensorflow as tf

from ...._layer_calls import intercepted, layers_of

# A batch size that no other axis has by accident: it tells the tensors that hold a batch.
_BATCH = 1021


class LayerCall(NamedTuple):
    layer: keras.layers.Layer
    arguments: tuple  # args and kwargs, tensors among them
    outputs: list
    before_activation: tf.Tensor  # what the layer's own `activation` was given; None if never
    operations: range  # of the graph, that the call made


class Recorder:
    """Runs the network at w and keeps each call of a layer.

    Calls inside loops and branches are left out: their tensors cannot be had outside.
    """

    def __init__(self, network, weights):
        self.network = network
        self.weights = weights
        self.calls = []
        self._open = []

    def run(self, w, x):
        """The outputs of the network, as it returns them."""
        self.graph = tf.compat.v1.get_default_graph()
        self.values = self.weights.split(w)
        everything = range(len(self.values))
        layers = layers_of(self.network)
        # Where it is another layer's, as a recurrent layer's is its cell's, it is seen there.
        activated = [layer for layer in layers if callable(vars(layer).get("activation"))]
        with (
            intercepted(layers, "call", self._record_call),
            intercepted(activated, "activation", self._record_activation),
            self.weights.scope_of(everything, self.values),
        ):
            return self.network(x, training=False)

    def floats_per_example(self):
        """That a forward pass makes, inside loops aside."""
        tensors = [t for operation in self.graph.get_operations() for t in operation.outputs]
        return sum((t.shape[1:].num_elements() or 0) for t in tensors if holds_batch(t))

    def _record_call(self, layer, call, args, kwargs):
        if not self._in_main_graph():
            return call(*args, **kwargs)
        position, start = len(self.calls), self._operations_so_far()
        self.calls.append(LayerCall(layer, (args, kwargs), [], None, range(start, start)))
        self._open.append(position)
        try:
            outputs = tf.nest.map_structure(_own, call(*args, **kwargs))
        finally:
            self._open.pop()
        self.calls[position] = self.calls[position]._replace(
            outputs=tf.nest.flatten(outputs),
            operations=range(start, self._operations_so_far()),
        )
        return outputs

    def _record_activation(self, layer, activation, args, kwargs):
        if self._open and self._in_main_graph():
            position = self._open[-1]
            z = _first_argument(args, kwargs)
            self.calls[position] = self.calls[position]._replace(before_activation=z)
        return activation(*args, **kwargs)

    def _in_main_graph(self):
        return tf.compat.v1.get_default_graph() is self.graph

    def _operations_so_far(self):
        return len(self.graph.get_operations())


class Usage(NamedTuple):
    """Weights that are used by the same calls."""

    variables: tuple  # positions
    calls: tuple  # positions


def find_usages(network, weights, x):
    """All trainable weights that the outputs depend on, grouped by the calls that use them.

    Of nested calls the innermost counts that can be looked at alone: its inputs and outputs hold
    the batch on their first axis, and nothing else that it computed is used outside. At the latest
    that is the network itself. (A network that differentiates itself, as for a differential
    equation, uses inner values of its layers outside of them.)

    Args:
        network: Keras model.
        weights: Its `FlatWeights`.
        x: Inputs of any batch; only their shapes matter.

    Returns:
        List of `Usage`, and the `Recorder`, whose tensors are placeholders of shape (1021, ...).
    """
    recorder = Recorder(network, weights)
    specs = tf.nest.map_structure(
        lambda leaf: tf.TensorSpec([_BATCH, *leaf.shape[1:]], leaf.dtype), x
    )
    w = tf.TensorSpec([weights.size], weights.dtype)
    tf.function(recorder.run, autograph=False).get_concrete_function(w, specs)
    operations = recorder.graph.get_operations()
    order = {operation.name: place for place, operation in enumerate(operations)}
    alone = [
        position
        for position, call in enumerate(recorder.calls)
        if position == 0 or (_keeps_examples_apart(call) and _is_closed(call, operations, order))
    ]
    usages = {}
    for variable, value in enumerate(recorder.values):
        users = {
            max(p for p in alone if order[operation.name] in recorder.calls[p].operations)
            for operation in value.consumers()
            if order[operation.name] in recorder.calls[0].operations
        }
        # A call that runs again inside another user is a part of that one.
        outer = [p for p in users if not any(_is_inside(recorder.calls, p, q) for q in users)]
        if outer:
            usages.setdefault(tuple(sorted(outer)), []).append(variable)
    return [Usage(tuple(v), calls) for calls, v in usages.items()], recorder


def kinds_of_operations(graph):
    """Types of all operations of a graph, those in its loops, branches and functions included."""
    definition = graph.as_graph_def()
    nodes = [definition.node, *(function.node_def for function in definition.library.function)]
    return {node.op for of_one in nodes for node in of_one}


def holds_batch(tensor):
    """Whether a tensor of `find_usages` has the batch on its first axis."""
    return tensor.shape.rank is not None and tensor.shape.rank > 0 and tensor.shape[0] == _BATCH


def tensors_of(arguments):
    return [leaf for leaf in tf.nest.flatten(arguments) if tf.is_tensor(leaf)]


def first_argument(call):
    return _first_argument(*call.arguments)


def _first_argument(args, kwargs):
    return args[0] if args else next(iter(kwargs.values()))


def _own(tensor):
    """A tensor that nothing inside the call uses: one output may have been made from another."""
    if not tf.is_tensor(tensor):
        return tensor
    own = tf.identity(tensor)
    mask = getattr(tensor, "_keras_mask", None)
    if mask is not None:
        own._keras_mask = mask
    return own


def _keeps_examples_apart(call):
    outputs = [t for t in call.outputs if tf.is_tensor(t)]
    if not outputs or not all(holds_batch(t) for t in outputs):
        return False
    return all(holds_batch(t) or not _may_hold_batch(t) for t in tensors_of(call.arguments))


def _may_hold_batch(tensor):
    """A batch folded into another axis, or not to be seen."""
    sizes = tensor.shape
    if sizes.rank is None or None in sizes[:1]:
        return True
    return any(size is not None and size % _BATCH == 0 for size in sizes)


def _is_closed(call, operations, order):
    outputs = {id(t.op) for t in call.outputs if tf.is_tensor(t)}
    return all(
        order[consumer.name] in call.operations
        for place in call.operations
        if id(operations[place]) not in outputs
        for tensor in operations[place].outputs
        for consumer in tensor.consumers()
    )


def _is_inside(calls, inner, outer):
    return inner > outer and calls[inner].operations.start in calls[outer].operations
