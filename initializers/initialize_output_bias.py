from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from ._layer_calls import kernel_of
from ._target_constants import CROSS_ENTROPIES, best_constant, log_odds, loss_kind

# What a bias must be for the activation to give c.
_INVERSE = {
    "linear": lambda c: c,
    "sigmoid": log_odds,
    "softmax": np.log,
    "exponential": np.log,
    "softplus": lambda c: c + np.log(-np.expm1(-c)),
    "tanh": np.arctanh,
    "relu": lambda c: np.where(c > 0, c, np.nan),
}


class OutputBias(NamedTuple):
    """What was done to one output: prediction is the constant that the model now gives."""

    layer: str
    loss: str
    activation: str
    prediction: tuple
    bias: tuple
    kernel_zeroed: bool


def initialize_output_bias(
    model, y, loss=None, zero_kernel=True, smoothing=1.0, sample_weight=None, class_weight=None
):
    """Lets a built model begin with the best constant prediction for its targets.

    `activation(bias) = base rate | class rates | mean | median`

    The compiled loss says which constant is best: the base rate for cross-entropies, the mean for
    mse and poisson, the median for mae; the last activation, fused or a layer of its own, says
    which bias gives it: log-odds before a sigmoid or for logits, logs before a softmax or an
    exponential, the value itself without one. With `zero_kernel` the first loss is exactly that of
    the constant, e.g. the entropy of the base rate; with a random kernel its outputs are noise
    upon it. At 1 % positives it saves five sixths of the steps to the base-rate loss
    (scripts/compare_bias_starts.py), and for a regression in raw units more; it does not change
    what is reached in the end. Where targets can be standardized, that does as well.

    The rate is the one that the loss sees: pass the weights that `fit` will get. Undo them when
    you calibrate.

    Args:
        model: A functional or sequential model that is built. Each output must end in a layer with
            a bias, and at most one of these activations: none, sigmoid, softmax, exponential,
            softplus, tanh, relu.
        y: The targets as `fit` takes them: an array, or a list or dict of them by output.
        loss: A Keras loss or its name, or a list or dict by output: binary, categorical or sparse
            categorical cross-entropy, mse, mae, poisson. Default `None`: the compiled one. For a
            cross-entropy given by name, outputs without activation are taken as logits. An output
            whose loss is `None` in a list or dict stays as it is.
        zero_kernel: Boolean, whether the last kernel is set to zero. Default `True`.
        smoothing: Number, not negative: so many more examples of each class. Default 1.
        sample_weight: Array `(examples,)`, or a list or dict by output, or `None`.
        class_weight: Dict of weights by class, as in `fit`, or `None`.

    Returns:
        A list with a row `(layer, loss, activation, prediction, bias, kernel_zeroed)` for each
        output that was set.

    Raises:
        ValueError: the model is not built or subclassed, an output has no bias, another activation
            or another loss, or the targets do not fit. Nothing is changed then.

    Example:

    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, "sigmoid")])
    >>> model.compile("adam", "binary_crossentropy")
    >>> y = np.r_[np.ones(19), np.zeros(979)]  # 20 of 1000, with one more of each class
    >>> report = kerazoo.initializers.initialize_output_bias(model, y)
    >>> round(float(model(np.ones((1, 3)))[0, 0]), 4)
    0.02

    References:
        Lin et al., 2017, Focal Loss for Dense Object Detection, section 3.3,
        https://arxiv.org/abs/1708.02002
    """
    if not getattr(model, "outputs", None):
        raise ValueError(
            "`model` must be a functional or sequential model that is built; for any other give "
            "its last layer a `PriorBias`. "
            f"Received: model={getattr(model, 'name', model)!r}"
        )
    names = _output_names(model)
    targets = _by_output("y", y, names)
    weights = _by_output("sample_weight", sample_weight, names)
    losses = _by_output("loss", getattr(model, "loss", None) if loss is None else loss, names)
    if all(losses[name] is None for name in names):
        raise ValueError(
            "`loss` is needed where the model is not compiled. Received: loss=None, "
            f"model={model.name!r}"
        )
    plans = []
    for name, tensor in zip(names, model.outputs, strict=True):
        if losses[name] is None:
            continue
        layer, activation = _last_layer(model, tensor)
        kind, from_logits, label_smoothing = _read_loss(losses[name], loss is not None, activation)
        if from_logits:
            activation = "sigmoid" if kind == "binary_crossentropy" else "softmax"
        if kind == "binary_crossentropy" and activation == "softmax":
            raise ValueError(
                "binary_crossentropy belongs to a sigmoid, or to logits, not to a softmax. "
                f"Received: layer={layer.name!r}"
            )
        if kind == "sparse_categorical_crossentropy":
            _check_labels(targets[name], tensor.shape)
        constant = best_constant(
            targets[name],
            kind,
            smoothing,
            weights[name],
            class_weight,
            layer.bias.shape[0],
            label_smoothing,
        )
        with np.errstate(all="ignore"):
            bias = _INVERSE[activation](constant)
        if not np.isfinite(bias).all():
            raise ValueError(
                f"The activation {activation!r} of layer {layer.name!r} cannot give the best "
                f"constant prediction for {kind}. Received: {constant}"
            )
        plans.append((layer, kind, activation, constant, bias))
    for layer, _, _, _, bias in plans:
        layer.bias.assign(ops.cast(bias, layer.bias.dtype))
        if zero_kernel:
            kernel_of(layer).assign(ops.zeros_like(kernel_of(layer)))
    return [
        OutputBias(
            layer.name, kind, activation, tuple(c.tolist()), tuple(b.tolist()), bool(zero_kernel)
        )
        for layer, kind, activation, c, b in plans
    ]


