import backends
import checks
import keras
import numpy as np
import pytest
from keras import ops

from kerazoo.layers import Maxout

RNG = np.random.default_rng(0)


def numpy_maxout(x, num_units, axis):
    """out[u] = max over p of in[p * num_units + u], one feature at a time."""
    x = np.moveaxis(x, axis, -1)
    columns = [x[..., u::num_units].max(axis=-1) for u in range(num_units)]
    return np.moveaxis(np.stack(columns, axis=-1), -1, axis)


@pytest.mark.parametrize(
    ("shape", "num_units", "axis"),
    [
        ((5, 4, 2, 18), 3, -1),  # the cases of tfa.layers.Maxout from here
        ((2, 4, 6), 3, -1),
        ((5, 4, 2, 18), 2, 1),
        ((5, 9, 2, 18), 3, -3),
        ((5, 8), 4, -1),  # to here
        ((5, 8), 2, 1),
        ((2, 3, 4, 2, 6), 3, -1),
        ((2, 3, 4, 2, 6), 2, 2),
        ((1, 7), 7, -1),  # one piece a unit
        ((3, 7), 1, -1),  # one unit
        ((1, 1, 1), 1, -1),
        ((0, 6), 3, -1),  # no examples
        ((2, 0, 6), 3, -1),
    ],
)
def test_values(shape, num_units, axis):
    layer = Maxout(num_units, axis)
    x = RNG.normal(size=shape).astype("float32")
    for run in (layer, *backends.compilations(layer, shape).values()):
        y = run(ops.convert_to_tensor(x))
        assert tuple(y.shape) == layer.compute_output_shape(shape)
        np.testing.assert_array_equal(backends.to_numpy(y), numpy_maxout(x, num_units, axis))


@pytest.mark.parametrize("axis", [-1, 1, -3])
def test_all_dimensions_unknown(axis):
    x = RNG.normal(size=(5, 9, 2, 18)).astype("float32")
    layer = Maxout(3, axis)
    expected = [None] * 4
    expected[axis] = 3
    assert layer(keras.KerasTensor([None] * 4)).shape == tuple(expected)
    for run in backends.compilations(layer, [None] * 4).values():
        y = run(ops.convert_to_tensor(x))
        np.testing.assert_array_equal(backends.to_numpy(y), numpy_maxout(x, 3, axis))


def test_all_dimensions_unknown_in_a_functional_model():
    inputs = keras.Input((None, None, None))
    model = keras.Model(inputs, Maxout(3)(inputs))
    assert model.output_shape == (None, None, None, 3)
    x = RNG.normal(size=(5, 4, 2, 18)).astype("float32")
    np.testing.assert_array_equal(model.predict(x, verbose=0), numpy_maxout(x, 3, -1))
    with pytest.raises(Exception, match=r"reshape|divide"):  # known only when the data come
        model.predict(np.ones((5, 4, 2, 17), "float32"), verbose=0)


@backends.needs_tensorflow("other backends have no graphs of unknown size")
def test_shapes_in_a_graph():
    for shape in ((None, None, 12), (None, None, None)):
        graph = backends.compilations(Maxout(3), shape)["graph"]
        assert graph.get_concrete_function().output_shapes.as_list() == [None, None, 3]


@pytest.mark.parametrize(("shape", "axis"), [((3, 8), -1), ((2, 6, 3), 1), ((2, 3, 2, 4), -1)])
def test_gradients(shape, axis):
    checks.check_gradients(Maxout(2, axis, dtype="float64"), RNG.normal(size=shape))


def test_ties_share_the_gradient_equally():
    layer = Maxout(2)
    both = backends.differentiated(lambda x: ops.sum(ops.multiply(layer(x), [[3.0, 5.0]])))
    # unit 0: 7, 7, 1, 7; unit 1: 2, 4, 4, 0
    x = ops.convert_to_tensor(np.float32([[7, 2, 7, 4, 1, 4, 7, 0]]))
    for run in (both, *backends.compilations(both, (1, 8)).values()):
        found = backends.to_numpy(run(x)[1])
        np.testing.assert_allclose(found, [[1, 0, 1, 2.5, 0, 2.5, 1, 0]], rtol=1e-6)


