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

import backends
import keras
import numpy as np
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
    with backends.double_precision():
        for policy in DTYPE_POLICIES:
            _check_dtype_policy(make(dtype=policy), input_shape)
    _check_unknown_batch(make(), input_shape)
    _check_mask(make(), input_shape)


def check_loss(make, y_true, y_pred):
    """The promises of a loss: `make(**kwargs)` builds one; both arrays are (batch, time, any)."""
    y_true, y_pred = np.asarray(y_true, "float32"), np.asarray(y_pred, "float32")
    assert y_true.shape[:-1] == y_pred.shape[:-1]
    assert (y_pred != 0).all()  # zeros mark what is masked
    with backends.double_precision():
        _check_loss_dtypes(make, y_true, y_pred)
    _check_reduction(make, y_true, y_pred)
    _check_sample_weight(make, y_true, y_pred)
    _check_loss_mask(make, y_true, y_pred)
    _check_loss_compiled(make(), y_true, y_pred)


def check_gradients(layer, x, step=1e-6):
    """In float64 the gradients for inputs and weights agree with central differences."""
    assert layer.compute_dtype == "float64"
    with backends.double_precision():
        _check_gradients(layer, np.asarray(x, "float64"), step)


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
        room = info.name.split(".")[1] in kerazoo.__all__
        # The folders inside hold parts of one method, for the package alone.
        private = info.name.startswith(
            ("kerazoo.optimizers.levenberg_marquardt.", "kerazoo.models.least_squares.")
        )
        if info.ispkg and room and not private:
            yield import_module(info.name)


def _check_gradients(layer, x, step):
    outputs = flat(layer(ops.convert_to_tensor(x)))
    randomize(layer)
    rng = np.random.default_rng(1)
    loss = backends.loss_of_layer(layer, *(rng.normal(size=output.shape) for output in outputs))
    arrays = [x, *(ops.convert_to_numpy(weight) for weight in layer.trainable_weights)]
    _, found = backends.value_and_gradients(loss, *arrays)
    for position, (array, gradient) in enumerate(zip(arrays, found, strict=True)):
        expected = np.zeros_like(array)
        for index in np.ndindex(array.shape):
            for sign in (1, -1):
                moved = [a.copy() for a in arrays]
                moved[position][index] += sign * step
                value = float(loss(*map(ops.convert_to_tensor, moved)))
                expected[index] += sign * value / (2 * step)
        np.testing.assert_allclose(gradient, expected, rtol=1e-6, atol=1e-7)


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


def _check_loss_dtypes(make, y_true, y_pred):
    """Its own dtype is what it computes in; a model's policy only sets the type of `y_pred`."""
    exact = float(make(dtype="float64")(y_true, y_pred))
    tolerance = {"float16": 2e-2, "bfloat16": 1e-1, "float32": 1e-5, "float64": 1e-9}
    for policy in DTYPE_POLICIES:
        compute_dtype = keras.DTypePolicy(policy).compute_dtype
        own = make(dtype=policy)
        assert own.dtype == compute_dtype
        value = own(y_true, y_pred)
        # As Keras's own: on torch its means of float64 are float32.
        of_keras = keras.losses.MeanSquaredError(dtype=policy)(y_pred, y_pred)
        assert value.dtype == of_keras.dtype
        np.testing.assert_allclose(float(value), exact, rtol=tolerance[compute_dtype])
        value = make()(y_true, ops.cast(y_pred, compute_dtype))
        assert keras.backend.standardize_dtype(value.dtype) == "float32"
        np.testing.assert_allclose(float(value), exact, rtol=max(tolerance[compute_dtype], 1e-5))
    config = make(dtype="float64").get_config()
    assert make().from_config(config).dtype == "float64"


def _check_reduction(make, y_true, y_pred):
    """One value a row, reduced as asked; or one value a batch, whatever is asked."""
    values = ops.convert_to_numpy(make(reduction=None)(y_true, y_pred))
    assert values.shape in (y_true.shape[:-1], ())
    for reduction, expected in (
        ("sum", values.sum()),
        ("sum_over_batch_size", values.mean()),
        ("mean_with_sample_weight", values.mean()),
    ):
        found = make(reduction=reduction)(y_true, y_pred)
        np.testing.assert_allclose(found, expected, rtol=1e-5)


def _check_sample_weight(make, y_true, y_pred):
    """A row of weight n counts as n rows, and a sequence's weight is that of its rows."""
    loss = make(reduction="sum")
    by_row = np.arange(np.prod(y_true.shape[:-1])) % 3
    of_rows = [np.repeat(a.reshape(-1, a.shape[-1]), by_row, axis=0) for a in (y_true, y_pred)]
    expected = loss(*of_rows)
    for shape in (y_true.shape[:-1], (*y_true.shape[:-1], 1)):
        found = loss(y_true, y_pred, by_row.reshape(shape).astype("float32"))
        np.testing.assert_allclose(found, expected, rtol=1e-5)
    found = loss(*(a.reshape(-1, a.shape[-1]) for a in (y_true, y_pred)), by_row)
    np.testing.assert_allclose(found, expected, rtol=1e-5)

    # As many steps as sequences: what Keras lays along the wrong axis does not fail by itself.
    size = min(y_true.shape[:2])
    square = [a[:size, :size] for a in (y_true, y_pred)]
    by_sequence = np.arange(size)
    expected = loss(*(np.repeat(a, by_sequence, axis=0) for a in square))
    for weight in (by_sequence, by_sequence[:, None]):
        np.testing.assert_allclose(loss(*square, weight), expected, rtol=1e-5)
    mean = make(reduction="mean_with_sample_weight")
    expected = mean(*(np.repeat(a, by_sequence, axis=0) for a in square))
    np.testing.assert_allclose(mean(*square, by_sequence), expected, rtol=1e-5)


def _check_loss_mask(make, y_true, y_pred):
    """What is masked is as if it were not there."""
    mask = np.arange(np.prod(y_true.shape[:-1])).reshape(y_true.shape[:-1]) % 3 != 1
    masked = keras.layers.Masking()(y_pred * mask[..., None])
    for reduction in ("sum", "sum_over_batch_size", "mean_with_sample_weight"):
        loss = make(reduction=reduction)
        np.testing.assert_allclose(
            loss(y_true, masked), loss(y_true[mask], y_pred[mask]), rtol=1e-5
        )


def _check_loss_compiled(loss, y_true, y_pred):
    """Compiled, for any batch: the eager value and gradient, finite ones."""
    value_and_gradient = backends.differentiated(loss, index=1)
    inputs = [ops.convert_to_tensor(a) for a in (y_true, y_pred, np.ones(len(y_true), "float32"))]
    expected = flat(value_and_gradient(*inputs))
    assert np.isfinite(expected[1]).all()
    shapes = [(None, None, a.shape[-1]) for a in (y_true, y_pred)]
    compiled = backends.compilations(value_and_gradient, *shapes, (None,))
    for function in compiled.values():
        for found, right in zip(flat(function(*inputs)), expected, strict=True):
            np.testing.assert_allclose(found, right, rtol=1e-5, atol=1e-6)
