from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from .._arguments import boolean, in_words
from .._keras_objects import keras_object
from .._layer_calls import layers_of
from ._batches import all_targets, arrays, is_dataset
from ._compiled_loss import loss_pairs
from ._layer_signals import kernel_of
from ._target_constants import (
    BINARY,
    CATEGORICAL,
    CROSS_ENTROPIES,
    FOCAL_KINDS,
    KINDS,
    best_constant,
    log_odds,
    loss_kind,
)

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
    mse and poisson, the median for mae, the minimum itself for focal losses, which is nearer to one
    half than the base rate; the last activation, fused or a layer of its own, says
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
            softplus, tanh, relu, those of Keras without arguments; a softmax over the units.
        y: The targets as `fit` takes them: an array, or a list or dict of them by output; or a
            `tf.data.Dataset`, a `keras.utils.PyDataset` or a PyTorch `DataLoader` of inputs and
            targets, and weights if it has them, of which all batches are read.
        loss: A Keras loss or its name, or a list or dict by output: binary, categorical or sparse
            categorical cross-entropy, binary or categorical focal cross-entropy, mse, mae, poisson.
            A loss of your own is refused, even one of these names. Labels that are its
            `ignore_class` count for nothing.
            Default `None`: the compiled one. For a cross-entropy given by name, outputs without
            activation are taken as logits. An output whose loss is `None` in a list or dict, or
            that is not in the dict, stays as it is.
        zero_kernel: Boolean, whether the last kernel is set to zero. Default `True`.
        smoothing: Number, not negative: so many more examples of each class. Default 1.
        sample_weight: Array `(examples,)`, or one value for each position of an output, such as
            `(examples, steps)`; or a list or dict by output, or `None`.
        class_weight: Dict of weights by class, as in `fit`, or `None`.

    Returns:
        A list with a row `(layer, loss, activation, prediction, bias, kernel_zeroed)` for each
        output that was set.

    Raises:
        ValueError: the model is not built or subclassed, an output has no bias, another activation
            or another loss, or is masked, another layer has the kernel that would be zeroed, one
            layer is behind several outputs with different constants, or the targets or weights do
            not fit. Nothing is changed then.

    Example:

    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, "sigmoid")])
    >>> model.compile("adam", "binary_crossentropy")
    >>> y = np.r_[np.ones(19), np.zeros(979)]  # 20 of 1000, with one more of each class
    >>> report = kerazoo.initializers.initialize_output_bias(model, y)
    >>> model.predict(np.ones((1, 3)), verbose=0).round(4)
    array([[0.02]], dtype=float32)

    References:
        Lin et al., 2017, Focal Loss for Dense Object Detection, section 3.3,
        https://arxiv.org/abs/1708.02002
    """
    if not isinstance(model, keras.Model) or not getattr(model, "outputs", None):
        raise ValueError(
            "`model` must be a functional or sequential model that is built; for any other give "
            "its last layer a `PriorBias`. "
            f"Received: model={in_words(model)}"
        )
    boolean("zero_kernel", zero_kernel)
    plans = [
        _plan(model, tensor, *rest, loss is not None, smoothing, class_weight)
        for tensor, *rest in _pairs(model, y, loss, sample_weight)
    ]
    _check_one_constant_each(plans)
    if zero_kernel:
        for layer, *_ in plans:
            _check_kernel_is_its_own(model, layer)
    for layer, _, _, _, bias in plans:
        layer.bias.assign(bias)
        if zero_kernel:
            kernel = kernel_of(layer)
            kernel.assign(np.zeros(kernel.shape, "float32"))
    return [
        OutputBias(
            layer.name, kind, activation, tuple(c.tolist()), tuple(b.tolist()), bool(zero_kernel)
        )
        for layer, kind, activation, c, b in plans
    ]


def _pairs(model, y, loss, sample_weight):
    """`(output tensor, loss, targets, sample weights)` of each output with a loss."""
    if is_dataset("y", y):
        if sample_weight is not None:
            raise ValueError(
                "`sample_weight` must be None where `y` is a data set, which has its own. "
                f"Received: {type(sample_weight).__name__}"
            )
        y, sample_weight = all_targets("y", y, model)
    if loss is None:
        loss = getattr(model, "loss", None)
    if loss is None:
        raise ValueError(
            "`loss` is needed where the model is not compiled. Received: loss=None, "
            f"model={model.name!r}"
        )
    outputs = model.output if hasattr(model, "output") else model.outputs
    if not keras.tree.is_nested(outputs):
        outputs = [outputs]
    names = _output_names(model, outputs)
    y = _by_output("y", y, outputs, names)
    loss = _by_output("loss", loss, outputs, names)
    sample_weight = _by_output("sample_weight", sample_weight, outputs, names)
    if not keras.tree.is_nested(loss):
        loss = keras.tree.map_structure(lambda _: loss, outputs)
    pairs = loss_pairs(model, loss, y, outputs, sample_weight)
    return [(tensor, one, arrays(target), arrays(w)) for one, target, tensor, w in pairs]


def _plan(model, tensor, loss, y, sample_weight, is_given, smoothing, class_weight):
    """`(layer, kind, activation, prediction, bias)` of one output."""
    _check_no_mask(model, tensor)
    layer, activation, axis = _last_layer(model, tensor)
    kind, from_logits, config, focal = _read_loss(loss, is_given, activation)
    label_smoothing = config.get("label_smoothing", 0.0)
    rank = len(tensor.shape)
    if kind in CATEGORICAL and config.get("axis", -1) % rank != axis:
        raise ValueError(
            f"`loss` must have its classes on the axis of the units of {layer.name!r}, {axis}. "
            f"Received: {kind} with axis={config.get('axis', -1)}"
        )
    if axis != rank - 1:
        y = _channels_last(y, axis, tensor, sample_weight, class_weight, label_smoothing)
    if from_logits:
        activation = "sigmoid" if kind in BINARY else "softmax"
    if kind in BINARY and activation == "softmax":
        raise ValueError(
            f"{kind} belongs to a sigmoid, or to logits, not to a softmax. "
            f"Received: layer={layer.name!r}"
        )
    if kind == "sparse_categorical_crossentropy":
        _check_labels(y, tensor.shape)
    if axis == rank - 1:
        _check_shape(y, kind, tensor.shape)
    units = layer.bias.shape[0]
    ignored = config.get("ignore_class")
    constant = best_constant(
        y, kind, smoothing, sample_weight, class_weight, units, label_smoothing, focal, ignored
    )
    with np.errstate(all="ignore"):
        bias = _INVERSE[activation](constant)
    if not np.isfinite(bias).all():
        raise ValueError(
            f"The activation {activation!r} of layer {layer.name!r} cannot give the best "
            f"constant prediction for {kind}. Received: {constant}"
        )
    _check_gives_its_bias(layer, bias)
    return layer, kind, activation, constant, bias


def _is_of_keras(layer):
    return type(layer) is getattr(keras.layers, type(layer).__name__, None)


def _check_gives_its_bias(layer, bias):
    """A layer of another library may do anything with what it calls kernel and bias."""
    if _is_of_keras(layer):
        return
    kernel, activation = kernel_of(layer), getattr(layer, "activation", None)

    def set_to(variable):
        if variable is layer.bias:
            return ops.convert_to_tensor(bias, variable.dtype)
        return ops.zeros(variable.shape, variable.dtype) if variable is kernel else variable.value

    expected = ops.convert_to_tensor(bias, layer.compute_dtype)
    expected = ops.convert_to_numpy(expected if activation is None else activation(expected))
    try:
        ones = ops.ones([1, *(size or 8 for size in layer.input.shape[1:])], layer.compute_dtype)
        variables = layer.trainable_variables, layer.non_trainable_variables
        found, _ = layer.stateless_call(*([set_to(v) for v in some] for some in variables), ones)
        found = ops.convert_to_numpy(found)
        if getattr(layer, "data_format", None) == "channels_first":
            found = np.moveaxis(found, 1, -1)
        gives_it = np.allclose(found, expected, rtol=1e-2)
    except (AttributeError, TypeError, ValueError):  # Of several inputs, or inside another layer.
        gives_it = False
    if not gives_it:
        raise ValueError(
            "Each output must end in a layer that gives `activation(inputs @ kernel + bias)`. "
            f"Received: layer={layer.name!r}, {type(layer).__name__}, which does not, or which "
            "could not be called alone. End the model in a layer of Keras"
        )


def _check_shape(y, kind, output_shape):
    """Keras would broadcast other shapes against each other."""
    labels = kind == "sparse_categorical_crossentropy"
    wanted = (*output_shape[1:-1], 1 if labels else output_shape[-1])
    shape = np.shape(y)[1:]
    if len(shape) == len(wanted) - 1 and wanted[-1] == 1:
        shape = (*shape, 1)
    if len(shape) != len(wanted) or any(
        size not in (None, found) for size, found in zip(wanted[:-1], shape[:-1], strict=True)
    ):
        raise ValueError(
            f"`y` must be of the shape of the outputs, {tuple(output_shape)}, or of their "
            f"positions where they have one value each. Received: shape {np.shape(y)}"
        )


def _check_no_mask(model, tensor):
    """The rate of padding must not be learned, and no mask is known without the inputs."""
    masked = getattr(tensor, "_keras_mask", None) is not None
    if not masked and len(tensor.shape) > 2:
        # What a model or a layer of one's own does with masks inside is not seen from outside.
        is_closed = any(not _is_of_keras(layer) for layer in model.layers)
        masked = is_closed and any(
            getattr(layer, "mask_zero", False) or isinstance(layer, keras.layers.Masking)
            for layer in layers_of(model)
        )
    if masked:
        raise ValueError(
            "No output may be masked (Masking, Embedding with mask_zero): which of the targets the "
            "loss leaves out is not known without the inputs. Give the last layer "
            "`bias_initializer=PriorBias.from_targets(y[mask], ...)` instead. "
            f"Received: an output of shape {tuple(tensor.shape)} of {model.name!r}"
        )


def _channels_last(y, axis, tensor, sample_weight, class_weight, label_smoothing):
    """Keras takes weights, and smooths labels, along the last axis, whatever the layer does."""
    if np.ndim(y) != len(tensor.shape) or np.shape(y)[axis] != tensor.shape[axis]:
        raise ValueError(
            f"`y` must be of shape {tuple(tensor.shape)} where the last layer has channels_first. "
            f"Received: shape {np.shape(y)}"
        )
    by_example = np.shape(sample_weight) in ((), (len(y),), (len(y), 1))  # () is None.
    if not by_example or class_weight is not None or label_smoothing:
        raise ValueError(
            "Where the last layer has channels_first, `sample_weight` must have one value for "
            "each example, `class_weight` must be None and `label_smoothing` 0. Received: "
            f"sample_weight of shape {np.shape(sample_weight)}, class_weight={class_weight!r}, "
            f"label_smoothing={label_smoothing!r}. Let the model end in channels_last instead"
        )
    return np.moveaxis(y, axis, -1)


def _check_one_constant_each(plans):
    biases = {}
    for layer, *_, bias in plans:
        name, first = biases.setdefault(id(layer.bias), (layer.name, bias))
        if not np.allclose(first, bias, rtol=1e-6, atol=0):
            raise ValueError(
                f"The bias of {name!r} reaches several outputs, whose best constants differ: give "
                "each output a layer of its own, or a loss to one of them alone. "
                f"Received: biases {first} and {bias}"
            )


def _check_kernel_is_its_own(model, layer):
    kernel = kernel_of(layer)
    for other in layers_of(model):
        held = (kernel_of(other), getattr(other, "embeddings", None))
        is_other = other is not layer and not isinstance(other, keras.layers.Wrapper)
        if is_other and any(weight is kernel for weight in held):
            raise ValueError(
                f"The kernel of {layer.name!r} is also that of {other.name!r}, which zeros would "
                "change. Pass `zero_kernel=False`."
            )


def _output_names(model, outputs):
    """The keys by which `compile` and `fit` take losses and targets, in the order of `outputs`."""
    if isinstance(outputs, dict):
        return list(outputs)
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


def _by_output(argument, value, outputs, names):
    """In the structure of `outputs`; what a dict does not name is None."""
    if isinstance(value, dict) and len(names) == len(outputs):
        unknown = sorted(set(value) - set(names))
        if unknown:
            raise ValueError(f"`{argument}` must name outputs among {names}. Received: {unknown}")
        values = [value.get(name) for name in names]
        return dict(zip(names, values, strict=True)) if isinstance(outputs, dict) else values
    if argument != "loss" and isinstance(value, (list, tuple)) and all(map(np.isscalar, value)):
        value = np.asarray(value)
    if len(names) == 1 and not keras.tree.is_nested(value):
        return keras.tree.pack_sequence_as(outputs, [value])
    if argument == "y" and not keras.tree.is_nested(value):
        raise ValueError(f"`y` must be a list or dict for the outputs {names}.")
    return value


def _last_layer(model, tensor, activations=()):
    """The layer whose bias reaches the output, the one activation in between, the units' axis."""
    rank = len(tensor.shape)
    layer = _producer(model, tensor)
    while type(layer) in (keras.layers.Activation, keras.layers.Softmax, keras.layers.ReLU):
        activations += (_activation(layer, rank),)
        tensor = layer.input
        layer = _producer(model, tensor)
    if isinstance(layer, keras.Model):
        index = next(i for i, t in enumerate(keras.tree.flatten(layer.output)) if t is tensor)
        return _last_layer(layer, layer.outputs[index], activations)
    axis = rank - 1
    steps = isinstance(layer, keras.layers.TimeDistributed)
    if steps:
        layer = layer.layer
    if getattr(layer, "data_format", None) == "channels_first":
        axis = 2 if steps else 1
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
    activations += (_activation(layer, rank),)
    activations = [found for found in activations if found[0] != "linear"] or [("linear", None)]
    names = [name for name, _ in activations]
    name, classes_axis = activations[0]
    if len(names) > 1 or name not in _INVERSE:
        raise ValueError(
            f"The output must have at most one activation, of {sorted(_INVERSE)}, those of Keras. "
            f"Received: {names} at layer {layer.name!r}"
        )
    if name == "softmax" and classes_axis != axis:
        raise ValueError(
            "The softmax must be over the units of the last layer. Received: softmax over axis "
            f"{classes_axis}, units of {layer.name!r} on axis {axis}"
        )
    return layer, name, axis


