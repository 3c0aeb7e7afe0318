"""The gradients of a number for tensors on the way to it, by each backend's own means."""

import keras
from keras import ops

from ._layer_signals import is_signal


def signal_gradients(run, weights):
    """`run(touch)` gives a scalar and anything else; it calls `touch` on each tensor of interest.

    `touch(tensor)` gives the tensor to go on with, or None where it is no signal. `run` sees the
    model's variables in a `keras.StatelessScope`: none of them changes.

    Returns:
        What `run` gave, the gradients for the touched tensors in their order, and those for
        `weights`; None where the scalar does not depend on one.
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        return _by_tape(run, weights)
    return _by_function(run, weights) if backend == "jax" else _by_graph(run, weights)


def _by_tape(run, weights):
    import tensorflow as tf

    touched = []

    def touch(tensor):
        if not is_signal(tensor):
            return None
        touched.append(tf.identity(tensor))  # a tensor of its own: other readers do not count
        tape.watch(touched[-1])
        return touched[-1]

    with tf.GradientTape() as tape:
        values = [tf.identity(weight.value) for weight in weights]
        tape.watch(values)
        found = _run(run, touch, weights, values)
    gradients, weight_gradients = tape.gradient(found[0], [touched, values])
    # Of an embedding the gradient holds only the rows that were read.
    dense = [None if g is None else tf.convert_to_tensor(g) for g in weight_gradients]
    return found, gradients, dense


def _by_graph(run, weights):
    import torch

    touched = []

    def touch(tensor):
        if not is_signal(tensor):
            return None
        tensor = tensor.view_as(tensor) if tensor.requires_grad else tensor.detach()
        touched.append(tensor.requires_grad_())
        return tensor

    with torch.enable_grad():
        values = [weight.value.detach().requires_grad_() for weight in weights]
        found = _run(run, touch, weights, values)
        sources = [*touched, *values]
        gradients = [None] * len(sources)
        if found[0].requires_grad:
            gradients = torch.autograd.grad(found[0], sources, allow_unused=True)
    return found, gradients[: len(touched)], gradients[len(touched) :]


def _by_function(run, weights):
    """A zero is added to each signal: the gradient for the zero is that for the signal."""
    import jax

    zeros = []  # one for each tensor in turn, or None where it is no signal
    values = [weight.value for weight in weights]

    def touch(tensor):
        zeros.append(ops.zeros_like(tensor) if is_signal(tensor) else None)
        return None if zeros[-1] is None else tensor

    found = _run(run, touch, weights, values)

    def scalar(zeros, values):
        remaining = iter(zeros)

        def touch(tensor):
            zero = next(remaining)
            return None if zero is None else tensor + zero

        return _run(run, touch, weights, values)[0]

    gradients, weight_gradients = jax.grad(scalar, argnums=(0, 1))(zeros, values)
    return found, [gradient for gradient in gradients if gradient is not None], weight_gradients


def _run(run, touch, weights, values):
    def touch_with_mask(tensor):
        mask = getattr(tensor, "_keras_mask", None)  # Keras hands masks on in this attribute.
        touched = touch(tensor)
        if touched is not None and mask is not None:
            touched._keras_mask = mask
        return touched

    with keras.StatelessScope(zip(weights, values, strict=True), collect_losses=True):
        return run(touch_with_mask)
