import copy
import gc
import pickle
import weakref

import checks
import keras
import numpy as np
import pytest
import tensorflow as tf

from kerazoo.models import TargetNetwork, hard_update, soft_update


def dense():
    return keras.Sequential([keras.Input((3,)), keras.layers.Dense(4), keras.layers.Dense(2)])


def functional():
    x = keras.Input((3,))
    return keras.Model(x, keras.layers.Dense(2)(keras.layers.BatchNormalization()(x)))


def recurrent():
    layers = [
        keras.layers.GRU(4, dropout=0.5, return_sequences=True),
        keras.layers.Bidirectional(keras.layers.LSTM(3, dropout=0.1)),
        keras.layers.Dropout(0.5),
        keras.layers.Dense(2),
    ]
    return keras.Sequential([keras.Input((5, 3)), *layers])


def cell():
    cell = keras.layers.StackedRNNCells([keras.layers.LSTMCell(4), keras.layers.GRUCell(3)])
    cell.build((None, 2))
    return cell


@keras.saving.register_keras_serializable(package="tests")
class Subclassed(keras.Model):
    def __init__(self, units=3, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.recurrent = keras.layers.LSTM(units)
        self.normalize = keras.layers.BatchNormalization()
        self.head = keras.layers.Dense(2)

    def call(self, x, training=False):
        return self.head(self.normalize(self.recurrent(x), training=training))


def subclassed():
    model = Subclassed()
    model(np.zeros((1, 4, 3), "float32"))
    return model


class WithoutConfig(keras.Model):
    def __init__(self):
        super().__init__()
        self.head = keras.layers.Dense(2)

    def call(self, x):
        return self.head(x)


def without_config():
    model = WithoutConfig()
    model(np.zeros((1, 3), "float32"))
    return model


NETWORKS = [dense, functional, recurrent, cell, subclassed]


def by_hand(target, online, tau):
    """What the weights must be, in float64; what is not trainable is copied."""
    return [
        (1 - tau) * np.asarray(t, "float64") + tau * np.asarray(o, "float64")
        if o.trainable
        else np.asarray(o)
        for t, o in zip(target.weights, online.weights, strict=True)
    ]


def assert_weights(network, expected, rtol=1e-6):
    for weight, value in zip(network.weights, expected, strict=True):
        np.testing.assert_allclose(weight, value, rtol=rtol, atol=1e-7)


@pytest.mark.parametrize("make", NETWORKS)
def test_updates_equal_the_formula(make):
    online, target = make(), make()
    checks.randomize(online, seed=1)
    checks.randomize(target, seed=2)
    for tau in (0.005, 0.3, 0.0, 1.0):
        expected = by_hand(target, online, tau)
        soft_update(target, online, tau)
        assert_weights(target, expected)
    checks.randomize(target, seed=2)
    hard_update(target, online)
    assert_weights(target, online.get_weights(), rtol=0)


@pytest.mark.parametrize("make", NETWORKS)
def test_target_network_begins_as_a_copy_and_follows(make):
    online = make()
    checks.randomize(online, seed=1)
    target = TargetNetwork(online, tau=0.1, update_period=3)
    assert type(target.model) is type(online)
    assert not target.model.trainable_weights
    assert_weights(target.model, online.get_weights(), rtol=0)
    checks.randomize(online, seed=2)
    before = target.model.get_weights()
    target.update()
    target.update()
    assert_weights(target.model, before, rtol=0)
    expected = by_hand(target.model, online, 0.1)
    target.update()
    assert_weights(target.model, expected)
    target.hard_update()
    assert_weights(target.model, online.get_weights(), rtol=0)
    assert online.trainable_weights


@pytest.mark.parametrize("make", [dense, functional, subclassed])
def test_the_copy_computes_the_same(make):
    online = make()
    checks.randomize(online, seed=1)
    x = checks.sample((4, 3) if make is subclassed else (3,))
    np.testing.assert_array_equal(TargetNetwork(online).model(x), online(x))


def test_float64(float64):
    online = dense()
    target = TargetNetwork(online, tau=0.1)
    checks.randomize(online, seed=2)
    expected = by_hand(target.model, online, 0.1)
    target.update()
    for weight, value in zip(target.model.weights, expected, strict=True):
        assert weight.dtype == "float64"
        np.testing.assert_allclose(weight, value, rtol=1e-14)


# The silent traps.


@pytest.mark.parametrize("make", [recurrent, cell])
def test_seeds_are_left_alone(make):
    """They are among `.variables`: a share of an integer makes other random numbers of them."""

    def seeds(network):
        return [np.array(v) for v in network.variables if "seed" in v.path]

    online, target = make(), make()
    before = seeds(online), seeds(target)
    assert all(before)
    for _ in range(3):
        soft_update(target, online, 0.5)
    hard_update(target, online)
    followed = TargetNetwork(online)
    followed.update()
    for found, right in zip((seeds(online), seeds(target)), before, strict=True):
        np.testing.assert_array_equal(found, right)
    assert not set(map(id, followed.model.variables)) & set(map(id, online.variables))


def test_unbuilt_networks_pair_nothing():
    unbuilt = keras.Sequential([keras.layers.Dense(2)])
    for update in (hard_update, soft_update):
        with pytest.raises(ValueError, match="`target` has no weights yet: build it"):
            update(unbuilt, dense())
        with pytest.raises(ValueError, match="`online` has no weights yet: build it"):
            update(dense(), unbuilt)
    with pytest.raises(ValueError, match="has no weights yet: build it"):
        TargetNetwork(unbuilt)


def test_mismatch_changes_nothing():
    def network(*units):
        return keras.Sequential([keras.Input((3,)), *map(keras.layers.Dense, units)])

    target = network(4, 2)
    before = target.get_weights()
    for online in (network(4, 2, 2), network(4), network(2, 4), network(4, 3)):
        for update in (hard_update, soft_update):
            with pytest.raises(ValueError, match=r"must have the same weights in the same order"):
                update(target, online)
        with pytest.raises(ValueError, match=r"must have the same weights in the same order"):
            TargetNetwork(online, target=target)
    assert_weights(target, before, rtol=0)
    with pytest.raises(ValueError, match=r"2 and 4 weights.*are none and .*kernel \(4, 2\)"):
        hard_update(network(4), target)


def test_a_network_that_has_grown_is_paired_anew():
    online, target = dense(), dense()
    soft_update(target, online)
    online.add(keras.layers.Dense(2))
    with pytest.raises(ValueError, match="must have the same weights"):
        soft_update(target, online)
    target.add(keras.layers.Dense(2))
    hard_update(target, online)
    assert_weights(target, online.get_weights(), rtol=0)


@pytest.mark.parametrize("policy", ["float16", "bfloat16"])
def test_half_precision_moves_at_small_steps(policy):
    """From 1.0 towards 1.5 in steps of half a percent: in half precision it would stay at 1.0."""

    def network():
        return keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, dtype=policy)])

    online = network()
    online.set_weights([np.full((3, 2), 1.0), np.full(2, 1.0)])
    target = TargetNetwork(online, tau=0.001)
    online.set_weights([np.full((3, 2), 1.25), np.full(2, 1.25)])
    for _ in range(700):
        target.update()
    expected = 1.25 - 0.25 * 0.999**700
    for weight in target.model.weights:
        assert weight.dtype == policy
        np.testing.assert_allclose(tf.cast(weight.value, "float32"), expected, atol=4e-3)
    with pytest.raises(ValueError, match=r"rounds to none. `TargetNetwork` keeps them in float32"):
        soft_update(target.model, online, 0.001)
    target.hard_update()
    np.testing.assert_array_equal(target.model.get_weights()[1], online.get_weights()[1])
    soft_update(target.model, network(), tau=1)


