import contextlib

import keras

from ..._layers_inside import layers_of


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
