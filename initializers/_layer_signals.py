"""What a layer's signal is, and the kernel that sets its scale."""

import keras
from keras import ops

from .._layer_calls import layers_of, replaced


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


def outputs_and_signal(layer, call, args, kwargs, touch):
    """What the layer gives, and what its kernel does: the value before a fused activation.

    `touch(tensor)` gives the tensor that takes the signal's place, or None where it is no signal.
    """
    inner = _without_steps(layer)
    activation = getattr(inner, "activation", None)
    if kernel_of(layer) is None or not callable(activation):
        return _touched(call(*args, **kwargs), touch)
    if inner is not layer:  # Step by step nothing can be seen, but an activation can wait.
        with replaced(inner, "activation", keras.activations.linear):
            before_activation, signal = _touched(call(*args, **kwargs), touch)
        return activation(before_activation), signal
    signals = []

    def touching_activation(z):
        z, signal = _touched(z, touch) if not signals else (z, None)
        signals.append(signal)
        return activation(z)

    with replaced(layer, "activation", touching_activation):
        outputs = call(*args, **kwargs)
    return (outputs, signals[0]) if signals else _touched(outputs, touch)


def kernel_of(layer):
    """The weight whose scale is the scale of the layer's outputs, or None."""
    layer = _without_steps(layer)
    for name in ("kernel", "pointwise_kernel"):
        kernel = getattr(layer, name, None)
        if isinstance(kernel, keras.Variable) and len(kernel.shape) > 1:
            return kernel
    return None


def bias_of(layer):
    """The bias that goes with that kernel, one value for each entry of the last axis, or None."""
    bias = getattr(_without_steps(layer), "bias", None)
    is_one = isinstance(bias, keras.Variable) and len(bias.shape) == 1
    return bias if is_one and kernel_of(layer) is not None else None


def is_float(tensor):
    return ops.is_tensor(tensor) and keras.backend.is_float_dtype(
        keras.backend.standardize_dtype(tensor.dtype)
    )


def is_signal(tensor):
    """Whether it is a float tensor that has a value; inside a compiled loop it has none yet."""
    if not is_float(tensor):
        return False
    if keras.backend.backend() == "jax":
        import jax

        return not isinstance(tensor, jax.core.Tracer)
    return hasattr(tensor, "numpy")


def _without_steps(layer):
    return layer.layer if isinstance(layer, keras.layers.TimeDistributed) else layer


def _touched(outputs, touch):
    flat = keras.tree.flatten(outputs)
    signal = touch(flat[0]) if flat else None
    if signal is None:
        return outputs, None
    return keras.tree.pack_sequence_as(outputs, [signal, *flat[1:]]), signal
