import backends
import keras
import numpy as np
import pytest
from keras import ops

from kerazoo.losses import A2CActorLoss, PackedTargetsLoss

RNG = np.random.default_rng(0)
# On torch Keras 3.15's `ops.where` and `ops.maximum` of float64 are float32.
RTOL = 1e-10 if backends.BACKEND != "torch" else 1e-5


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


@pytest.fixture
def double():
    with backends.double_precision():
        yield


@pytest.mark.parametrize("rows", [(5,), (1,), (5, 4), (4, 4)])
@pytest.mark.parametrize("n", [2, 3])
def test_categorical_equals_numpy(rows, n, double):
    logits, advantage = RNG.normal(size=(*rows, n)), RNG.normal(size=rows)
    index = RNG.integers(n, size=rows)
    loss = A2CActorLoss(entropy_coefficient=0.3, reduction=None, dtype="float64")
    expected = numpy_categorical(index, advantage.astype("float32"), logits, 0.3)
    for action in (index, index[..., None], np.eye(n)[index]):
        for given in (advantage, advantage[..., None]):
            y_true = loss.pack(action=action, advantage=given)
            found = backends.to_numpy(loss(y_true, logits))
            np.testing.assert_allclose(found, expected, rtol=RTOL)


@pytest.mark.parametrize("rows", [(5,), (1,), (3, 4)])
@pytest.mark.parametrize("n", [1, 2])
def test_gaussian_equals_numpy(rows, n, double):
    action, advantage = RNG.normal(size=(*rows, n)), RNG.normal(size=rows)
    # Standard deviations at which the reference's density does not underflow
    y_pred = RNG.uniform(-1, 1, size=(*rows, 2 * n))
    loss = A2CActorLoss("gaussian", entropy_coefficient=0.3, reduction=None, dtype="float64")
    y_true = np.concatenate([action, advantage[..., None]], axis=-1)
    np.testing.assert_array_equal(loss.pack(action, advantage), y_true.astype("float32"))
    np.testing.assert_array_equal(loss.pack(action, advantage[..., None]), y_true.astype("float32"))
    expected = numpy_gaussian(action, advantage, y_pred, 0.3)
    found = backends.to_numpy(loss(y_true, y_pred))
    np.testing.assert_allclose(found, expected, rtol=max(RTOL, 1e-9))


@pytest.mark.parametrize(
    ("distribution", "outputs", "columns"), [("categorical", 3, 1), ("gaussian", 4, 2)]
)
def test_gradient_equals_finite_differences(distribution, outputs, columns, double):
    y_pred = RNG.normal(size=(4, outputs))
    integers, numbers = RNG.integers(3, size=(4, 1)), RNG.normal(size=(4, columns))
    action = integers if distribution == "categorical" else numbers
    advantage = RNG.normal(size=4)
    y_true = np.concatenate([action, advantage[:, None]], axis=-1)
    loss = A2CActorLoss(distribution, entropy_coefficient=0.3, dtype="float64")
    _, (gradient,) = backends.value_and_gradients(lambda x: loss(y_true, x), y_pred)
    expected = np.zeros_like(y_pred)
    for index in np.ndindex(y_pred.shape):
        for step in (1e-6, -1e-6):
            moved = y_pred.copy()
            moved[index] += step
            if distribution == "categorical":
                values = numpy_categorical(integers[:, 0], advantage, moved, 0.3)
            else:
                values = numpy_gaussian(numbers, advantage, moved, 0.3)
            expected[index] += values.mean() / (2 * step)
    rtol = 1e-6 if RTOL < 1e-6 else 1e-4
    np.testing.assert_allclose(gradient, expected, rtol=rtol, atol=rtol / 100)


def test_no_gradient_through_actions_and_advantages():
    """Otherwise a critic under the same tape would learn to lower the actor's loss."""
    loss = A2CActorLoss("gaussian")
    ones = np.ones((4, 2), "float32")
    _, gradients = backends.value_and_gradients(loss, ones, 2 * ones)
    assert (gradients[0] == 0).all()
    assert (gradients[1] != 0).any()


def test_a_certain_or_forbidden_action_stays_finite():
    loss = A2CActorLoss(entropy_coefficient=0.1)
    logits = ops.convert_to_tensor([[0.0, 1.0, -np.inf], [800.0, 0.0, -np.inf]])
    rest = np.array([[0.0, 1.0], [800.0, 0.0]])
    for action in ([0, 0], np.eye(3)[[0, 0]]):
        y_true = loss.pack(action=action, advantage=[2.0, 3.0])
        without = loss.pack(action=[0, 0], advantage=[2.0, 3.0])
        both = backends.differentiated(loss, index=1)
        for run in (both, *backends.compilations(both, y_true.shape, (2, 3)).values()):
            value, gradient = map(backends.to_numpy, run(ops.convert_to_tensor(y_true), logits))
            expected = backends.to_numpy(loss(without, rest))
            np.testing.assert_allclose(value, expected, rtol=1e-6)
            assert np.isfinite(gradient).all()
            assert (gradient[:, 2] == 0).all()
    assert np.isinf(float(loss(loss.pack([2, 2], [1.0, 1.0]), logits)))
    assert np.isnan(float(loss(y_true, logits * np.nan)))


