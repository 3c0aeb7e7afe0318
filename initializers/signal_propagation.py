import math

import keras
import numpy as np
from keras import ops

from .._arguments import in_words, wrong
from .._layer_calls import intercepted
from ._batches import first_batch, inputs_of, is_dataset, tensors
from ._compiled_loss import fit_loss
from ._layer_signals import bias_of, is_float, is_signal, outputs_and_signal, watched_layers
from ._signal_gradients import signal_gradients
from .signal_report import Signal, SignalReport

_ACTIVATIONS = (
    keras.layers.Activation,
    keras.layers.ELU,
    keras.layers.LeakyReLU,
    keras.layers.ReLU,
    keras.layers.Softmax,
)


def signal_propagation(model, inputs, targets=None, loss=None):
    """Shows where a network loses its signal or its gradient: one pass forward, one backward.

    For each use of each layer: mean and variance of what it computes (before a fused activation),
    share of dead units, norm of the loss's gradient there, norms of its weights and of their
    gradient; then one line that says what is wrong and which part of this package helps. Nothing
    in the model changes, except that one which is not built yet is built. Call it on a fresh model,
    and again where training stalls.

    Without targets the gradient is that of a random direction of norm 1 at the outputs, so the
    norm at a layer is the factor by which the way back to it amplifies. With targets it is that of
    the loss which `fit` minimises: of all outputs, with the compiled `loss_weights`, regularizers
    and what layers add by `add_loss`.

    Works for functional, sequential and subclassed models. Recurrent and `TimeDistributed` layers
    are one row each. Dropout is off, normalization uses its moving statistics.

    Args:
        model: A Keras model.
        inputs: A batch, as the model takes it; or a `tf.data.Dataset`, a `keras.utils.PyDataset` or
            a PyTorch `DataLoader`, of which the first batch is read (of one that is not batched
            the first 512 examples), with its targets where there is a loss.
        targets: The batch's targets as `fit` takes them, or `None` (default).
        loss: A Keras loss, its name, or a function of targets and outputs, or a list or dict of
            them, as `compile` takes it; used with targets alone. Default `None`: the compiled one.

    Returns:
        A `SignalReport`: `.signals`, `.loss`, `.table()`, `.plot(path)`, `.diagnosis`.

    Raises:
        ValueError: `targets` without a loss, a loss without targets, targets or losses that do not
            match the outputs, `targets` beside a data set, or a generator.

    Example:

    >>> keras.utils.set_random_seed(0)
    >>> layers = [keras.layers.Dense(100, "relu") for _ in range(50)]
    >>> model = keras.Sequential([keras.Input((100,)), *layers])
    >>> x = np.random.default_rng(0).normal(size=(64, 100))
    >>> kerazoo.initializers.signal_propagation(model, x).diagnosis  # Keras's default start
    'vanishing: ... kerazoo.initializers.ActivationNormal(activation), ...'

    References:
        Schoenholz et al., 2017, Deep Information Propagation, https://arxiv.org/abs/1611.01232
    """
    if not isinstance(model, keras.Model):
        raise wrong("model", "a Keras model", model)
    inputs, targets, sample_weight = _batch(model, inputs, targets, loss)
    if targets is None and loss is not None:
        raise ValueError("`loss` needs `targets`. Received: targets=None")
    if targets is not None and loss is None and not model.compiled:
        raise ValueError(
            "`targets` need a `loss`, or a compiled model. Received: loss=None, "
            f"model={model.name}, not compiled"
        )
    if not model.built:
        model(inputs, training=False)
    layers = watched_layers(model)
    own_weights = {layer: _own_weights(layer) for layer in layers}
    weights = {
        id(weight): weight
        for group in (model.trainable_weights, *own_weights.values())
        for weight in group
    }
    total_loss = None if targets is None else fit_loss(model, loss)

    def run(touch):
        uses = []  # (layer, signal, output), the first for the model's input

        def record(layer, call, args, kwargs):
            outputs, signal = outputs_and_signal(layer, call, args, kwargs, touch)
            if signal is not None:
                output = next((t for t in keras.tree.flatten(outputs) if is_signal(t)), signal)
                uses.append((layer, signal, output))
            return outputs

        def touch_input(tensor):
            signal = touch(tensor)
            if signal is None:
                return tensor
            uses.append((None, signal, signal))
            return signal

        entering = keras.tree.map_structure(touch_input, inputs)
        with intercepted(layers, "call", record):
            outputs = model(entering, training=False)
        if total_loss is None:
            value = _along_a_direction(outputs)
        else:
            value = total_loss(entering, targets, outputs, sample_weight)
        return value, uses, outputs

    (value, uses, outputs), gradients, weight_gradients = signal_gradients(
        run, list(weights.values())
    )
    weight_gradients = dict(zip(weights, weight_gradients, strict=True))
    heads = _heads(uses, outputs)
    return SignalReport(
        [
            _row(layer, signal, output, gradient, own_weights, weight_gradients, i in heads)
            for i, ((layer, signal, output), gradient) in enumerate(
                zip(uses, gradients, strict=True)
            )
        ],
        None if total_loss is None else float(_float64(value)),
    )


