import keras
import numpy as np
import pytest

from kerazoo.initializers import ChronoBias


def test_gates_of_an_lstm():
    """exp(b_forget) is uniform on [1, max_time - 1], in Keras's order i, f, c, o."""
    layer = keras.layers.LSTM(5000, bias_initializer=ChronoBias(60, seed=0), unit_forget_bias=False)
    layer.cell.kernel_initializer = layer.cell.recurrent_initializer = keras.initializers.Zeros()
    i, f, c, o = np.split(ChronoBias(60, seed=0)((4 * 5000,)).numpy(), 4)
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
    T = np.exp(np.split(layer.cell.bias.numpy(), 4)[1])
    np.testing.assert_allclose(cell[0], (T / (1 + T)) ** 20, rtol=1e-4)


@pytest.mark.parametrize("shape", [(6,), (4, 4), ()])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match="unit_forget_bias=False"):
        ChronoBias(60)(shape)


@pytest.mark.parametrize("max_time", [2, 0, -1, 60.0, None])
def test_max_time_is_checked(max_time):
    with pytest.raises(ValueError, match="`max_time` must be"):
        ChronoBias(max_time)