@pytest.mark.parametrize("policy", ["float32", "bfloat16"])
def test_a_saved_target_goes_on_where_it_was(policy):
    """In half precision too, where the model's own weights have lost what the small steps added."""
    online = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, dtype=policy)])
    target = TargetNetwork(online, tau=0.001)
    online.set_weights([np.full((3, 2), 3.0), np.full(2, 3.0)])
    target.update()
    saved = target.get_weights()
    assert {str(w.dtype) for w in saved} == {"float32"}
    other = TargetNetwork(online, tau=0.001)
    other.set_weights(saved)
    for one in (target, other):
        one.update()
    for weight, expected in zip(other.get_weights(), target.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, expected)
    assert_weights(other.model, target.model.get_weights(), rtol=0)
    with pytest.raises(ValueError, match="weight"):
        other.set_weights(saved[:1])


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision(policy):
    online = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, dtype=policy)])
    target = TargetNetwork(online, tau=0.001)
    checks.randomize(online, seed=3)
    expected = by_hand(target.model, online, 0.001)
    target.update()
    assert_weights(target.model, expected)


def test_batch_normalization_statistics_are_copied():
    online = functional()
    target = TargetNetwork(online, tau=0.01)
    online.compile("sgd", "mse")
    x = 5 + checks.sample((3,), batch=32)
    online.fit(x, np.ones((32, 2)), verbose=0, callbacks=[target.callback()])
    mean, variance = (w for w in online.weights if "moving" in w.path)
    found_mean, found_variance = (w for w in target.model.weights if "moving" in w.path)
    assert np.abs(mean).min() > 0.01
    np.testing.assert_array_equal(found_mean, mean)
    np.testing.assert_array_equal(found_variance, variance)


