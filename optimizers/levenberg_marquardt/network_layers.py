import contextlib

import keras


def layers_of(layer):
    """A layer and all layers inside it, whatever attribute holds them."""
    seen = {}

    def visit(value):
        if isinstance(value, keras.layers.Layer):
            if id(value) not in seen:
                seen[id(value)] = value
                for attribute in vars(value).values():
                    visit(attribute)
        elif isinstance(value, dict):
            for item in list(value.values()):
                visit(item)
        elif isinstance(value, (list, tuple)):
            for item in value:
                visit(item)

    visit(layer)
    return list(seen.values())


@contextlib.contextmanager
def unrolled(network):
    """Inside it, recurrent layers are traced step by step instead of as a loop.

    TensorFlow cannot run the backward pass of a loop side by side for many examples if the loop's
    inputs depend on the weights, as those of a second recurrent layer do. The unrolled pass is the
    faster one too; only its graph takes longer to make.
    """
    recurrent = [layer for layer in layers_of(network) if isinstance(layer, keras.layers.RNN)]
    before = [layer.unroll for layer in recurrent]
    for layer in recurrent:
        layer.unroll = True
    try:
        yield
    finally:
        for layer, unroll in zip(recurrent, before, strict=True):
            layer.unroll = unroll


def has_loops(network):
    return any(isinstance(layer, keras.layers.RNN) for layer in layers_of(network))
