import backends
import checks
import keras
import numpy as np
import pytest
from keras import ops

from kerazoo.layers import PReLU

RNG = np.random.default_rng(0)
X = RNG.normal(size=(3, 4, 2, 5)).astype("float32")


def numpy_prelu(x, alpha):
    return np.maximum(0, x) + alpha * np.minimum(0, x)


def with_random_alpha(layer, x):
    layer.build(x.shape)
    checks.randomize(layer)
    return layer, layer.get_weights()[0]


def numpy(layer, x):
    return backends.to_numpy(layer(x))


@pytest.mark.parametrize(
    ("arguments", "alpha_shape", "broadcast_shape"),
    [
        ({}, (5,), (5,)),
        ({"axis": 3}, (5,), (5,)),
        ({"axis": 1}, (4,), (4, 1, 1)),
        ({"axis": -2}, (2,), (2, 1)),
        ({"sharing": "layer"}, (), ()),
        ({"sharing": "element"}, (4, 2, 5), (4, 2, 5)),
    ],
)
def test_values(arguments, alpha_shape, broadcast_shape):
    layer, alpha = with_random_alpha(PReLU(**arguments), X)
    assert alpha.shape == alpha_shape
    expected = numpy_prelu(X, alpha.reshape(broadcast_shape))
    for run in (layer, *backends.compilations(layer, X.shape).values()):
        np.testing.assert_allclose(numpy(run, ops.convert_to_tensor(X)), expected, rtol=1e-6)


@pytest.mark.parametrize("sharing", ["channel", "layer", "element"])
def test_starts_at_a_quarter(sharing):
    np.testing.assert_allclose(numpy(PReLU(sharing), X), numpy_prelu(X, 0.25), rtol=1e-6)


def test_starts_at_all_digits_of_a_number(float64):
    layer = PReLU(alpha_initializer=0.1, dtype="float64")
    layer.build((None, 3))
    np.testing.assert_array_equal(backends.to_numpy(layer.alpha), 0.1)


def test_element_is_the_layer_of_keras():
    ours, alpha = with_random_alpha(PReLU("element"), X)
    theirs = keras.layers.PReLU()
    theirs.build(X.shape)
    theirs.set_weights([alpha])
    np.testing.assert_allclose(numpy(ours, X), numpy(theirs, X), rtol=1e-6)


@pytest.mark.parametrize(
    "initializer", [0.1, 0, np.float32(0.5), "ones", keras.initializers.Constant(0.3)]
)
def test_alpha_initializer(initializer):
    expected = {"ones": 1.0}.get(initializer, initializer) if np.isscalar(initializer) else 0.3
    layer = PReLU(alpha_initializer=initializer)
    layer.build(X.shape)
    np.testing.assert_allclose(layer.get_weights(), np.full((1, 5), expected), rtol=1e-6)
    copy = PReLU.from_config(layer.get_config())
    copy.build(X.shape)
    np.testing.assert_array_equal(copy.get_weights(), layer.get_weights())


def test_regularizer_and_constraint_reach_alpha():
    layer = PReLU(alpha_regularizer="l2", alpha_constraint="non_neg")
    copy = PReLU.from_config(layer.get_config())
    for made in (layer, copy):
        made(X)
        (penalty,) = made.losses
        np.testing.assert_allclose(backends.to_numpy(penalty), 0.01 * 5 * 0.25**2, rtol=1e-6)
        limited = made.alpha.constraint(-ops.convert_to_tensor(made.alpha))
        np.testing.assert_array_equal(backends.to_numpy(limited), np.zeros(5))


@pytest.mark.parametrize("shape", [(3, 5), (3, 4, 5), (2, 2, 2, 2, 3), (1, 1), (0, 5)])
@pytest.mark.parametrize("sharing", ["channel", "layer", "element"])
def test_any_rank(sharing, shape):
    x = RNG.normal(size=shape).astype("float32")
    layer, alpha = with_random_alpha(PReLU(sharing), x)
    np.testing.assert_allclose(numpy(layer, x), numpy_prelu(x, alpha), rtol=1e-6)


@pytest.mark.parametrize("sharing", ["channel", "layer"])
@pytest.mark.parametrize("jit_compile", backends.JIT)
def test_any_spatial_size(sharing, jit_compile):
    inputs = keras.Input((None, None, 5))
    layer = PReLU(sharing)
    model = keras.Model(inputs, layer(inputs))
    checks.randomize(model)
    model.compile(jit_compile=jit_compile)
    assert model.output_shape == (None, None, None, 5)
    for size in (1, 6):
        x = RNG.normal(size=(2, size, size + 1, 5)).astype("float32")
        expected = numpy_prelu(x, *layer.get_weights())
        np.testing.assert_allclose(model.predict(x, verbose=0), expected, rtol=1e-6)


