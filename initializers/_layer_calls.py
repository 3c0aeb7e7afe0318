"""One forward pass of a model, watched layer by layer."""

import contextlib

import keras

from .._layers_inside import layers_of

_MISSING = object()


def watched_layers(model):
    """All layers that compute; of a recurrent one not what it runs at each step."""
    hidden = set()
    for layer in layers_of(model):
        if isinstance(layer, (keras.layers.RNN, keras.layers.TimeDistributed)):
            hidden.update(id(inner) for inner in layers_of(layer) if inner is not layer)
    return [
        layer
        for layer in layers_of(model)
        if id(layer) not in hidden and not isinstance(layer, (keras.Model, keras.layers.InputLayer))
    ]


@contextlib.contextmanager
def intercepted(layers, on_call):
    """Inside it `on_call(layer, call, args, kwargs)` stands in for each layer's `call`."""
    with contextlib.ExitStack() as stack:
        for layer in layers:

            def instead(*args, layer=layer, call=layer.call, **kwargs):
                return on_call(layer, call, args, kwargs)

            stack.enter_context(_replaced(layer, "call", instead))
        yield


def outputs_and_signal(layer, call, args, kwargs):
    """What the layer gives, and what its kernel does: the value before a fused activation."""
    before_activation = []
    if kernel_of(layer) is None or not callable(getattr(layer, "activation", None)):
        outputs = call(*args, **kwargs)
    else:

        def activation(z, activation=layer.activation):
            before_activation.append(z)
            return activation(z)

        with _replaced(layer, "activation", activation):
            outputs = call(*args, **kwargs)
    tensors = before_activation or keras.tree.flatten(outputs)
    return outputs, tensors[0] if tensors else None


def kernel_of(layer):
    """The weight whose scale is the scale of the layer's outputs, or None."""
    for name in ("kernel", "pointwise_kernel"):
        kernel = getattr(layer, name, None)
        if isinstance(kernel, keras.Variable) and len(kernel.shape) > 1:
            return kernel
    return None


def is_signal(tensor):
    return (
        keras.ops.is_tensor(tensor)
        and keras.backend.is_float_dtype(keras.backend.standardize_dtype(tensor.dtype))
        and not (keras.backend.backend() == "tensorflow" and not hasattr(tensor, "numpy"))
    )


@contextlib.contextmanager
def _replaced(layer, name, value):
    # In the instance's dict, past Keras's own bookkeeping of attributes.
    before = vars(layer).get(name, _MISSING)
    vars(layer)[name] = value
    try:
        yield
    finally:
        if before is _MISSING:
            del vars(layer)[name]
        else:
            vars(layer)[name] = before