def _output_names(model):
    """The keys by which `compile` and `fit` take losses and targets, in the order of `outputs`."""
    structure = getattr(model, "output", None)
    if isinstance(structure, dict) and all(
        isinstance(tensor, keras.KerasTensor) for tensor in structure.values()
    ):
        by_id = {id(tensor): key for key, tensor in structure.items()}
        return [by_id[id(tensor)] for tensor in model.outputs]
    return list(getattr(model, "output_names", [model.layers[-1].name]))


def _check_labels(y, output_shape):
    """One-hot rows would pass for labels 0 and 1."""
    shape = np.shape(y)
    if len(shape) != len(output_shape) - 1 and shape[len(output_shape) - 1 :] != (1,):
        raise ValueError(
            "`y` must hold one label for each example where the loss is "
            "sparse_categorical_crossentropy; for one-hot rows take categorical_crossentropy. "
            f"Received: shape {shape} for outputs of shape {tuple(output_shape)}"
        )


def _by_output(argument, value, names):
    if isinstance(value, dict):
        unknown = sorted(set(value) - set(names))
        if unknown:
            raise ValueError(f"`{argument}` must name outputs among {names}. Received: {unknown}")
        return {name: value.get(name) for name in names}
    if len(names) == 1 and not (isinstance(value, (list, tuple)) and argument == "loss"):
        return {names[0]: value}
    if isinstance(value, (list, tuple)):
        if len(value) != len(names):
            raise ValueError(
                f"`{argument}` must have one entry for each of the outputs {names}. "
                f"Received: {len(value)}"
            )
        return dict(zip(names, value, strict=True))
    if argument == "y":
        raise ValueError(f"`y` must be a list or dict for the outputs {names}.")
    return dict.fromkeys(names, value)


def _last_layer(model, tensor, activations=()):
    """The layer whose bias reaches the output, and the name of the one activation in between."""
    layer = _producer(model, tensor)
    while isinstance(layer, (keras.layers.Activation, keras.layers.Softmax, keras.layers.ReLU)):
        activations += (_activation_name(layer),)
        tensor = layer.input
        layer = _producer(model, tensor)
    if isinstance(layer, keras.Model):
        index = next(i for i, t in enumerate(keras.tree.flatten(layer.output)) if t is tensor)
        return _last_layer(layer, layer.outputs[index], activations)
    if isinstance(layer, keras.layers.TimeDistributed):
        layer = layer.layer
    if layer is None:
        raise ValueError(
            "Each output must end in a layer that is used once. Received: an output of shape "
            f"{tensor.shape} that comes from a layer of several uses, or from none"
        )
    bias = getattr(layer, "bias", None)
    if not isinstance(bias, keras.Variable) or len(bias.shape) != 1 or kernel_of(layer) is None:
        raise ValueError(
            "Each output must end in a layer with a kernel and a bias for each unit. "
            f"Received: layer={getattr(layer, 'name', None)!r}, {type(layer).__name__}"
        )
    activations += (_activation_name(layer),)
    activations = [name for name in activations if name != "linear"] or ["linear"]
    if len(activations) > 1 or activations[0] not in _INVERSE:
        raise ValueError(
            f"The output must have at most one activation, of {sorted(_INVERSE)}. "
            f"Received: {activations} at layer {layer.name!r}"
        )
    return layer, activations[0]


def _producer(model, tensor):
    for layer in model.layers:
        try:
            outputs = keras.tree.flatten(layer.output)
        except AttributeError:  # A layer of several uses has no one output.
            continue
        if any(output is tensor for output in outputs):
            return layer
    return None


def _activation_name(layer):
    if isinstance(layer, (keras.layers.Softmax, keras.layers.ReLU)):
        return type(layer).__name__.lower()
    activation = getattr(layer, "activation", None)
    return "linear" if activation is None else getattr(activation, "__name__", repr(activation))


def _read_loss(loss, is_given, activation):
    """The kind of loss, whether it takes logits, and its label smoothing."""
    by_name = isinstance(loss, str)
    loss = keras.losses.get(loss)
    is_object = isinstance(loss, keras.losses.Loss)
    kind = loss_kind(type(loss).__name__ if is_object else getattr(loss, "__name__", repr(loss)))
    config = loss.get_config() if is_object else {}
    from_logits = config.get("from_logits", False)
    if kind in CROSS_ENTROPIES and activation == "linear" and not from_logits:
        if not (by_name and is_given):
            raise ValueError(
                f"{kind} reads the outputs as probabilities, and they have no activation. Use "
                "`from_logits=True` in the loss, or a sigmoid or softmax. Received: from_logits="
                "False, activation='linear'"
            )
        from_logits = True
    if from_logits and activation != "linear":
        raise ValueError(
            f"{kind} reads the outputs as logits, and they have an activation. "
            f"Received: from_logits=True, activation={activation!r}"
        )
    return kind, from_logits, config.get("label_smoothing", 0.0)