def test_state_of_a_stateful_rnn_is_its_own():
    def network():
        layers = [keras.Input(batch_shape=(2, 3, 1)), keras.layers.LSTM(4, stateful=True)]
        return keras.Sequential(layers)

    online, target = network(), network()
    online(np.ones((2, 3, 1), "float32"))
    target(np.full((2, 3, 1), 2.0, "float32"))
    states = [np.array(s) for layer in (online, target) for s in layer.layers[0].states]
    hard_update(target, online)
    soft_update(target, online)
    found = [np.array(s) for layer in (online, target) for s in layer.layers[0].states]
    assert all(np.any(s != 0) for s in states)
    np.testing.assert_array_equal(found, states)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_does_not_spread(wrong):
    online, target = dense(), dense()
    followed = TargetNetwork(online, target=dense())
    before = target.get_weights(), followed.model.get_weights()
    kernel, *rest = online.get_weights()
    kernel[1, 2] = wrong
    online.set_weights([kernel, *rest])
    updates = [
        lambda: hard_update(target, online),
        lambda: soft_update(target, online),
        followed.update,
        followed.hard_update,
    ]
    for update in updates:
        with pytest.raises(ValueError, match=r"must have finite weights.*kernel"):
            update()
    assert_weights(target, before[0], rtol=0)
    assert_weights(followed.model, before[1], rtol=0)


def test_what_is_not_finite_does_not_spread_in_compiled_code():
    online = small()
    target = TargetNetwork(online, tau=0.5, update_period=2)
    before = target.model.get_weights()
    online.layers[0].kernel.assign(np.full((3, 2), np.nan))
    target.update()
    with pytest.raises(tf.errors.InvalidArgumentError):
        tf.function(target.update)()
    assert_weights(target.model, before, rtol=0)
    target.update()
    tf.function(target.update, jit_compile=True)()
    assert_weights(target.model, before, rtol=0)
    for update in (soft_update, hard_update):
        tf.function(lambda update=update: update(target.model, online), jit_compile=True)()
        assert_weights(target.model, before, rtol=0)


