import math

import keras
import numpy as np
from keras import ops

from ._layer_calls import intercepted, is_signal, outputs_and_signal, watched_layers
from .signal_report import Signal, SignalReport


def signal_propagation(model, inputs, targets=None, loss=None):
    """Shows where a network loses its signal or its gradient: one pass forward, one backward.

    For each use of each layer: mean and variance of what it computes (before a fused activation),
    share of dead units, norm of the loss's gradient there, norms of its weights and of their
    gradient; then one line that says what is wrong and which part of this package helps. Nothing
    in the model changes. Call it on a fresh model, and again where training stalls.

    Without targets the gradient is that of a random direction of norm 1 at the outputs, so the
    norm at a layer is the factor by which the way back to it amplifies.

    Works for functional, sequential and subclassed models, with TensorFlow. Recurrent and
    `TimeDistributed` layers are one row each. Dropout is off, normalization uses its moving
    statistics.

    Args:
        model: A Keras model.
        inputs: A batch, as the model takes it.
        targets: The batch's targets, or `None` (default).
        loss: A Keras loss, its name, or a function of targets and outputs, or a list or dict of
            them by output; used with `targets` alone. Default `None`: the compiled one.

    Returns:
        A `SignalReport`: `.signals`, `.table()`, `.plot(path)`, `.diagnosis`.

    Raises:
        ValueError: `targets` without a loss, a loss without targets, or not as many of them as
            the model has outputs.

    Example:

    >>> keras.utils.set_random_seed(0)
    >>> layers = [keras.layers.Dense(100, "relu") for _ in range(50)]
    >>> model = keras.Sequential([keras.Input((100,)), *layers])
    >>> x = np.random.default_rng(0).normal(size=(64, 100))
    >>> kerazoo.initializers.signal_propagation(model, x).diagnosis  # Keras's default start
    'vanishing: ... Start the kernels with initializers.ActivationNormal(activation), ...'

    References:
        Schoenholz et al., 2017, Deep Information Propagation, https://arxiv.org/abs/1611.01232
    """
    if targets is None and loss is not None:
        raise ValueError("`loss` needs `targets`. Received: targets=None")
    if targets is not None and loss is None and not model.compiled:
        raise ValueError(
            "`targets` need a `loss`, or a compiled model. Received: loss=None, "
            f"model={model.name}, not compiled"
        )
    if not model.built:
        model(inputs, training=False)
    inputs = keras.tree.map_structure(_as_tensor, inputs)
    layers = watched_layers(model)
    uses = []  # (name, kind, layer, signal, output), the first for the model's input
    own_weights = {None: [], **{layer: _own_weights(layer) for layer in layers}}

    def record(layer, call, args, kwargs):
        outputs, signal = outputs_and_signal(layer, call, args, kwargs)
        if is_signal(signal):
            output = next((t for t in keras.tree.flatten(outputs) if is_signal(t)), signal)
            uses.append((layer.name, type(layer).__name__, layer, signal, output))
        return outputs

    import tensorflow as tf

    with tf.GradientTape() as tape:
        for tensor in filter(is_signal, keras.tree.flatten(inputs)):
            tape.watch(tensor)
            uses.append(("input", "Input", None, tensor, tensor))
        with intercepted(layers, record):
            outputs = model(inputs, training=False)
        value = _value(model, inputs, targets, loss, outputs)
    signals = [signal for _, _, _, signal, _ in uses]
    gradients, weight_gradients = tape.gradient(value, [signals, list(own_weights.values())])
    weight_gradients = dict(zip(own_weights, weight_gradients, strict=True))
    return SignalReport(
        _row(name, kind, signal, output, gradient, own_weights[layer], weight_gradients[layer])
        for (name, kind, layer, signal, output), gradient in zip(uses, gradients, strict=True)
    )


def _value(model, inputs, targets, loss, outputs):
    if targets is None:
        flat = [ops.reshape(t, (-1,)) for t in keras.tree.flatten(outputs) if is_signal(t)]
        size = sum(t.shape[0] for t in flat)
        rng = np.random.default_rng(0)
        directions = [rng.normal(size=t.shape) / math.sqrt(size) for t in flat]
        return sum(ops.sum(t * ops.cast(d, t.dtype)) for t, d in zip(flat, directions, strict=True))
    if loss is None:
        return model.compute_loss(x=inputs, y=targets, y_pred=outputs, training=False)
    flat_outputs, flat_targets = keras.tree.flatten(outputs), keras.tree.flatten(targets)
    losses = [loss[key] for key in sorted(loss)] if isinstance(loss, dict) else loss
    if not isinstance(losses, (list, tuple)):
        losses = [losses] * len(flat_outputs)
    for name, given in (("targets", flat_targets), ("loss", losses)):
        if len(given) != len(flat_outputs):
            raise ValueError(
                f"`{name}` must have one entry for each of the model's {len(flat_outputs)} "
                f"outputs. Received: {len(given)}"
            )
    rows = zip(losses, flat_targets, flat_outputs, strict=True)
    return sum(ops.mean(keras.losses.get(one)(y, z)) for one, y, z in rows)


def _row(name, kind, signal, output, gradient, weights, weight_gradients):
    values = _float64(signal)
    units = _float64(output).reshape(-1, output.shape[-1]) if output.shape.rank else None
    return Signal(
        name,
        kind,
        float(values.mean()),
        float(values.var()),
        0.0 if units is None else float(np.mean(np.all(units == 0, axis=0))),
        0.0 if gradient is None else _norm([gradient]),
        _norm(weights) if weights else math.nan,
        _norm([g for g in weight_gradients if g is not None]) if weights else math.nan,
    )


def _own_weights(layer):
    """The trainable weights that are not another row's."""
    inner = {
        id(weight)
        for value in watched_layers(layer)
        if value is not layer
        for weight in value.trainable_weights
    }
    return [weight.value for weight in layer.trainable_weights if id(weight) not in inner]


def _norm(tensors):
    tensors = [ops.convert_to_tensor(tensor) for tensor in tensors]
    return float(np.sqrt(sum(np.sum(_float64(tensor) ** 2) for tensor in tensors)))


def _float64(tensor):
    return np.asarray(ops.convert_to_numpy(ops.cast(tensor, "float64")))


def _as_tensor(value):
    tensor = ops.convert_to_tensor(value)
    if keras.backend.is_float_dtype(keras.backend.standardize_dtype(tensor.dtype)):
        return ops.cast(tensor, keras.config.floatx())
    return tensor
