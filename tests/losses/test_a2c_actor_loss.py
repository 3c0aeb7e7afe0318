import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from kerazoo.losses import A2CActorLoss, PackedTargetsLoss

RNG = np.random.default_rng(0)


def numpy_categorical(index, advantage, logits, coefficient):
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    chosen = np.take_along_axis(p, index[..., None], -1)[..., 0]
    return -advantage * np.log(chosen) + coefficient * (p * np.log(p)).sum(-1)


def numpy_gaussian(action, advantage, y_pred, coefficient):
    """By the density itself; the entropy as the mean of -log p, by quadrature."""
    mean, std = np.split(y_pred, 2, axis=-1)
    std = np.exp(std)

    def density(x, mean, std):
        return np.exp(-((x - mean) ** 2) / (2 * std**2)) / np.sqrt(2 * np.pi * std**2)

    log_p = np.log(density(action, mean, std)).sum(-1)
    z, dz = np.linspace(-12, 12, 4001, retstep=True)
    f = density(mean[..., None] + std[..., None] * z, mean[..., None], std[..., None])
    entropy = -(np.where(f > 0, f * np.log(np.maximum(f, 1e-300)), 0) * std[..., None] * dz)
    return -advantage * log_p - coefficient * entropy.sum((-2, -1))


@pytest.mark.parametrize("rows", [(5,), (1,), (5, 4), (4, 4)])
@pytest.mark.parametrize("n", [2, 3])
def test_categorical_equals_numpy(rows, n):
    logits, advantage = RNG.normal(size=(*rows, n)), RNG.normal(size=rows)
    index = RNG.integers(n, size=rows)
    loss = A2CActorLoss(entropy_coefficient=0.3, reduction=None, dtype="float64")
    expected = numpy_categorical(index, advantage.astype("float32"), logits, 0.3)
    for action in (index, index[..., None], np.eye(n)[index]):
        for given in (advantage, advantage[..., None]):
            y_true = loss.pack(action=action, advantage=given)
            np.testing.assert_allclose(loss(y_true, logits), expected, rtol=1e-10)


@pytest.mark.parametrize("rows", [(5,), (1,), (3, 4)])
@pytest.mark.parametrize("n", [1, 2])
def test_gaussian_equals_numpy(rows, n):
    action, advantage = RNG.normal(size=(*rows, n)), RNG.normal(size=rows)
    y_pred = RNG.normal(size=(*rows, 2 * n))
    loss = A2CActorLoss("gaussian", entropy_coefficient=0.3, reduction=None, dtype="float64")
    y_true = np.concatenate([action, advantage[..., None]], axis=-1)
    np.testing.assert_array_equal(loss.pack(action, advantage), y_true.astype("float32"))
    np.testing.assert_array_equal(loss.pack(action, advantage[..., None]), y_true.astype("float32"))
    expected = numpy_gaussian(action, advantage, y_pred, 0.3)
    np.testing.assert_allclose(loss(y_true, y_pred), expected, rtol=1e-9)


@pytest.mark.parametrize(
    ("distribution", "outputs", "columns"), [("categorical", 3, 1), ("gaussian", 4, 2)]
)
def test_gradient_equals_finite_differences(distribution, outputs, columns):
    y_pred = RNG.normal(size=(4, outputs))
    integers, numbers = RNG.integers(3, size=(4, 1)), RNG.normal(size=(4, columns))
    action = integers if distribution == "categorical" else numbers
    y_true = np.concatenate([action, RNG.normal(size=(4, 1))], axis=-1)
    loss = A2CActorLoss(distribution, entropy_coefficient=0.3, dtype="float64")
    x = tf.constant(y_pred)
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = loss(y_true, x)
    expected = np.zeros_like(y_pred)
    for index in np.ndindex(y_pred.shape):
        for step in (1e-6, -1e-6):
            moved = y_pred.copy()
            moved[index] += step
            expected[index] += float(loss(y_true, moved)) / (2 * step)
    np.testing.assert_allclose(tape.gradient(value, x), expected, rtol=1e-6, atol=1e-8)


def test_no_gradient_through_actions_and_advantages():
    """Otherwise a critic under the same tape would learn to lower the actor's loss."""
    advantage, action = tf.ones((4, 1)), tf.ones((4, 1))
    with tf.GradientTape() as tape:
        tape.watch([advantage, action])
        y_true = tf.concat([action, advantage], axis=-1)
        value = A2CActorLoss("gaussian")(y_true, tf.ones((4, 2)))
    assert tape.gradient(value, [advantage, action]) == [None, None]


def test_a_certain_or_forbidden_action_stays_finite():
    loss = A2CActorLoss(entropy_coefficient=0.1)
    logits = tf.constant([[0.0, 1.0, -np.inf], [800.0, 0.0, -np.inf]])
    rest = np.array([[0.0, 1.0], [800.0, 0.0]])
    for action in ([0, 0], np.eye(3)[[0, 0]]):
        y_true = loss.pack(action=action, advantage=[2.0, 3.0])
        without = loss.pack(action=[0, 0], advantage=[2.0, 3.0])
        for compiled in (loss, tf.function(loss, jit_compile=True)):
            with tf.GradientTape() as tape:
                tape.watch(logits)
                value = compiled(y_true, logits)
            np.testing.assert_allclose(value, loss(without, rest), rtol=1e-6)
            gradient = tape.gradient(value, logits).numpy()
            assert np.isfinite(gradient).all()
            assert (gradient[:, 2] == 0).all()
    assert np.isinf(loss(loss.pack([2, 2], [1.0, 1.0]), logits))
    assert np.isnan(loss(y_true, logits * np.nan))