def test_one_compiled_call():
    """No tracing after the first update, and inside a `tf.function` too."""
    online, target = dense(), dense()
    checks.randomize(online, seed=1)
    expected = by_hand(target, online, 0.25)
    traces = []
    tf_function = tf.function

    def counting(*args, **kwargs):
        traces.append(args)
        return tf_function(*args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tf, "function", counting)
        soft_update(target, online, 0.25)
        assert len(traces) == 1
        assert_weights(target, expected)
        for tau in (0.1, 0.2, 0.3):
            soft_update(target, online, tau)
        assert len(traces) == 1
    checks.randomize(target, seed=2)
    expected = by_hand(target, online, 0.25)
    tf.function(lambda: soft_update(target, online, 0.25))()
    assert_weights(target, expected)


def test_callback_moves_after_each_batch():
    online = dense()
    target = TargetNetwork(online, tau=0.5)
    online.compile(keras.optimizers.SGD(0.1), "mse")
    x, y = checks.sample((3,), batch=12), np.ones((12, 2), "float32")
    seen = [online.get_weights()]

    class Record(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append(online.get_weights())

    callbacks = [Record(), target.callback()]
    online.fit(x, y, batch_size=4, epochs=2, verbose=0, callbacks=callbacks)
    assert len(seen) == 7
    expected = seen[0]
    for weights in seen[1:]:
        expected = [(a + b) / 2 for a, b in zip(expected, weights, strict=True)]
    assert_weights(target.model, expected, rtol=1e-5)


def test_a_model_that_cannot_be_copied():
    with pytest.raises(ValueError, match=r"pass a second, built one as `target`.*WithoutConfig"):
        TargetNetwork(without_config())
    online = without_config()
    target = TargetNetwork(online, target=without_config())
    assert_weights(target.model, online.get_weights(), rtol=0)


def test_shared_weights_are_refused():
    online = dense()
    for update in (hard_update, soft_update):
        with pytest.raises(ValueError, match="must be two networks, and share no weight"):
            update(online, online)
    half = keras.Sequential([keras.Input((3,)), online.layers[0], keras.layers.Dense(2)])
    with pytest.raises(ValueError, match="share no weight"):
        TargetNetwork(online, target=half)


def test_errors():
    for wrong in (-0.1, 1.1, np.nan, "0.1", True):
        with pytest.raises(ValueError, match="`tau` must be a finite number from 0 to 1"):
            TargetNetwork(dense(), tau=wrong)
        with pytest.raises(ValueError, match="`tau` must be a finite number from 0 to 1"):
            soft_update(dense(), dense(), tau=wrong)
    with pytest.raises(ValueError, match="`update_period` must be a positive integer"):
        TargetNetwork(dense(), update_period=0)
    with pytest.raises(TypeError, match="must be a Keras layer or model"):
        TargetNetwork([1.0])
    with pytest.raises(TypeError, match="`target` must be a Keras layer or model"):
        hard_update(np.ones(3), dense())
    with pytest.raises(TypeError, match="`target` must be a Keras layer or model"):
        TargetNetwork(dense(), target=np.ones(3))


# In compiled code.


def small():
    return keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])


@pytest.mark.parametrize("jit_compile", [False, True])
def test_the_period_counts_inside_a_compiled_function(jit_compile):
    online = small()
    target = TargetNetwork(online, tau=1.0, update_period=3)
    kernel = online.layers[0].kernel

    @tf.function(jit_compile=jit_compile)
    def train_step():
        kernel.assign_add(tf.ones((3, 2)))
        target.update()

    start = np.array(kernel)
    seen = []
    for _ in range(7):
        train_step()
        seen.append(np.array(target.model.layers[0].kernel - start)[0, 0].round())
    assert seen == [0, 0, 3, 3, 3, 6, 6]
    assert target.calls == 7
    target.update()  # and outside of it
    assert np.array(target.model.layers[0].kernel - start)[0, 0].round() == 6
    target.update()
    assert np.array(target.model.layers[0].kernel - start)[0, 0].round() == 7


