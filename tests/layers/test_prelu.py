import checks
import keras
import numpy as np
import pytest
import tensorflow as tf

from kerazoo.layers import PReLU

RNG = np.random.default_rng(0)
X = RNG.normal(size=(3, 4, 2, 5)).astype("float32")


def numpy_prelu(x, alpha):
    return np.maximum(0, x) + alpha * np.minimum(0, x)


def with_random_alpha(layer, x):
    layer.build(x.shape)
    checks.randomize(layer)
    return layer, layer.alpha.numpy()


@pytest.mark.parametrize("jit_compile", [None, False, True])
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
def test_values(arguments, alpha_shape, broadcast_shape, jit_compile):
    layer, alpha = with_random_alpha(PReLU(**arguments), X)
    assert alpha.shape == alpha_shape
    run = layer if jit_compile is None else tf.function(layer, jit_compile=jit_compile)
    expected = numpy_prelu(X, alpha.reshape(broadcast_shape))
    np.testing.assert_allclose(run(tf.constant(X)), expected, rtol=1e-6)


@pytest.mark.parametrize("sharing", ["channel", "layer", "element"])
def test_starts_at_a_quarter(sharing):
    np.testing.assert_allclose(PReLU(sharing)(X), numpy_prelu(X, 0.25), rtol=1e-6)


def test_element_is_the_layer_of_keras():
    ours, alpha = with_random_alpha(PReLU("element"), X)
    theirs = keras.layers.PReLU()
    theirs.build(X.shape)
    theirs.set_weights([alpha])
    np.testing.assert_allclose(ours(X), theirs(X), rtol=1e-6)


@pytest.mark.parametrize(
    "initializer", [0.1, 0, np.float32(0.5), "ones", keras.initializers.Constant(0.3)]
)
def test_alpha_initializer(initializer):
    expected = {"ones": 1.0}.get(initializer, initializer) if np.isscalar(initializer) else 0.3
    layer = PReLU(alpha_initializer=initializer)
    layer.build(X.shape)
    np.testing.assert_allclose(layer.alpha, np.full(5, expected), rtol=1e-6)
    copy = PReLU.from_config(layer.get_config())
    copy.build(X.shape)
    np.testing.assert_array_equal(copy.alpha, layer.alpha)


def test_regularizer_and_constraint_reach_alpha():
    layer = PReLU(alpha_regularizer="l2", alpha_constraint="non_neg")
    copy = PReLU.from_config(layer.get_config())
    for made in (layer, copy):
        made(X)
        np.testing.assert_allclose(made.losses, [0.01 * 5 * 0.25**2], rtol=1e-6)
        np.testing.assert_array_equal(made.alpha.constraint(-made.alpha), np.zeros(5))


@pytest.mark.parametrize("shape", [(3, 5), (3, 4, 5), (2, 2, 2, 2, 3), (1, 1), (0, 5)])
@pytest.mark.parametrize("sharing", ["channel", "layer", "element"])
def test_any_rank(sharing, shape):
    x = RNG.normal(size=shape).astype("float32")
    layer, alpha = with_random_alpha(PReLU(sharing), x)
    np.testing.assert_allclose(layer(x), numpy_prelu(x, alpha), rtol=1e-6)


@pytest.mark.parametrize("sharing", ["channel", "layer"])
@pytest.mark.parametrize("jit_compile", [False, True])
def test_any_spatial_size(sharing, jit_compile):
    inputs = keras.Input((None, None, 5))
    layer = PReLU(sharing)
    model = keras.Model(inputs, layer(inputs))
    checks.randomize(model)
    model.compile(jit_compile=jit_compile)
    assert model.output_shape == (None, None, None, 5)
    for size in (1, 6):
        x = RNG.normal(size=(2, size, size + 1, 5)).astype("float32")
        expected = numpy_prelu(x, layer.alpha.numpy())
        np.testing.assert_allclose(model.predict(x, verbose=0), expected, rtol=1e-6)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_channels_first_of_unknown_size(jit_compile):
    layer, alpha = with_random_alpha(PReLU(axis=1), X)
    unknown = tf.TensorSpec([None] * 4)
    run = tf.function(layer, input_signature=[unknown], jit_compile=jit_compile)
    np.testing.assert_allclose(run(X), numpy_prelu(X, alpha[:, None, None]), rtol=1e-6)


