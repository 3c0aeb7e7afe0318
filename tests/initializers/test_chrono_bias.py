import keras
import numpy as np
import pytest
from backends import to_numpy

from kerazoo.initializers import ChronoBias


def test_gates_of_an_lstm():
    """exp(b_forget) is uniform on [1, max_time - 1], in Keras's order i, f, c, o."""
    layer = keras.layers.LSTM(5000, bias_initializer=ChronoBias(60, seed=0), unit_forget_bias=False)
    layer.cell.kernel_initializer = layer.cell.recurrent_initializer = keras.initializers.Zeros()
    i, f, c, o = np.split(to_numpy(ChronoBias(60, seed=0)((4 * 5000,))), 4)
    times = np.sort(np.exp(f))
    uniform = 1 + 58 * (np.arange(5000) + 0.5) / 5000
    assert np.abs(times - uniform).max() < 58 * 1.63 / np.sqrt(5000)  # Kolmogorov, 1 %
    np.testing.assert_array_equal(i, -f)
    np.testing.assert_array_equal(c, 0)
    np.testing.assert_array_equal(o, 0)


def test_keeps_a_value_for_a_long_time():
    """With kernels of zero the cell keeps sigmoid(b_forget) of its state at each step."""
    layer = keras.layers.LSTM(
        8,
        kernel_initializer="zeros",
        recurrent_initializer="zeros",
        bias_initializer=ChronoBias(60, seed=0),
        unit_forget_bias=False,
        return_state=True,
    )
    start = np.ones((1, 8), "float32")
    _, _, cell = layer(np.zeros((1, 20, 3)), initial_state=[start, start])
    T = np.exp(np.split(to_numpy(layer.cell.bias), 4)[1])
    np.testing.assert_allclose(to_numpy(cell)[0], (T / (1 + T)) ** 20, rtol=1e-4)


@pytest.mark.parametrize("shape", [(6,), (4, 4), ()])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match="unit_forget_bias=False"):
        ChronoBias(60)(shape)


@pytest.mark.parametrize("units", [3, 8])
def test_unit_forget_bias_is_refused(units):
    """Keras asks for the gates in pieces, and puts ones on the forget gate."""
    arguments = {"bias_initializer": ChronoBias(60)}
    for layer in (keras.layers.LSTM(units, **arguments), keras.layers.LSTMCell(units, **arguments)):
        with pytest.raises(ValueError, match="unit_forget_bias=False"):
            layer.build((None, None, 3) if isinstance(layer, keras.layers.LSTM) else (None, 3))
    with pytest.raises(ValueError, match="unit_forget_bias=False"):
        keras.Sequential(
            [keras.Input((4, 3)), keras.layers.Bidirectional(keras.layers.LSTM(units, **arguments))]
        )


def test_what_is_no_lstm_is_refused():
    layer = keras.layers.GRU(4, bias_initializer=ChronoBias(60), reset_after=False)
    with pytest.raises(ValueError, match="is for the bias of an LSTM"):
        layer.build((None, None, 3))


def test_inside_another_layer():
    """Only the layer that has the bias is asked, not one around it that was built from outside."""

    class Outer(keras.layers.Layer):
        unit_forget_bias = True

        def build(self, shape):
            self.inner = keras.layers.LSTM(
                4, bias_initializer=ChronoBias(60), unit_forget_bias=False
            )
            self.inner.build(shape)

    outer = Outer()
    outer.build((None, None, 3))
    assert np.all(np.split(to_numpy(outer.inner.cell.bias), 4)[1] >= 0)


@pytest.mark.parametrize("max_time", [2, 0, -1, 60.0, None])
def test_max_time_is_checked(max_time):
    with pytest.raises(ValueError, match="`max_time` must be"):
        ChronoBias(max_time)
