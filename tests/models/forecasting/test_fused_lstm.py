"""The LSTM in one operation against Keras's own loop over its steps."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from forecasting_cases import make, waves

from kerazoo.models.forecasting import recurrent_network
from kerazoo.models.forecasting._fused_lstm import can_fuse, fused_lstm


def lstm():
    layer = keras.layers.LSTM(5, return_sequences=True, return_state=True)
    layer.build((3, 7, 4))
    layer.cell.bias.assign(np.random.normal(size=20))
    return layer


def draw(*shape):
    return tf.constant(np.random.normal(size=shape), "float32")


@pytest.mark.parametrize("steps", [1, 7])
def test_outputs_states_and_gradients_are_those_of_keras(steps):
    keras.utils.set_random_seed(0)
    layer, x, states = lstm(), draw(3, steps, 4), [draw(3, 5), draw(3, 5)]
    weights = [draw(3, steps, 5), draw(3, 5), draw(3, 5)]
    known = [variable.value for variable in layer.trainable_variables]

    def results(run):
        with tf.GradientTape() as tape:
            tape.watch([x, *states])
            outputs = run()
            loss = sum(tf.reduce_sum(w * o) for w, o in zip(weights, outputs, strict=True))
        return [*outputs, *tape.gradient(loss, [*known, x, *states])]

    def fused():
        outputs, ended = fused_lstm(layer, x, states)
        return outputs, *ended

    expected = results(lambda: layer(x, initial_state=states))
    for one, other in zip(results(fused), expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_what_has_no_such_operation():
    has_none = bool(tf.config.list_physical_devices("GPU"))
    assert can_fuse(lstm()) != has_none
    assert not can_fuse(keras.layers.GRU(5))
    assert not can_fuse(keras.layers.LSTM(5, dtype="float64"))
    assert not can_fuse(keras.layers.LSTM(5, dtype="mixed_float16"))


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [{"units": (8,)}, {"units": (6, 4), "dropout": 0.2}])
def test_training_ends_where_it_ends_with_keras(arguments, monkeypatch):
    def trained():
        keras.utils.set_random_seed(0)
        model = make(optimizer=keras.optimizers.SGD(0.01), **arguments)
        history = model.fit(waves(), batch_size=3, bptt_steps=9, epochs=2, verbose=0)
        return [history.history["loss"], model.evaluate(waves(), verbose=0), *model.get_weights()]

    fused = trained()
    monkeypatch.setattr(recurrent_network, "can_fuse", lambda layer: False)
    for one, other in zip(fused, trained(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