def test_an_action_without_a_logit_is_an_error():
    """One-hot it would be zeros: a row that teaches nothing but entropy, without a word."""
    loss = A2CActorLoss()
    y_true = loss.pack(action=[0, 3], advantage=[1.0, 1.0])
    with pytest.raises(tf.errors.InvalidArgumentError, match="3 is not in"):
        loss(y_true, np.zeros((2, 3)))
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    model.compile("sgd", loss)
    before = model.get_weights()
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"out of range|is not in"):
        model.train_on_batch(np.ones((2, 2)), y_true)
    assert all(map(np.array_equal, model.get_weights(), before))


@pytest.mark.parametrize("action", [[0.5, 1.0], [-1, 0], [[0.0, 1.5], [0.0, 1.0]]])
def test_actions_of_a_gaussian_policy_are_no_classes(action):
    """One number and two outputs fit a categorical policy too, and would be cut to integers."""
    with pytest.raises(ValueError, match=r"A categorical `action` must be an integer from 0"):
        A2CActorLoss().pack(action=action, advantage=[1.0, 2.0])
    A2CActorLoss("gaussian").pack(action=action, advantage=[1.0, 2.0])


def gaussian_policy():
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(8, "tanh"), keras.layers.Dense(4)]
    )


@keras.saving.register_keras_serializable(package="tests")
def gaussian_actor(y_pred, action, advantage):
    mean, log_std = ops.split(y_pred, 2, axis=-1)
    z = (action - mean) / ops.exp(log_std)
    log_p = -ops.sum(0.5 * z**2 + log_std + 0.5 * np.log(2 * np.pi), axis=-1)
    return -log_p * advantage[..., 0]


@pytest.mark.parametrize(
    "loss",
    [
        A2CActorLoss("gaussian", entropy_coefficient=0.0),
        PackedTargetsLoss(gaussian_actor, {"action": 2, "advantage": 1}),
    ],
)
def test_question_of_the_gaussian_policy(loss):
    """`y_true[:, :n]` is the action and the rest the advantage: as a GradientTape by hand."""
    states = RNG.normal(size=(16, 3)).astype("float32")
    actions = RNG.normal(size=(16, 2)).astype("float32")
    advantages = RNG.normal(size=16).astype("float32")
    model, by_hand = gaussian_policy(), gaussian_policy()
    model.compile(keras.optimizers.SGD(0.1), loss)
    model.train_on_batch(states, loss.pack(action=actions, advantage=advantages))

    with tf.GradientTape() as tape:
        mean, log_std = tf.split(by_hand(states), 2, axis=-1)
        density = tf.exp(-0.5 * ((actions - mean) / tf.exp(log_std)) ** 2) / (
            tf.exp(log_std) * np.sqrt(2 * np.pi)
        )
        log_p = tf.reduce_sum(tf.math.log(density), axis=-1)
        value = -tf.reduce_mean(log_p * advantages)
    weights = [v.value for v in by_hand.trainable_variables]
    for weight, gradient in zip(weights, tape.gradient(value, weights), strict=True):
        weight.assign_sub(0.1 * gradient)
    for found, expected in zip(model.get_weights(), by_hand.get_weights(), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_learns_the_better_arm():
    """Two arms, the second pays: the policy finds out from its own actions."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(2, use_bias=False)])
    loss = A2CActorLoss()
    model.compile(keras.optimizers.Adam(0.1), loss)
    x = np.ones((32, 1), "float32")
    for _ in range(60):
        p = ops.convert_to_numpy(ops.softmax(model(x)))[:, 1]
        action = (RNG.uniform(size=32) < p).astype(int)
        model.train_on_batch(x, loss.pack(action=action, advantage=action - p))
    assert ops.softmax(model(x))[0, 1] > 0.9


@pytest.mark.parametrize(
    ("distribution", "true", "pred"),
    [
        ("categorical", (4, 3), (4, 3)),
        ("categorical", (4, 5), (4, 3)),
        ("categorical", (4, 1), (4, 3)),
        ("gaussian", (4, 3), (4, 2)),
        ("gaussian", (4, 3), (4, 5)),
        ("gaussian", (4, 2), (4, 4)),
    ],
)
def test_columns_must_fit(distribution, true, pred):
    with pytest.raises(ValueError, match=r"columns of the action.*must fit `y_pred`.*Received"):
        A2CActorLoss(distribution)(np.ones(true), np.ones(pred))


def test_errors():
    with pytest.raises(ValueError, match=r"`distribution` must be one of.*'normal'"):
        A2CActorLoss("normal")
    for wrong in (-0.1, np.nan, np.inf, None, "0.1"):
        with pytest.raises(ValueError, match=r"`entropy_coefficient` must be a finite number"):
            A2CActorLoss(entropy_coefficient=wrong)
    with pytest.raises(ValueError, match="must have the same axes before the last"):
        A2CActorLoss()(np.ones((4, 4)), np.ones((4, 4, 3)))
    with pytest.raises(ValueError, match="The parts must have the shape"):
        A2CActorLoss().pack(action=[0, 1, 1], advantage=[1.0, 2.0])
    with pytest.raises(ValueError, match="`advantage` must be finite"):
        A2CActorLoss().pack(action=[0, 1], advantage=[1.0, np.nan])
