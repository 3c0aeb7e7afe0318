"""What the README says of Keras's MultiOptimizer."""

import keras
import numpy as np
import pytest
import tensorflow as tf

pytestmark = pytest.mark.skipif(
    not hasattr(keras.optimizers, "OptimizerMap"), reason="Keras has MultiOptimizer from 3.15 on"
)

RATES = {"body": 0.1, "critic": 0.01}


def network():
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Dense(4, "tanh", name="body"), keras.layers.Dense(1, name="critic")]
    return keras.Sequential([keras.Input((3,)), *layers])


def multi_optimizer(make):
    groups = keras.optimizers.OptimizerMap(make(RATES["body"]))
    groups[".*critic/.*"] = make(RATES["critic"])
    return keras.optimizers.MultiOptimizer(groups)


def gradients(model, x, y):
    weights = [w.value for w in model.trainable_variables]
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean((model(x) - y) ** 2)
    return tape.gradient(loss, weights)


def test_each_group_has_its_rate():
    model, by_hand = network(), network()
    x = np.random.default_rng(0).normal(size=(8, 3)).astype("float32")
    y = x[:, :1]
    model.compile(multi_optimizer(keras.optimizers.SGD), "mse")
    model.train_on_batch(x, y)
    for weight, gradient in zip(by_hand.trainable_variables, gradients(by_hand, x, y), strict=True):
        weight.assign(weight - RATES[weight.path.split("/")[-2]] * gradient)
    for found, expected in zip(model.get_weights(), by_hand.get_weights(), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-7)
    counts = [int(one.iterations) for one in model.optimizer.optimizers]
    assert counts == [1, 1]
    with pytest.raises(AttributeError, match="Learning rate cannot be"):
        model.optimizer.learning_rate = 0.1


def test_a_pattern_must_match_the_whole_path():
    model = network()
    groups = keras.optimizers.OptimizerMap(keras.optimizers.SGD(0.1))
    groups["critic/.*"] = rare = keras.optimizers.SGD(0.01)
    model.compile(keras.optimizers.MultiOptimizer(groups), "mse")
    model.train_on_batch(np.ones((2, 3)), np.ones((2, 1)))
    assert model.layers[1].kernel.path.split("/")[1] == "critic"
    assert int(rare.iterations) == 0  # matched nothing, without a word


def test_one_optimizer_applied_to_each_group_counts_twice():
    """The trap: a schedule of 10 batches is over after 5."""
    model = network()
    schedule = keras.optimizers.schedules.PolynomialDecay(0.1, 10, end_learning_rate=0.0)
    shared = keras.optimizers.Adam(schedule)
    shared.build(model.trainable_variables)
    body, critic = (layer.trainable_variables for layer in model.layers)
    x = np.ones((2, 3), "float32")
    for _ in range(5):
        found = gradients(model, x, x[:, :1])
        shared.apply(found[:2], body)
        shared.apply(found[2:], critic)
    assert int(shared.iterations) == 10
    assert float(shared.learning_rate) == 0.0
