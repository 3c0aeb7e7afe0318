"""What a network must keep for its loss to be a sum over examples, each on its own."""

import inspect

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from ..._layer_calls import layers_of
from ...optimizers.levenberg_marquardt.jacobian import differs_alone

# Under training=True these do something that they do not do under training=False.
_RATES = ("rate", "dropout", "recurrent_dropout", "stddev")


def build_all(network):
    """Builds the layers whose weights only a call makes, such as a `PReLU` as an activation."""
    inputs = getattr(network, "inputs", None)
    if inputs and not all(layer.built for layer in layers_of(network)):
        specs = [tf.TensorSpec(spec.shape, spec.dtype) for spec in inputs]
        call = tf.function(lambda x: network(x, training=False), autograph=False)
        call.get_concrete_function(specs if len(specs) > 1 else specs[0])


def check_precision(network):
    for layer in layers_of(network):
        if layer.compute_dtype != layer.variable_dtype:
            raise ValueError(
                "Levenberg-Marquardt needs float32 or float64 throughout: half precision has too "
                "few digits for the curvature. Build the network with `dtype='float32'`. "
                f"Received: layer={layer.name} with dtype policy {layer.dtype_policy.name}"
            )


def check_examples_are_apart(network):
    """Refuses layers that are known to mix examples; `mixing_layer` finds the others."""
    for layer in layers_of(network):
        if getattr(layer, "stateful", False):
            raise ValueError(
                "Levenberg-Marquardt runs each example on its own, and a stateful layer carries "
                "one batch into the next. Use `stateful=False`. "
                f"Received: layer={layer.name}"
            )


def layers_that_training_changes(network):
    """Names of the layers for which `training=False` makes a difference to training."""
    return [layer.name for layer in layers_of(network) if _depends_on_training(layer)]


def mixing_layer(network):
    """The name of the first layer whose output for an example depends on the other examples.

    The network's own name where it is not made of layers that can be run one after the other.
    """
    if not getattr(network, "inputs", None):
        return network.name
    x = [_random_examples(spec) for spec in network.inputs]
    for layer in network.layers:
        part = keras.Model(network.inputs, layer.output)
        together = keras.tree.flatten(part(x, training=False))
        for i in (0, len(x[0]) - 1):
            alone = keras.tree.flatten(part([value[i : i + 1] for value in x], training=False))
            if any(differs_alone(a, b, i) for a, b in zip(together, alone, strict=True)):
                return layer.name
    return network.name


def _depends_on_training(layer):
    rates = [getattr(layer, name, None) for name in _RATES]
    if any(isinstance(rate, (int, float)) and rate > 0 for rate in rates):
        return True
    kind = type(layer)
    if kind.__module__.split(".")[0] == "keras":
        return kind is keras.layers.BatchNormalization or kind.__name__.startswith("Random")
    # A layer of the user's own may do anything with `training`; a model passes it on.
    takes_training = "training" in inspect.signature(layer.call).parameters
    return takes_training and not isinstance(layer, keras.Model)


def _random_examples(spec, examples=4, unknown=8):
    shape = (examples, *(unknown if size is None else size for size in spec.shape[1:]))
    rng = np.random.default_rng(0)
    if keras.backend.is_float_dtype(spec.dtype):
        return ops.convert_to_tensor(rng.normal(size=shape), spec.dtype)
    return ops.convert_to_tensor(rng.integers(0, 2, shape), spec.dtype)