def test_an_action_without_a_logit_contributes_nothing():
    """Eagerly and compiled alike: no value and no gradient, whatever stands for the action."""
    loss = A2CActorLoss(entropy_coefficient=0.3, reduction="sum")
    logits = RNG.normal(size=(7, 3)).astype("float32")
    index = np.float32([0, -1, 3, 1e9, 0.5, np.nan, 2])
    y_true = np.stack([index, np.full(7, 2.0, "float32")], axis=-1)
    one_hot = np.concatenate([np.eye(3)[[0, 0, 0, 0, 0, 0, 2]], y_true[:, 1:]], axis=-1)
    one_hot[1:6, :3] = 0
    taught = [0, 6]
    expected = numpy_categorical(index[taught].astype(int), 2.0, logits[taught], 0.3).sum()
    for given in (y_true, one_hot.astype("float32")):
        both = backends.differentiated(loss, index=1)
        for run in (both, *backends.compilations(both, given.shape, logits.shape).values()):
            tensors = map(ops.convert_to_tensor, (given, logits))
            value, gradient = map(backends.to_numpy, run(*tensors))
            np.testing.assert_allclose(value, expected, rtol=1e-5)
            assert (gradient[1:6] == 0).all()
            assert (gradient[taught] != 0).all()


def test_the_gaussian_is_the_plain_one_but_for_its_ends():
    """The formulas that the docstring states, on both sides of where they begin."""

    def value(action, mean, log_std):
        loss = A2CActorLoss("gaussian", entropy_coefficient=0.0, reduction=None)
        y_true, y_pred = np.float32([[action, -1.0]]), np.float32([[mean, log_std]])
        return float(loss(y_true, y_pred)[0])

    def log_p(z, log_std):
        return -0.5 * z**2 - log_std - 0.5 * np.log(2 * np.pi)

    for log_std in (-5.0, -1.0, 0.0, 2.0, 5.0):
        for z in (0.0, 3.0, 49.9):
            expected = log_p(z, log_std)
            found = value(1.0 + z * np.exp(log_std), 1.0, log_std)
            np.testing.assert_allclose(found, expected, rtol=2e-3 if z else 1e-6)
    for log_std, s in ((-6.0, -5 - 2 / 3), (8.0, 5 + 3 / 2.5), (-1e30, -7.0), (1e30, 7.0)):
        np.testing.assert_allclose(value(0.0, 0.0, log_std), log_p(0.0, s), rtol=1e-6)
    expected = -(50**2) * (0.5 + np.log(2.0)) - 0.5 * np.log(2 * np.pi)
    np.testing.assert_allclose(value(100.0, 0.0, 0.0), expected, rtol=1e-6)


@pytest.mark.parametrize("seed", [1, 9])
def test_a_policy_that_runs_away_stays_finite(seed):
    """Advantages below 0 push a gaussian from its actions; without bounds weights became NaN."""
    rng = np.random.default_rng(0)
    action, advantage, x = (rng.normal(size=(64, k)).astype("float32") for k in (2, 1, 3))
    keras.utils.set_random_seed(seed)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4)])
    loss = A2CActorLoss("gaussian")
    model.compile("sgd", loss)
    x, y = np.tile(x, (20, 1)), np.tile(loss.pack(action=action, advantage=advantage), (20, 1))
    assert np.isfinite(model.fit(x, y, verbose=0).history["loss"]).all()
    assert all(np.isfinite(weight).all() for weight in model.get_weights())
    assert abs(model.predict(x[:64], verbose=0)).max() < 1e4


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

    def by_definition(*weights):
        y_pred, _ = by_hand.stateless_call(weights, [], ops.convert_to_tensor(states))
        mean, log_std = ops.split(y_pred, 2, axis=-1)
        density = ops.exp(-0.5 * ((actions - mean) / ops.exp(log_std)) ** 2) / (
            ops.exp(log_std) * np.sqrt(2 * np.pi)
        )
        return -ops.mean(ops.sum(ops.log(density), axis=-1) * advantages)

    weights = by_hand.get_weights()
    actions, advantages = map(ops.convert_to_tensor, (actions, advantages))
    _, gradients = backends.value_and_gradients(by_definition, *weights)
    for found, before, gradient in zip(model.get_weights(), weights, gradients, strict=True):
        np.testing.assert_allclose(found, before - 0.1 * gradient, atol=1e-6)


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
