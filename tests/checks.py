"""The promises that every public object keeps, whatever it computes.

`EXAMPLES` in examples.py builds one of each; test_promises.py finds every public class of the
package by itself and holds it against the promises of its kind.
"""

import inspect
import json
import pkgutil
import subprocess
import sys
import textwrap
from importlib import import_module

import keras
import numpy as np
import tensorflow as tf
from keras import ops

import kerazoo

DTYPE_POLICIES = ("float32", "float64", "mixed_float16", "mixed_bfloat16")
MASKABLE_RANK = 3


def public_objects():
    """Every object named in an `__all__` of the package, by its dotted name."""
    found = {}
    for module in _modules():
        for name in getattr(module, "__all__", ()):
            value = getattr(module, name)
            if not inspect.ismodule(value) and not name.startswith("__"):
                found.setdefault(id(value), (f"{module.__name__}.{name}", value))
    return dict(found.values())


def public_classes():
    return {name: value for name, value in public_objects().items() if inspect.isclass(value)}


def check_config(make):
    """Every `__init__` argument is in `get_config`, and the config rebuilds the object."""
    first = make()
    config = first.get_config()
    arguments = [
        p.name
        for p in inspect.signature(type(first).__init__).parameters.values()
        if p.name != "self" and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]
    missing = [name for name in arguments if name not in config]
    assert not missing, f"get_config() lacks {missing}"
    as_json = json.dumps(keras.saving.serialize_keras_object(first))
    assert json.loads(as_json)["registered_name"] == f"kerazoo>{type(first).__name__}"
    second = keras.saving.deserialize_keras_object(json.loads(as_json), safe_mode=True)
    assert type(second) is type(first)
    assert json.dumps(keras.saving.serialize_keras_object(second)) == as_json


def check_layer(make, input_shape):
    """The promises of a layer: `make(**kwargs)` builds one, `input_shape` is without batch."""
    for policy in DTYPE_POLICIES:
        _check_dtype_policy(make(dtype=policy), input_shape)
    _check_unknown_batch(make(), input_shape)
    _check_mask(make(), input_shape)


def check_gradients(layer, x, step=1e-6):
    """In float64 the gradients for inputs and weights agree with central differences."""
    assert layer.compute_dtype == "float64"
    x = tf.Variable(np.asarray(x, "float64"))
    outputs = keras.tree.flatten(layer(x))
    randomize(layer)
    rng = np.random.default_rng(1)
    directions = [rng.normal(size=output.shape) for output in outputs]

    def loss():
        outputs = keras.tree.flatten(layer(x))
        return sum(ops.sum(o * d) for o, d in zip(outputs, directions, strict=True))

    variables = [x, *(weight.value for weight in layer.trainable_weights)]
    with tf.GradientTape() as tape:
        value = loss()
    found = tape.gradient(value, variables, unconnected_gradients="zero")
    for variable, gradient in zip(variables, found, strict=True):
        start = np.array(variable)
        expected = np.zeros_like(start)
        for index in np.ndindex(start.shape):
            for sign in (1, -1):
                moved = start.copy()
                moved[index] += sign * step
                variable.assign(moved)
                expected[index] += sign * float(loss()) / (2 * step)
        variable.assign(start)
        np.testing.assert_allclose(gradient, expected, rtol=1e-6, atol=1e-7)


def layer_model(make, input_shape):
    """A functional model that is only this layer, its weights random: zeros hide bugs."""
    inputs = keras.Input(input_shape)
    model = keras.Model(inputs, make()(inputs))
    randomize(model)
    return model


def randomize(model, seed=0):
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        if keras.backend.is_float_dtype(weight.dtype):
            weight.assign(rng.normal(size=weight.shape))


def sample(shape, batch=3, seed=0):
    return np.random.default_rng(seed).normal(size=(batch, *shape)).astype("float32")


def run_in_fresh_process(code, *arguments):
    """Runs Python code outside the checkout, in an interpreter that has seen nothing yet."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd="/",
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def flat(outputs):
    return [ops.convert_to_numpy(tensor) for tensor in keras.tree.flatten(outputs)]


def _modules():
    yield kerazoo
    for info in pkgutil.walk_packages(kerazoo.__path__, "kerazoo."):
        # The checkout is the package: an editable install shows the folders beside it too.
        if info.name.split(".")[1] in kerazoo.__all__:
            yield import_module(info.name)


def _check_dtype_policy(layer, input_shape):
    x = ops.convert_to_tensor(sample(input_shape), layer.compute_dtype)
    outputs = keras.tree.flatten(layer(x))
    spec = keras.KerasTensor((3, *input_shape), dtype=layer.compute_dtype)
    promised = keras.tree.flatten(layer.compute_output_spec(spec))
    assert len(outputs) == len(promised)
    for output, spec in zip(outputs, promised, strict=True):
        assert keras.backend.standardize_dtype(output.dtype) == layer.compute_dtype
        assert keras.backend.standardize_dtype(spec.dtype) == layer.compute_dtype
        assert tuple(output.shape) == tuple(spec.shape)
        assert np.isfinite(ops.convert_to_numpy(ops.cast(output, "float32"))).all()
    for weight in layer.trainable_weights:
        assert weight.dtype == layer.variable_dtype


def _check_unknown_batch(layer, input_shape):
    inputs = keras.Input(input_shape)
    model = keras.Model(inputs, layer(inputs))
    for batch in (1, 5):
        x = sample(input_shape, batch)
        for whole, one in zip(flat(model(x)), flat(model(x[:1])), strict=True):
            np.testing.assert_allclose(whole[:1], one, rtol=1e-5, atol=1e-6)
    assert model.predict(sample(input_shape, 5), batch_size=2, verbose=0) is not None


def _check_mask(layer, input_shape):
    if not layer.supports_masking or len(input_shape) < MASKABLE_RANK - 1:
        return
    x = ops.convert_to_tensor(sample(input_shape))
    mask = np.zeros((3, input_shape[0]), bool)
    mask[:, 0] = True
    outputs = keras.tree.flatten(layer(x))
    masks = keras.tree.flatten(layer.compute_mask(x, ops.convert_to_tensor(mask)))
    for output, passed in zip(outputs, masks, strict=True):
        if tuple(output.shape[:2]) == mask.shape:
            np.testing.assert_array_equal(ops.convert_to_numpy(passed), mask)
        else:  # No time axis any more: the mask would mark other things than it did.
            assert passed is None