def test_channels_first_of_unknown_size():
    layer, alpha = with_random_alpha(PReLU(axis=1), X)
    for run in backends.compilations(layer, [None] * 4).values():
        expected = numpy_prelu(X, alpha[:, None, None])
        np.testing.assert_allclose(numpy(run, ops.convert_to_tensor(X)), expected, rtol=1e-6)


@pytest.mark.skipif(
    backends.BACKEND == "torch",
    reason="Keras 3.15's `ops.where` and `ops.maximum` of float64 are float32 on torch",
)
@pytest.mark.parametrize(
    "arguments", [{}, {"axis": 1}, {"sharing": "layer"}, {"sharing": "element"}]
)
def test_gradients(arguments):
    checks.check_gradients(PReLU(dtype="float64", **arguments), X[:2, :3])


def with_gradients(layer, *directions):
    """The loss and its gradients for inputs and alpha, a function that can be compiled."""
    return backends.differentiated(backends.loss_of_layer(layer, *directions), index=[0, 1])


def test_gradient_at_zero_is_that_of_the_negative_side():
    layer = PReLU()
    layer.build((1, 3))
    gradients = with_gradients(layer, np.float32([[3, 5, 7]]))
    x, alpha = ops.convert_to_tensor([[0.0, -0.0, -2.0]]), ops.ones(3) / 4
    for run in (gradients, *backends.compilations(gradients, (1, 3), (3,)).values()):
        for_input, for_alpha = map(backends.to_numpy, run(x, alpha)[1])
        np.testing.assert_allclose(for_input, [[0.75, 1.25, 1.75]])
        np.testing.assert_allclose(for_alpha, [0, 0, -14])