def test_the_period_counts_inside_train_step():
    class Model(keras.Model):
        def __init__(self):
            super().__init__()
            self.online = small()
            self.target_network = TargetNetwork(self.online, tau=1.0, update_period=4)

        def call(self, x):
            return self.online(x)

        def train_step(self, data):
            logs = super().train_step(data)
            self.target_network.update()
            return logs

    model = Model()
    model.compile("sgd", "mse")
    x, y = np.ones((4, 3), "float32"), np.ones((4, 2), "float32")
    model.fit(x, y, batch_size=1, epochs=1, verbose=0)
    moved = model.target_network.model.get_weights()
    assert_weights(model.online, moved, rtol=0)
    model.fit(x[:3], y[:3], batch_size=1, epochs=1, verbose=0)
    assert_weights(model.target_network.model, moved, rtol=0)
    assert np.abs(model.online.get_weights()[0] - moved[0]).max() > 1e-4


def test_the_share_of_one_call_does_not_reach_another():
    """A compiled call keeps its own `tau`, whatever is called in between."""
    online, target = small(), small()
    compiled = tf.function(lambda: soft_update(target, online, 0.25))
    for update, tau in [(compiled, 0.25), (None, 0.5), (compiled, 0.25), (None, 0.5)]:
        checks.randomize(target, seed=2)
        expected = by_hand(target, online, tau)
        update() if update else soft_update(target, online, tau)
        assert_weights(target, expected)
    checks.randomize(target, seed=2)
    tf.function(lambda: hard_update(target, online))()
    assert_weights(target, online.get_weights(), rtol=0)


# What is no weight, and how weights are paired.


def normalized():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Normalization()])
    model.layers[0].adapt(np.random.default_rng(0).normal(5, 2, (50, 3)))
    return model


def test_what_is_derived_from_weights_follows():
    x = np.full((1, 3), 5.0, "float32")
    online = normalized()
    targets = [TargetNetwork(online), TargetNetwork(online), TargetNetwork(online)]
    for target in targets:
        np.testing.assert_allclose(target.model(x), online(x), rtol=1e-6)
        np.testing.assert_allclose(target.model.predict(x, verbose=0), online(x), rtol=1e-6)
    online.layers[0].adapt(np.random.default_rng(1).normal(1, 3, (50, 3)))
    targets[0].update()
    targets[1].hard_update()
    soft_update(targets[2].model, online)
    for target in targets:
        np.testing.assert_allclose(target.model(x), online(x), rtol=1e-6)
        np.testing.assert_allclose(target.model.predict(x, verbose=0), online(x), rtol=1e-6)


def test_a_vocabulary_is_copied():
    text = keras.layers.TextVectorization(output_sequence_length=2)
    text.adapt(["one two three three"])
    layers = [keras.Input((), dtype="string"), text, keras.layers.Embedding(5, 2)]
    online = keras.Sequential(layers)
    target = TargetNetwork(online)
    words = tf.constant(["three one", "two four"])
    np.testing.assert_array_equal(target.model(words), online(words))
    text.adapt(["four four three"])
    target.hard_update()
    np.testing.assert_array_equal(target.model(words), online(words))


class Attributes(keras.Model):
    def __init__(self, first, second):
        super().__init__()
        for name in (first, second):
            setattr(self, name, keras.layers.Dense(3, name=name))

    def call(self, x):
        return self.b(tf.tanh(self.a(x)))


def test_layers_are_paired_by_their_attributes():
    online, target = Attributes("a", "b"), Attributes("b", "a")
    for model in (online, target):
        model(np.ones((1, 3), "float32"))
    hard_update(target, online)
    x = checks.sample((3,))
    np.testing.assert_array_equal(target(x), online(x))


def test_the_same_names_in_another_order_are_an_error():
    def network(*names):
        return keras.Sequential(
            [keras.Input((3,)), *[keras.layers.Dense(3, name=name) for name in names]]
        )

    online, target = network("dense_1", "dense_2"), network("dense_2", "dense_1")
    before = target.get_weights()
    for update in (hard_update, soft_update, lambda t, o: TargetNetwork(o, target=t)):
        with pytest.raises(ValueError, match="same names in another order"):
            update(target, online)
    assert_weights(target, before, rtol=0)


