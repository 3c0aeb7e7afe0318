"""The network is as before when its calls have been recorded, whatever happened."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerazoo.optimizers.levenberg_marquardt.flat_weights import FlatWeights
from kerazoo.optimizers.levenberg_marquardt.jacobian.layer_calls import find_usages

layers = keras.layers


class Fragile(layers.Layer):
    fails = False

    def call(self, x):
        if self.fails:
            raise ArithmeticError("inside the network")
        return x


def network_with_a_call_of_its_own():
    inputs = keras.Input((3,))
    dense = layers.Dense(2, "tanh")
    fragile = Fragile()
    network = keras.Model(inputs, layers.Dense(1)(fragile(dense(inputs))))
    dense.call = lambda x, training=None: layers.Dense.call(dense, 2 * x)
    return network, dense, fragile


@pytest.mark.parametrize("fails", [False, True])
def test_call_and_activation_come_back(fails):
    network, dense, fragile = network_with_a_call_of_its_own()
    own = vars(dense)["call"]
    x = np.ones((4, 3), "float32")
    before = network(x)
    fragile.fails = fails
    weights = FlatWeights(network.trainable_variables)
    if fails:
        with pytest.raises(ArithmeticError, match="inside the network"):
            find_usages(network, weights, tf.constant(x))
    else:
        _, recorder = find_usages(network, weights, tf.constant(x))
        of_dense = next(call for call in recorder.calls if call.layer is dense)
        assert of_dense.before_activation.shape == (1021, 2)
    fragile.fails = False
    assert vars(dense)["call"] is own
    assert dense.activation is keras.activations.tanh
    assert [layer.name for layer in network.layers if "call" in vars(layer)] == [dense.name]
    assert "call" not in vars(network)
    np.testing.assert_array_equal(network(x), before)
