import itertools

import tensorflow as tf

from ..layer_calls import holds_batch, tensors_of
from ..rows_at_once import fails_at_once, for_each_row
from .explicit import ExplicitRows


class Fallback(ExplicitRows):
    """Any layer: a backward pass of the layer alone for each row."""

    def __init__(self, usage, recorder):
        super().__init__(*usage, recorder.weights)
        self.weights = recorder.weights
        recorded = [recorder.calls[i] for i in usage.calls]
        tensors = [tensors_of(call.arguments) for call in recorded]
        self.batched = [[holds_batch(t) for t in of_call] for of_call in tensors]
        places = sorted({place for call in recorded for place in call.operations})
        operations = recorder.graph.get_operations()
        self.at_once = not fails_at_once(recorder.graph, [operations[place] for place in places])

    def data(self, calls, deltas, values):
        sliced, calls_on = [], []
        for call, batched in zip(calls, self.batched, strict=True):
            tensors = tensors_of(call.arguments)
            sliced.append(_batched_with_masks(tensors, batched))
            calls_on.append(_with_tensors(call, tensors, batched))

        def row(of_row):
            examples, deltas = of_row
            with tf.GradientTape() as tape:
                tape.watch(values)
                with self.weights.scope_of(self.variables, values):
                    outputs = [
                        tf.nest.flatten(run(example))
                        for run, example in zip(calls_on, examples, strict=True)
                    ]
            outputs = [h for of_call in outputs for h in of_call if h.dtype.is_floating]
            h_bars = [
                tf.cast(h_bar[None], h.dtype)
                for h, h_bar in zip(outputs, itertools.chain(*deltas), strict=True)
            ]
            gradients = tape.gradient(outputs, values, h_bars, unconnected_gradients="zero")
            return tf.concat([tf.reshape(g, [-1]) for g in gradients], axis=0)

        signature = tf.TensorSpec([sum(self.sizes)], self.weights.dtype)
        return (for_each_row(row, (sliced, deltas), signature, self.at_once),)


def _batched_with_masks(tensors, batched):
    own = [t for t, is_own in zip(tensors, batched, strict=True) if is_own]
    with_masks = [[t, getattr(t, "_keras_mask", None)] for t in own]
    return [t for pair in with_masks for t in pair if t is not None]


def _with_tensors(call, tensors, batched):
    """A function that runs the call for one example given its slices of the batched tensors."""

    def run(example):
        slices = iter(example)
        new = []
        for tensor, own in zip(tensors, batched, strict=True):
            value = next(slices)[None] if own else tensor
            mask = getattr(tensor, "_keras_mask", None)
            if own and mask is not None:
                value._keras_mask = next(slices)[None]
            new.append(value)
        left = iter(new)
        args, kwargs = tf.nest.map_structure(
            lambda leaf: next(left) if tf.is_tensor(leaf) else leaf, call.arguments
        )
        return tf.nest.flatten(call.layer(*args, **kwargs))

    return run