def test_a_lambda_layer_is_copied_with_its_function():
    scale = tf.constant(3.0)
    layers = [
        keras.layers.Dense(2),
        keras.layers.Lambda(lambda x: tf.nn.relu(x) * scale, name="scaled"),
        keras.Sequential([keras.layers.Lambda(lambda x, by: x + by, arguments={"by": 1.0})]),
    ]
    online = keras.Sequential([keras.Input((3,)), *layers])
    target = TargetNetwork(online)
    x = checks.sample((3,))
    np.testing.assert_array_equal(target.model(x), online(x))
    assert type(target.model.get_layer("scaled")) is keras.layers.Lambda
    assert target.model.get_layer("scaled") is not online.get_layer("scaled")


def test_a_layer_class_that_is_not_registered_is_copied():
    class Double(keras.layers.Dense):
        def call(self, x):
            return 2 * super().call(x)

    online = keras.Sequential([keras.Input((3,)), Double(2)])
    x = checks.sample((3,))
    np.testing.assert_array_equal(TargetNetwork(online).model(x), online(x))


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda t: pickle.loads(pickle.dumps(t))])
def test_deepcopy_and_pickle(duplicate):
    online = small()
    target = TargetNetwork(online, tau=0.5, update_period=2)
    checks.randomize(online, seed=2)
    target.update()
    other = duplicate(target)
    assert (other.calls, other.tau, other.update_period) == (1, 0.5, 2)
    assert_weights(other.model, target.model.get_weights(), rtol=0)
    before = target.model.get_weights()
    expected = by_hand(other.model, other.online, 0.5)
    other.update()
    assert_weights(other.model, expected)
    assert_weights(target.model, before, rtol=0)


def test_calls_go_on_from_a_checkpoint():
    target = TargetNetwork(small(), tau=1.0, update_period=3)
    target.update()
    other = TargetNetwork(target.online, tau=1.0, update_period=3)
    other.set_weights(target.get_weights())
    other.calls = target.calls
    checks.randomize(target.online, seed=4)
    other.update()
    other.update()
    assert_weights(other.model, target.online.get_weights(), rtol=0)
    with pytest.raises(ValueError, match="`calls` must be an integer of at least 0"):
        other.calls = -1


def test_networks_are_freed():
    online, target = small(), small()
    soft_update(target, online)
    freed = weakref.ref(target)
    del target
    gc.collect()
    assert freed() is None


def test_weights_frozen_and_thawed_between_updates():
    """What is frozen is copied, what is not follows by `tau`, as it is at each update."""
    online = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    target = TargetNetwork(online, tau=0.1)
    for trainable, share in ((False, 1.0), (True, 0.1), (False, 1.0)):
        online.trainable = trainable
        target.hard_update()
        before = target.model.get_weights()[0]
        online.layers[0].kernel.assign_add(np.ones((4, 2)))
        target.update()
        moved = target.model.get_weights()[0] - before
        np.testing.assert_allclose(moved, share, rtol=1e-5)


def test_weights_inside_a_layer_are_paired_by_their_names():
    class Scaled(keras.layers.Layer):
        def __init__(self, order):
            super().__init__()
            self.order = order

        def build(self, input_shape):
            for name in self.order:
                setattr(self, name, self.add_weight((3,), name=name, initializer="uniform"))

        def call(self, x):
            return x * self.u - self.v

    online, target = (keras.Sequential([keras.Input((3,)), Scaled(o)]) for o in ("uv", "vu"))
    hard_update(target, online)
    x = checks.sample((3,))
    np.testing.assert_array_equal(target(x), online(x))


def test_gamma_is_not_beta():
    online, target = (
        keras.Sequential([keras.Input((3,)), keras.layers.LayerNormalization(**arguments)])
        for arguments in ({"center": False}, {"scale": False})
    )
    for update in (hard_update, soft_update, lambda t, o: TargetNetwork(o, target=t)):
        with pytest.raises(ValueError, match=r"same names within their layers.*gamma"):
            update(target, online)
    np.testing.assert_array_equal(target.get_weights()[0], np.zeros(3))
