"""Gradients and compiled functions, the same way on TensorFlow, JAX and PyTorch."""

import contextlib

import keras
import numpy as np
import pytest
from keras import ops

BACKEND = keras.backend.backend()
ON_TENSORFLOW = BACKEND == "tensorflow"
JIT = [False] if BACKEND == "torch" else [False, True]  # PyTorch's compiler needs one for C++.


def needs_tensorflow(reason):
    """A mark for a test that another backend cannot run; the reason is printed with the skip."""
    return pytest.mark.skipif(not ON_TENSORFLOW, reason=f"TensorFlow only: {reason}")


@contextlib.contextmanager
def double_precision():
    """Inside it float64 is float64: JAX takes it for float32 unless it is told otherwise."""
    if BACKEND == "jax":
        import jax

        with jax.enable_x64(True):
            yield
    else:
        yield


def differentiated(function, index=0):
    """`function` of tensors, a scalar, as a function that also gives its gradient.

    Returns (value, gradient for the argument at `index`), or a list of gradients where `index` is a
    list; zeros where the value does not depend on an argument. The result can be compiled.
    """
    several = isinstance(index, (list, tuple))
    indices = list(index) if several else [index]

    if BACKEND == "tensorflow":
        import tensorflow as tf

        def both(*tensors):
            sources = [tensors[i] for i in indices]
            with tf.GradientTape() as tape:
                tape.watch(sources)
                value = function(*tensors)
            return value, tape.gradient(value, sources, unconnected_gradients="zero")

    elif BACKEND == "jax":
        import jax

        def both(*tensors):
            value, gradients = jax.value_and_grad(function, argnums=tuple(indices))(*tensors)
            return value, list(gradients)

    else:
        import torch

        def both(*tensors):
            tensors = [ops.convert_to_tensor(tensor) for tensor in tensors]
            for i in indices:
                tensors[i] = tensors[i].detach().clone().requires_grad_(True)
            sources = [tensors[i] for i in indices]
            value = function(*tensors)
            gradients = torch.autograd.grad(
                value, sources, allow_unused=True, materialize_grads=True
            )
            return value.detach(), list(gradients)

    def result(*tensors):
        value, gradients = both(*tensors)
        return value, gradients if several else gradients[0]

    return result


def value_and_gradients(function, *arrays):
    """The value of `function(*arrays)` and its gradients for all of them, as NumPy arrays."""
    tensors = [ops.convert_to_tensor(array) for array in arrays]
    value, gradients = differentiated(function, [*range(len(tensors))])(*tensors)
    return ops.convert_to_numpy(value), [ops.convert_to_numpy(g) for g in gradients]


def compilations(function, *shapes, dtypes=None):
    """`function` compiled in every way that the backend has, by the name of the way.

    On TensorFlow as a graph and by XLA, each for the shapes given, where None is any size; on JAX
    by XLA; on PyTorch not at all, whose compiler needs one for C++.
    """
    if BACKEND == "tensorflow":
        import tensorflow as tf

        dtypes = dtypes or ["float32"] * len(shapes)
        signature = [tf.TensorSpec(s, d) for s, d in zip(shapes, dtypes, strict=True)]
        return {
            "graph": tf.function(function, input_signature=signature),
            "xla": tf.function(function, input_signature=signature, jit_compile=True),
        }
    if BACKEND == "jax":
        import jax

        return {"xla": jax.jit(function)}
    return {}


def loss_of_layer(layer, *directions):
    """A scalar function of a layer's inputs and trainable weights, for gradients.

    The sum over its outputs of output times direction; the weights stay as they are.
    """

    def loss(inputs, *weights):
        state = [v.value for v in layer.non_trainable_variables]
        outputs, _ = layer.stateless_call(list(weights), state, inputs)
        outputs = keras.tree.flatten(outputs)
        return sum(
            ops.sum(o * ops.cast(d, o.dtype)) for o, d in zip(outputs, directions, strict=True)
        )

    return loss


def to_numpy(tensor):
    return np.asarray(ops.convert_to_numpy(tensor))