@backends.needs_tensorflow("forward mode and vectorized_map are TensorFlow's own")
@pytest.mark.parametrize("jit_compile", [None, False, True])
def test_differentiates_in_every_mode(jit_compile):
    """Forward, twice, and per example in `tf.vectorized_map`."""
    import tensorflow as tf

    layer, alpha = with_random_alpha(PReLU(dtype="float64"), X)
    x = tf.constant(X, "float64")
    weight = layer.alpha.value

    def forward(x):
        with tf.autodiff.ForwardAccumulator(x, tf.ones_like(x)) as accumulator:
            y = layer(x)
        return accumulator.jvp(y)

    def squares(example):
        with tf.GradientTape() as tape:
            tape.watch(example)
            y = layer(example[None]) ** 2
        return tape.gradient(y, [example, weight])

    def each(x):
        return tf.vectorized_map(squares, x)

    def twice(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            for_x, _ = squares(x)
        return tape.gradient(for_x, [x, weight])

    if jit_compile is not None:
        forward, each, twice = (
            tf.function(f, jit_compile=jit_compile) for f in (forward, each, twice)
        )
    slope = np.where(X > 0, 1, alpha)
    negative = np.minimum(x, 0)
    np.testing.assert_allclose(forward(x), slope)
    for_x, for_alpha = each(x)
    np.testing.assert_allclose(for_x, 2 * slope**2 * x)
    np.testing.assert_allclose(for_alpha, (2 * alpha * negative**2).sum((1, 2)))
    for_x, for_alpha = twice(x[0])
    np.testing.assert_allclose(for_x, 2 * slope[0] ** 2)
    np.testing.assert_allclose(for_alpha, (4 * alpha * negative[0]).sum((0, 1)))


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_gradients(policy):
    layer = PReLU(dtype=policy)
    layer.build(X.shape)
    gradients = with_gradients(layer, np.ones_like(X))
    gradient = gradients(ops.convert_to_tensor(X), ops.ones(5) / 4)[1][1]
    assert keras.backend.standardize_dtype(gradient.dtype) == "float32"
    expected = np.minimum(X, 0).sum((0, 1, 2))
    np.testing.assert_allclose(backends.to_numpy(gradient), expected, rtol=0.03)


def test_infinite_and_not_a_number():
    """+inf must not become inf - inf on its way, nor reach the gradient of `alpha`."""
    layer = PReLU("layer")
    layer.build((1, 4))
    x = np.float32([[np.inf, -np.inf, np.nan, 1.0]])
    gradients = with_gradients(layer, np.ones((1, 2)))
    two = ops.convert_to_tensor(x[:, ::3])
    for run in (layer, *backends.compilations(layer, (1, 4)).values()):
        np.testing.assert_array_equal(numpy(run, ops.convert_to_tensor(x)), x)
    for run in (gradients, *backends.compilations(gradients, (1, 2), ()).values()):
        assert backends.to_numpy(run(two, ops.ones(()) / 4)[1][1]) == 0


@pytest.mark.parametrize("policy", ["float32", "float64", "mixed_float16"])
def test_integers_become_floats(policy):
    layer = PReLU(dtype=policy)
    with backends.double_precision():
        y = layer(np.array([[-4, 0, 2]]))
    np.testing.assert_array_equal(backends.to_numpy(y), [[-1, 0, 2]])
    assert keras.backend.standardize_dtype(y.dtype) == layer.compute_dtype


def test_learns_its_slopes():
    x, slopes = RNG.normal(size=(256, 3)).astype("float32"), np.array([0.7, -0.5, 0.0])
    model = keras.Sequential([PReLU()])
    model.compile(keras.optimizers.SGD(0.5), "mse", jit_compile=backends.JIT[-1])
    x = np.tile(x, (100, 1))
    model.fit(x, numpy_prelu(x, slopes), batch_size=256, shuffle=False, verbose=0)
    np.testing.assert_allclose(model.get_weights()[0], slopes, atol=0.01)


def test_weight_decay_can_leave_alpha_out():
    model = keras.Sequential([keras.layers.Dense(2), PReLU()])
    optimizer = keras.optimizers.SGD(0.1, weight_decay=0.5)
    optimizer.exclude_from_weight_decay(var_names=["alpha"])
    model.compile(optimizer, "mse")
    x = np.zeros((4, 3), "float32")
    model.build(x.shape)
    kernel = model.get_weights()[0]
    model.fit(x, np.zeros((4, 2)), verbose=0)
    found, _, alpha = model.get_weights()
    np.testing.assert_array_equal(alpha, [0.25, 0.25])
    assert np.abs(found).sum() < np.abs(kernel).sum()


def test_other_inputs_than_it_was_built_for():
    layer = PReLU()
    layer(X)
    with pytest.raises(ValueError, match="expected axis -1 of input shape to have value 5"):
        layer(X[..., :4])
    layer = PReLU("element")
    layer(X)
    with pytest.raises(ValueError, match="expected shape"):
        layer(X[:, :3])


@pytest.mark.parametrize("sharing", ["channels", None, True, ["channel"]])
def test_sharing_must_be_known(sharing):
    with pytest.raises(ValueError, match=r"`sharing` must be one of.*Received: sharing="):
        PReLU(sharing)


@pytest.mark.parametrize("initializer", [None, True, np.nan, np.inf, "quarter"])
def test_alpha_initializer_must_be_one(initializer):
    with pytest.raises(ValueError, match=r"`alpha_initializer` must be a.*Received"):
        PReLU(alpha_initializer=initializer)


@pytest.mark.parametrize("sharing", ["layer", "element"])
def test_axis_belongs_to_channels(sharing):
    """An error; but a file that an earlier version has written goes on loading."""
    with pytest.raises(ValueError, match=rf"`axis` has no effect with `sharing='{sharing}'`"):
        PReLU(sharing, axis=1)
    PReLU(sharing, axis=-1)
    loaded = PReLU.from_config({**PReLU(axis=1).get_config(), "sharing": sharing})
    assert loaded.get_config() == PReLU(sharing, name=loaded.name).get_config()


@pytest.mark.parametrize("axis", [0, 1.0, None, True])
def test_axis_must_be_an_integer(axis):
    with pytest.raises(ValueError, match=r"`axis` must be an integer other than 0.*Received"):
        PReLU(axis=axis)


@pytest.mark.parametrize(("shape", "axis"), [((3, 5), 2), ((3, 5), -2), ((3,), -1)])
def test_axis_must_be_in_the_input(shape, axis):
    with pytest.raises(ValueError, match=r"`axis` must be one of an input's \d axes.*Received"):
        PReLU(axis=axis)(np.ones(shape, "float32"))


@pytest.mark.parametrize(
    ("arguments", "shape"),
    [
        ({}, (4, None)),
        ({"axis": 1}, (None, 4)),
        ({"sharing": "element"}, (None, 4)),
        ({"sharing": "element"}, (4, None)),
    ],
)
def test_dimensions_of_alpha_must_be_known(arguments, shape):
    with pytest.raises(ValueError, match=r"`alpha` needs to know.*Received: sharing="):
        PReLU(**arguments)(keras.Input(shape))