@backends.needs_tensorflow("forward mode and vectorized_map are TensorFlow's own")
def test_differentiates_in_every_mode():
    """Forward, twice, and per example in `tf.vectorized_map`, as `tf.reduce_max` does."""
    import tensorflow as tf

    layer = Maxout(2, dtype="float64")
    x = tf.constant(RNG.normal(size=(3, 6)))

    def squares(x):
        return layer(x) ** 2

    def gradient(row):
        with tf.GradientTape() as tape:
            tape.watch(row)
            y = squares(row[None])
        return tape.gradient(y, row)

    largest = np.isin(x, numpy_maxout(x.numpy(), 2, -1))
    np.testing.assert_allclose(tf.vectorized_map(gradient, x), 2 * x * largest)
    np.testing.assert_allclose(gradient(x[0]), (2 * x * largest)[0])
    with tf.autodiff.ForwardAccumulator(x, tf.ones_like(x)) as accumulator:
        y = squares(x)
    np.testing.assert_allclose(accumulator.jvp(y), 2 * layer(x))
    with tf.GradientTape() as tape:
        tape.watch(x)
        first = tf.stack([gradient(row) for row in tf.unstack(x)])
    np.testing.assert_allclose(tape.gradient(first, x), 2.0 * largest)


def test_not_a_number_stays_visible():
    assert np.isnan(backends.to_numpy(Maxout(1)(np.array([[1.0, np.nan, 2.0]])))).all()


def test_integers():
    y = Maxout(2)(np.array([[1, 5, 2, 4]]))
    np.testing.assert_array_equal(backends.to_numpy(y), [[2, 5]])
    assert keras.backend.standardize_dtype(y.dtype).startswith("int")


def test_trains_compiled():
    x = RNG.normal(size=(64, 4)).astype("float32")
    y = np.abs(x[:, :1])
    inputs = keras.Input((4,))
    hidden = Maxout(4)(keras.layers.Dense(8)(inputs))
    model = keras.Model(inputs, keras.layers.Dense(1)(hidden))
    model.compile(keras.optimizers.Adam(0.03), "mse", jit_compile=backends.JIT[-1])
    before = model.evaluate(x, y, verbose=0)
    model.fit(np.tile(x, (60, 1)), np.tile(y, (60, 1)), batch_size=64, shuffle=False, verbose=0)
    assert model.evaluate(x, y, verbose=0) < 0.2 * before


def test_mask_of_another_axis_is_dropped():
    x, mask = np.ones((2, 6, 4), "float32"), ops.ones((2, 6), "bool")
    assert Maxout(2).compute_mask(x, mask) is mask
    assert Maxout(2, axis=1).compute_mask(x, mask) is None
    assert Maxout(2).compute_mask(x, None) is None


def test_numpy_integers_are_stored_as_int():
    config = Maxout(np.int64(3), axis=np.int32(-1)).get_config()
    assert type(config["num_units"]) is int
    assert type(config["axis"]) is int


@pytest.mark.parametrize("num_units", [0, -1, 2.0, "3", None, True, np.True_, [3]])
def test_num_units_must_be_a_positive_integer(num_units):
    with pytest.raises(ValueError, match=r"`num_units` must be a positive integer.*Received"):
        Maxout(num_units)


@pytest.mark.parametrize("axis", [0, 1.0, None, "1", True])
def test_axis_must_be_an_integer(axis):
    with pytest.raises(ValueError, match=r"`axis` must be an integer other than 0.*Received"):
        Maxout(3, axis=axis)


@pytest.mark.parametrize(("shape", "axis"), [((2, 6), 2), ((2, 6), -2), ((2, 6), -3), ((6,), -1)])
def test_axis_must_be_in_the_input(shape, axis):
    with pytest.raises(ValueError, match=r"`axis` must be one of an input's \d axes.*Received"):
        Maxout(3, axis)(np.ones(shape, "float32"))
    with pytest.raises(ValueError, match="`axis` must be one of"):
        Maxout(3, axis).compute_output_shape(shape)


@pytest.mark.parametrize("features", [7, 2, 0])
def test_num_units_must_divide_the_features(features):
    with pytest.raises(ValueError, match=r"`num_units` must divide.*num_units=3, axis=-1"):
        Maxout(3)(np.ones((2, features), "float32"))
    with pytest.raises(ValueError, match="`num_units` must divide"):
        Maxout(3)(keras.Input((features,)))