def _batch(model, inputs, targets, loss):
    if not is_dataset("inputs", inputs):
        return inputs_of(model, inputs), tensors("targets", targets), None
    if targets is not None:
        raise ValueError(
            "`targets` must be None where `inputs` is a data set, which has its own. "
            f"Received: targets={in_words(targets)}"
        )
    batch = first_batch("inputs", inputs, model)
    if loss is None and not model.compiled:
        batch = (batch[0], None, None)
    return tensors("inputs", batch)


def _along_a_direction(outputs):
    """The product of the outputs with a random direction, drawn alike on every backend."""
    flat = [ops.reshape(t, (-1,)) for t in keras.tree.flatten(outputs) if is_float(t)]
    size = sum(t.shape[0] for t in flat)
    rng = np.random.default_rng(0)
    directions = [rng.normal(size=tuple(t.shape)) / math.sqrt(size) for t in flat]
    return sum(
        ops.sum(t * ops.convert_to_tensor(d.astype("float32"), t.dtype))
        for t, d in zip(flat, directions, strict=True)
    )


def _heads(uses, outputs):
    """The positions of the uses with a kernel that give the model's outputs, activations aside."""
    ids = {id(tensor) for tensor in keras.tree.flatten(outputs)}
    heads = set()
    for i, (layer, _, output) in enumerate(uses):
        if id(output) not in ids:
            continue
        while isinstance(layer, _ACTIVATIONS) and i > 0:
            i -= 1
            layer = uses[i][0]
        heads.add(i)
    return heads


def _row(layer, signal, output, gradient, own_weights, weight_gradients, is_head):
    weights = own_weights[layer] if layer else []
    values = _float64(signal)
    units = _float64(output).reshape(-1, output.shape[-1]) if len(output.shape) else None
    bias = bias_of(layer) if is_head and layer else None
    found = [weight_gradients[id(weight)] for weight in weights]
    return Signal(
        layer.name if layer else "input",
        type(layer).__name__ if layer else "Input",
        float(values.mean()),
        float(values.var()),
        0.0 if units is None else float(np.mean(np.all(units == 0, axis=0))),
        0.0 if gradient is None else _norm([gradient]),
        _norm(weights) if weights else math.nan,
        _norm([gradient for gradient in found if gradient is not None]) if weights else math.nan,
        math.nan if bias is None else float(np.mean((values - _float64(bias)) ** 2)),
    )


def _own_weights(layer):
    """The trainable weights that are not another row's."""
    inner = {
        id(weight)
        for value in watched_layers(layer)
        if value is not layer
        for weight in value.trainable_weights
    }
    return [weight for weight in layer.trainable_weights if id(weight) not in inner]


def _norm(tensors):
    return float(np.sqrt(sum(np.sum(_float64(tensor) ** 2) for tensor in tensors)))


def _float64(tensor):
    return np.asarray(ops.convert_to_numpy(tensor), "float64")