def _producer(model, tensor):
    for layer in model.layers:
        try:
            outputs = keras.tree.flatten(layer.output)
        except AttributeError:  # A layer of several uses has no one output.
            continue
        if any(output is tensor for output in outputs):
            return layer
    return None


def _activation(layer, rank):
    """`(name, axis)` of a layer's activation; the axis is that of a softmax, otherwise None."""
    if isinstance(layer, keras.layers.Softmax):
        axis = layer.axis
        return "softmax", axis % rank if isinstance(axis, int) else tuple(axis)
    if isinstance(layer, keras.layers.ReLU):
        given = layer.max_value, layer.negative_slope, layer.threshold
        if given == (None, 0, 0):
            return "relu", None
        return "ReLU(max_value={}, negative_slope={}, threshold={})".format(*given), None
    activation = getattr(layer, "activation", None)
    if activation is None:
        return "linear", None
    name = getattr(activation, "__name__", None)
    for module in (keras.activations, keras.ops):  # Another function may have the same name.
        if name in _INVERSE and activation is getattr(module, name, None):
            return name, rank - 1
    return repr(activation), None


def _read_loss(loss, is_given, activation):
    """The kind of loss, whether it takes logits, its config, what makes it focal."""
    by_name = isinstance(loss, str)
    loss = keras_object("loss", loss)
    is_object = isinstance(loss, keras.losses.Loss)
    name = type(loss).__name__ if is_object else getattr(loss, "__name__", repr(loss))
    own = type(loss) if is_object else loss
    if own is not getattr(keras.losses, name, None):  # A user's loss may have the same name.
        name = repr(own)
    kind = loss_kind(name, {**KINDS, **FOCAL_KINDS})
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
    focal = None
    if kind in FOCAL_KINDS:
        alpha = np.asarray(config.get("alpha", 0.25))
        if kind in BINARY:
            balanced = config.get("apply_class_balancing", False)
            alpha = np.array([1 - alpha, alpha]) if balanced else np.ones(2)
        focal = {"gamma": config.get("gamma", 2.0), "alpha": alpha}
    return kind, from_logits, config, focal