@pytest.mark.parametrize(
    "arguments", [{}, {"axis": 1}, {"sharing": "layer"}, {"sharing": "element"}]
)
def test_gradients(arguments):
    checks.check_gradients(PReLU(dtype="float64", **arguments), X[:2, :3])


@pytest.mark.parametrize("jit_compile", [None, False, True])
def test_gradient_at_zero_is_that_of_the_negative_side(jit_compile):
    layer = PReLU()
    layer.build((1, 3))

    def gradients(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x) * [[3.0, 5.0, 7.0]]
        return tape.gradient(y, [x, layer.alpha.value])

    of = gradients if jit_compile is None else tf.function(gradients, jit_compile=jit_compile)
    for_input, for_alpha = of(tf.constant([[0.0, -0.0, -2.0]]))
    np.testing.assert_allclose(for_input, [[0.75, 1.25, 1.75]])
    np.testing.assert_allclose(for_alpha, [0, 0, -14])


@pytest.mark.parametrize("jit_compile", [None, False, True])
def test_differentiates_in_every_mode(jit_compile):
    """Forward, twice, and per example in `tf.vectorized_map`."""
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
    with tf.GradientTape() as tape:
        y = layer(X)
    gradient = tape.gradient(y, layer.alpha.value)
    assert gradient.dtype == "float32"
    np.testing.assert_allclose(gradient, np.minimum(X, 0).sum((0, 1, 2)), rtol=0.03)


@pytest.mark.parametrize("jit_compile", [None, False, True])
def test_infinite_and_not_a_number(jit_compile):
    """+inf must not become inf - inf on its way, nor reach the gradient of `alpha`."""
    layer = PReLU("layer")
    layer.build((1, 4))

    def run(x):
        with tf.GradientTape() as tape:
            y = layer(x)
        return y, tape.gradient(y, layer.alpha.value)

    run = run if jit_compile is None else tf.function(run, jit_compile=jit_compile)
    x = tf.constant([[np.inf, -np.inf, np.nan, 1.0]])
    np.testing.assert_array_equal(run(x)[0], x)
    assert run(x[:, ::3])[1] == 0


@pytest.mark.parametrize("policy", ["float32", "float64", "mixed_float16"])
def test_integers_become_floats(policy):
    layer = PReLU(dtype=policy)
    y = layer(np.array([[-4, 0, 2]]))
    np.testing.assert_array_equal(y, [[-1, 0, 2]])
    assert y.dtype == layer.compute_dtype


def test_learns_its_slopes():
    x, slopes = RNG.normal(size=(256, 3)).astype("float32"), np.array([0.7, -0.5, 0.0])
    model = keras.Sequential([PReLU()])
    model.compile(keras.optimizers.SGD(0.5), "mse", jit_compile=True)
    for _ in range(100):
        model.train_on_batch(x, numpy_prelu(x, slopes))
    np.testing.assert_allclose(model.layers[0].alpha, slopes, atol=0.01)


def test_weight_decay_can_leave_alpha_out():
    model = keras.Sequential([keras.layers.Dense(2), PReLU()])
    optimizer = keras.optimizers.SGD(0.1, weight_decay=0.5)
    optimizer.exclude_from_weight_decay(var_names=["alpha"])
    model.compile(optimizer, "mse")
    x = np.zeros((4, 3), "float32")
    model.build(x.shape)
    kernel = model.layers[0].kernel.numpy()
    model.fit(x, np.zeros((4, 2)), verbose=0)
    np.testing.assert_array_equal(model.layers[1].alpha, [0.25, 0.25])
    assert np.abs(model.layers[0].kernel.numpy()).sum() < np.abs(kernel).sum()


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


@pytest.mark.parametrize("initializer", [None, True])
def test_alpha_initializer_must_be_one(initializer):
    with pytest.raises(ValueError, match=r"`alpha_initializer` must be a number.*Received"):
        PReLU(alpha_initializer=initializer)


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
