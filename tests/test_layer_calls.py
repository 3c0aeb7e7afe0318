"""What finds the layers inside a layer, and stands in for their functions for a while."""

import keras
import numpy as np
import pytest
from keras import ops

from kerazoo._layer_calls import intercepted, layers_of, replaced

X = np.array([[-1.0, 2.0]], "float32")


class Times(keras.layers.Layer):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def call(self, x, layer=0.0):
        return self.factor * x + layer


class Holder(keras.layers.Layer):
    """Holds a layer in each way that an attribute can."""

    def __init__(self):
        super().__init__()
        self.one = Times(1.0)
        self.listed = [Times(2.0), (Times(3.0), {"deep": Times(4.0)})]
        self.named = {"a": Times(5.0), "b": [Times(6.0)]}
        self._private = Times(7.0)
        self.again = self.one
        self.one.parent = self
        self.no_layers = [1.0, "text", None]
        # What Keras does not track, so that none of its own lists holds them.
        vars(self)["untracked"] = [Times(8.0)]
        vars(self)["untracked_too"] = (Times(9.0), {"deep": [Times(10.0)]})


def value(layer):
    return ops.convert_to_numpy(layer(X))


def test_layers_are_found_in_attributes_lists_and_dicts():
    holder = Holder()
    found = layers_of(holder)
    assert found[0] is holder
    assert sorted(layer.factor for layer in found[1:]) == [*range(1, 11)]
    assert [layer.factor for layer in layers_of(holder.named["a"])] == [5]


def test_layers_of_a_model_inside_a_model():
    activation = keras.layers.PReLU()
    inner = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, activation)])
    model = keras.Sequential([keras.Input((2,)), inner, keras.layers.Dense(1)])
    found = layers_of(model)
    assert {model, inner, activation, *inner.layers, *model.layers} <= set(found)
    assert len({id(layer) for layer in found}) == len(found)


def test_an_interceptor_stands_in_for_call():
    """It gets what the call gets, by position and by name, also where it is named `layer`."""
    double, triple = Times(2.0), Times(3.0)
    seen = []

    def interceptor(layer, call, args, kwargs):
        seen.append((layer, len(args), kwargs))
        return call(*args, **kwargs) + 10

    with intercepted([double, triple], "call", interceptor):
        np.testing.assert_array_equal(ops.convert_to_numpy(double(X, layer=5.0)), 2 * X + 15)
        np.testing.assert_array_equal(value(triple), 3 * X + 10)
    assert seen == [(double, 1, {"layer": 5.0}), (triple, 1, {})]
    np.testing.assert_array_equal(value(double), 2 * X)
    assert "call" not in vars(double)
    assert "call" not in vars(triple)


def test_an_interceptor_stands_in_for_an_activation():
    dense = keras.layers.Dense(2, "relu", kernel_initializer="identity")
    seen = []

    def interceptor(layer, activation, args, kwargs):
        seen.append(ops.convert_to_numpy(args[0]))
        return -activation(*args, **kwargs)

    with intercepted([dense], "activation", interceptor):
        np.testing.assert_array_equal(value(dense), [[0, -2]])
    np.testing.assert_array_equal(seen, [X])
    assert dense.activation is keras.activations.relu
    np.testing.assert_array_equal(value(dense), [[0, 2]])


def test_nested_interceptions():
    """The inner one is asked first, and each ends with its own block."""
    layer = Times(2.0)

    def plus_one(layer, call, args, kwargs):
        return call(*args, **kwargs) + 1

    def times_ten(layer, call, args, kwargs):
        return call(*args, **kwargs) * 10

    with intercepted([layer], "call", plus_one):
        with intercepted([layer], "call", times_ten):
            np.testing.assert_array_equal(value(layer), (2 * X + 1) * 10)
        np.testing.assert_array_equal(value(layer), 2 * X + 1)
    np.testing.assert_array_equal(value(layer), 2 * X)
    with intercepted([layer, layer], "call", plus_one):
        np.testing.assert_array_equal(value(layer), 2 * X + 2)
    assert "call" not in vars(layer)


def test_a_call_of_the_instance_comes_back():
    layer = Times(2.0)

    def own(x):
        return 7 * x

    layer.call = own
    with intercepted([layer], "call", lambda layer, call, args, kwargs: -call(*args)):
        np.testing.assert_array_equal(value(layer), -7 * X)
    assert vars(layer)["call"] is own
    np.testing.assert_array_equal(value(layer), 7 * X)


def test_all_comes_back_after_an_exception():
    first, second = Times(2.0), Times(3.0)
    second.call = own = second.call
    message = "from the interceptor"

    def fail(layer, call, args, kwargs):
        raise ArithmeticError(message)

    with pytest.raises(ArithmeticError, match=message), intercepted([first, second], "call", fail):
        first(X)
    assert "call" not in vars(first)
    assert vars(second)["call"] == own
    np.testing.assert_array_equal(value(first), 2 * X)

    # `factor` is no function of a Dense, so that the second layer stops the interception halfway.
    with (
        pytest.raises(AttributeError, match="factor"),
        intercepted([first, keras.layers.Dense(1)], "factor", fail),
    ):
        pytest.fail("never reached")
    assert first.factor == 2.0


def test_a_replaced_attribute_of_none_comes_back():
    dense = keras.layers.Dense(2, kernel_initializer="identity")
    dense.activation = None
    with replaced(dense, "activation", keras.activations.relu):
        np.testing.assert_array_equal(value(dense), [[0, 2]])
    assert vars(dense)["activation"] is None
    np.testing.assert_array_equal(value(dense), X)


def test_a_replacement_is_not_tracked():
    """A layer in the place of a function does not become a part of the layer."""
    dense = keras.layers.Dense(2)
    dense.build((None, 2))
    prelu = keras.layers.PReLU()
    prelu.build((None, 2))
    with replaced(dense, "activation", prelu):
        assert len(dense.weights) == 2
