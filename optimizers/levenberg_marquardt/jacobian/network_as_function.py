"""What makes a network a function with one row of outputs for each example, with derivatives."""

import tensorflow as tf

from .layer_calls import holds_batch

_RANDOM = ("Random", "Multinomial", "TruncatedNormal", "ParameterizedTruncatedNormal")


def check_outputs(outputs):
    """Refuses outputs that are not one row for each example, or have no derivative.

    Args:
        outputs: Tensors or `tf.TensorSpec`s of the network's outputs, for a batch of unknown size.
    """
    shapes = [tuple(z.shape) if z.shape.rank is not None else None for z in outputs]
    if any(shape is not None and (not shape or shape[0] is not None) for shape in shapes):
        raise ValueError(
            "The first axis of each output must be the batch, one row for each example. A layer "
            "that does not use its input x, as in a system of equations without data, returns its "
            "residuals r, a tensor (equations,), as `ops.zeros_like(x[:, :1]) + r[None]`. "
            f"Received: output shapes={shapes} for any number of examples"
        )
    if any(shape is None or None in shape[1:] for shape in shapes):
        raise ValueError(
            "The shape of each output must be known but for the batch: give the inputs a "
            "fixed length, and pad and mask what is shorter. "
            f"Received: output shapes={shapes}"
        )
    if any(z.dtype.is_complex for z in outputs):
        raise ValueError(
            "Each output must be real: stack real and imaginary parts, "
            "`ops.stack([ops.real(z), ops.imag(z)], axis=-1)`, in the model and in `y` alike. "
            f"Received: output dtypes={[z.dtype.name for z in outputs]}"
        )
    if not all(z.dtype.is_floating for z in outputs):
        raise ValueError(
            "Each output must hold floating numbers, to have a derivative: leave others out of "
            f"the model. Received: output dtypes={[z.dtype.name for z in outputs]}"
        )


def differs_alone(together, alone, i):
    """Whether example i has another output beside other examples than when it is run alone.

    Args:
        together: (batch, ...), of all.
        alone: (1, ...), of example i.
        i: Its place in the batch.
    """
    together, alone = tf.cast(together, tf.float64), tf.cast(alone, tf.float64)
    rounding = 1e-3 * tf.reduce_max(tf.abs(together))
    return tf.reduce_any(tf.abs(together[i] - alone[0]) > rounding)


def check_draws_nothing(recorder):
    """Refuses networks that draw new random numbers at each run.

    Numbers that are the same in every run and for every batch, such as random features of a fixed
    seed, are constants; and some layers of Keras draw without using what they drew.

    Args:
        recorder: A `Recorder` that has run.
    """
    used = {reference.deref().op.name for reference in _reached(recorder.calls[0].outputs)}
    for place, operation in enumerate(recorder.graph.get_operations()):
        if operation.name in used and _draws(operation):
            of_layers = [c.layer.name for c in recorder.calls if place in c.operations]
            raise ValueError(
                "The network must be a function of its inputs and weights, and this layer draws "
                "random numbers in `call` with `training=False` too: another function at each "
                "run, which no step can lower. Draw where `training=True` only, or once before "
                "the fit, as an input or a weight that is not trainable. "
                f"Received: layer={of_layers[-1]} with a {operation.type}"
            )


def check_derivatives_reach_weights(recorder):
    """Refuses functions with a gradient of their own that use weights but do not take them.

    While a step is tried the weights are tensors, and TensorFlow hands such a function the
    derivative for its arguments alone: the others would be zero without a word.

    Args:
        recorder: A `Recorder` that has run.
    """
    weights = {value.ref(): i for i, value in enumerate(recorder.values)}
    for place, operation in enumerate(recorder.graph.get_operations()):
        if not _is_custom_gradient(operation):
            continue
        # What `tf.custom_gradient` hands through one operation: results, then arguments.
        handed = [t.ref() for t in operation.inputs]
        used = _reached(handed[0].deref().op.inputs)
        count = next((i for i, t in enumerate(handed) if t in used), 1)
        lost = _reached([t.deref() for t in handed[:count]], handed[count:])
        paths = [recorder.weights.variables[i].path for w, i in weights.items() if w in lost]
        if paths:
            of_layers = [c.layer.name for c in recorder.calls if place in c.operations]
            raise ValueError(
                "A function with a gradient of its own (`tf.custom_gradient`, `tf.recompute_grad`, "
                "`keras.ops.custom_gradient`) must take the weights that it uses as arguments: "
                "their derivatives would be lost. "
                f"Received: layer={of_layers[-1]} whose function uses {paths}"
            )


def _is_custom_gradient(operation):
    if operation.type != "IdentityN":
        return False
    try:
        return operation.get_attr("_gradient_op_type").startswith(b"CustomGradient")
    except ValueError:  # it has none
        return False


def _reached(tensors, stops=()):
    """All tensors that these are made from, up to and without the stops."""
    seen, left = set(), [t.ref() for t in tensors]
    while left:
        reference = left.pop()
        if reference not in seen and reference not in stops:
            seen.add(reference)
            left.extend(t.ref() for t in reference.deref().op.inputs)
    return seen


def _draws(operation):
    kind = operation.type
    if kind.startswith(_RANDOM):
        return True
    if not kind.startswith("StatelessRandom") or "Get" in kind:
        return False
    return any(holds_batch(tensor) for tensor in operation.outputs) or _reads_state(operation)


def _reads_state(operation):
    """Whether its seed is a variable, which the next run finds changed."""
    return any(r.deref().op.type == "ReadVariableOp" for r in _reached(operation.inputs))
