"""What the agents take and give: every array space of gymnasium, environments of every form."""

import json

import checks
import gymnasium
import keras
import numpy as np
import pytest
import tensorflow as tf
from environments import Corridor, Guess, Spaces
from gymnasium.spaces import Box, Dict, Discrete, Graph, MultiBinary, MultiDiscrete, Text, Tuple

from kerazoo.losses import A2CActorLoss
from kerazoo.models import ActorCritic, RecurrentQNetwork
from kerazoo.models.reinforcement_learning._independent_choices_loss import IndependentChoicesLoss
from kerazoo.models.reinforcement_learning._spaces import (
    Choices,
    Observations,
    actions_of,
    same_actions,
)

INF = np.inf
NESTED = MultiDiscrete([[2, 3], [4, 1]], start=[[1, -2], [3, 4]], dtype=np.int16)
CHOICES = [
    Discrete(3),
    Discrete(3, start=-2),
    Discrete(4, start=7, dtype=np.int32),
    MultiDiscrete([2, 3]),
    NESTED,
    MultiBinary(4),
    MultiBinary((2, 3)),
]
BOXES = [
    Box(-1, 1, (2,)),
    Box(np.float32([-0.1, 0.3]), np.float32([0.2, 0.7])),
    Box(-1, 1, (2, 3), np.float64),
    Box(-0.3, 0.7, (2,), np.float16),
    Box(-0.3, 0.7, ()),
    Box(-INF, INF, (2,)),
    Box(0.1, INF, (2,), np.float64),
    Box(np.float32([-INF, -1, 0]), np.float32([0, INF, 1])),
    Box(np.finfo("float32").min, np.finfo("float32").max, (2,)),
    Box(np.finfo("float64").min, np.finfo("float64").max, (2,), np.float64),
    Box(0, 255, (2, 3), np.uint8),
    Box(-5, 5, (2,), np.int32),
    Box(-INF, INF, (2,), np.int64),
    Box(0, 2**64 - 1, (2,), np.uint64),
    Box(0, 1, (2,), bool),
]
EXTREMES = [0.0, 0.5, -0.5, 1.0, -1.0, 1.01, -7.3, 1e10, -1e10, 1e38, -1e38]
agents = pytest.mark.parametrize("agent", [ActorCritic, RecurrentQNetwork])


def elements(space, actions):
    return [np.asarray(a) if isinstance(space, Box) else a for a in actions]


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("space", CHOICES + BOXES, ids=str)
def test_actions_are_in_their_space(space, rows):
    """Whatever the network says, for one environment and for several."""
    actions = actions_of(space)
    rng = np.random.default_rng(0)
    raws = [actions.random(rng, rows) for _ in range(20)] if isinstance(actions, Choices) else []
    if not raws:
        raws = [np.full((rows, actions.outputs), x, "float32") for x in EXTREMES]
        raws += [rng.normal(0, 3, (rows, actions.outputs)).astype("float32") for _ in range(20)]
    for raw in raws:
        found = actions.to_environment(raw)
        assert found.dtype == space.dtype
        assert found.shape == (rows, *space.shape)
        assert all(space.contains(action) for action in elements(space, found)), found


@pytest.mark.parametrize("space", CHOICES, ids=str)
def test_every_choice_can_be_made(space):
    actions = actions_of(space)
    found = actions.to_environment(actions.random(np.random.default_rng(0), 200))
    space.seed(0)
    expected = np.array([space.sample() for _ in range(200)])
    np.testing.assert_array_equal(found.min(0), expected.min(0))
    np.testing.assert_array_equal(found.max(0), expected.max(0))


def test_boxes_are_scaled_where_they_are_bounded():
    actions = actions_of(Box(np.float32([-2, 0, -INF, 1]), np.float32([4, INF, 3, 2e9])))
    raw = [[-1, -1, -1, -1], [0, 0.5, 9, 5], [1, 7, -9, 3e9]]
    expected = [[-2, 0, -1, 1], [1, 0.5, 3, 5], [4, 7, -9, 2e9]]
    np.testing.assert_allclose(actions.to_environment(raw), expected)
    actions = actions_of(Box(-3, 5, (1,), np.int64))
    raw = [[-1], [-0.9], [-0.86], [0], [0.1], [1], [8]]
    np.testing.assert_array_equal(actions.to_environment(raw)[:, 0], [-3, -3, -2, 1, 1, 5, 5])


@pytest.mark.parametrize(
    "space", [*CHOICES, Box(0, 255, (2, 2, 3), np.uint8), Box(-1, 1, ()), Box(-1, 1, (4,))], ids=str
)
def test_observations_are_flattened_as_gymnasium_does_it(space):
    observations = Observations(space)
    space.seed(0)
    seen = [space.sample() for _ in range(20)]
    expected = np.array([gymnasium.spaces.flatten(space, one) for one in seen])
    found = observations.encode(np.array(seen))
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == "float32"
    for batch, single in ((seen[3], True), (np.array(seen), False)):
        vectors, alone = observations.read(batch)
        assert alone == single
        np.testing.assert_array_equal(vectors, expected[3:4] if single else expected)


def test_observations_outside_the_space_are_an_error():
    for space, wrong in (
        (Discrete(3, start=1), [0]),
        (Discrete(3, start=1), [4]),
        (Discrete(3), [0.5]),
        (MultiDiscrete([2, 3]), [[1, 3]]),
        (MultiBinary(2), [[0, 2]]),
    ):
        with pytest.raises(ValueError, match="Observations must lie in the space"):
            Observations(space).read(wrong)


@pytest.mark.parametrize("space", CHOICES + BOXES, ids=str)
def test_plain_forms_are_json_and_mean_the_same(space):
    actions = actions_of(space)
    again = actions_of(json.loads(json.dumps(actions.config)))
    assert again.config == actions.config
    assert same_actions(again, actions)
    assert again.space.dtype == space.dtype
    for one, other in zip(again.space[1:3], actions.space[1:3], strict=True):
        np.testing.assert_array_equal(one, other)
    observations = Observations(space)
    again = Observations(json.loads(json.dumps(observations.config)))
    assert (again.config, again.size) == (observations.config, observations.size)


def test_plain_forms_of_earlier_versions():
    """Those in `.keras` files: a list, an integer, a dict of lists."""
    for space, config in ((4, [4]), ((4,), [4]), (Box(-1, 1, (4,)), [4])):
        model = ActorCritic(space, 2, units=())
        assert model.observation_space == (4,)
        assert model.get_config()["observation_space"] == config
    bounds = {"low": [-1.0, -INF], "high": [0.1, INF]}
    for space, config in ((Discrete(3), 3), (np.int64(3), 3), (bounds, bounds)):
        model = ActorCritic(2, space, units=())
        assert model.action_space == model.get_config()["action_space"] == config


def test_other_spaces_are_refused():
    graph = Graph(Box(0, 1, (2,)), None)
    others = [Dict(a=Discrete(2)), Tuple([Discrete(2)]), Text(3), graph, None, "4", True, 2.5]
    for agent in (ActorCritic, RecurrentQNetwork):
        for wrong in [*others, 0, [2, 0], {"type": "Text"}, {"n": 3}, {"type": [], "n": 3}]:
            with pytest.raises(
                ValueError, match=r"`observation_space` must be.*FlattenObservation"
            ):
                agent(wrong, 2)
        wrong_numbers = [
            Box(0, 0, (1,)),
            {"low": [0.0], "high": [0.0]},
            {"low": [0.0], "high": 1.0},
        ]
        wrong_numbers += [{"low": [0.0]}, {"low": [np.nan], "high": [1.0]}]
        wrong_choices = [1, -1, Discrete(1), {"type": "Discrete", "n": 2.0}, {"type": "Discrete"}]
        wrong_choices += [
            {"type": "MultiDiscrete", "nvec": [2, 0]},
            {"type": "MultiBinary", "n": 0},
        ]
        for wrong in [*others, *wrong_numbers, *wrong_choices]:
            with pytest.raises(ValueError, match=r"`action_space` must be.*gymnasium.wrappers"):
                agent(2, wrong)
    with pytest.raises(ValueError, match=r"Received: action_space=Box\(-1.0, 1.0, \(2,\), float32"):
        RecurrentQNetwork(2, Box(-1, 1, (2,)))


def by_hand(logits, sizes, actions, advantages, coefficient):
    """-A log p - c H of the joint distribution, which is written out as a table."""
    values = []
    for row, action, advantage in zip(logits, actions, advantages, strict=True):
        joint = np.ones(())
        for part in np.split(row, np.cumsum(sizes)[:-1]):
            joint = np.multiply.outer(joint, np.exp(part) / np.exp(part).sum())
        entropy = -(joint * np.log(joint)).sum()
        values.append(-advantage * np.log(joint[tuple(action)]) - coefficient * entropy)
    return np.array(values)


def test_independent_choices_are_one_joint_distribution():
    sizes, rng = (2, 4, 1, 3), np.random.default_rng(0)
    logits, advantages = rng.normal(0, 2, (20, 10)).astype("float32"), rng.normal(size=20)
    actions = rng.integers(sizes, size=(20, 4))
    loss = IndependentChoicesLoss(sizes, 0.3, reduction=None)
    y_true = loss.pack(action=actions, advantage=advantages)
    assert y_true.shape == (20, 5)
    expected = by_hand(logits, sizes, actions, advantages, 0.3)
    np.testing.assert_allclose(loss(y_true, logits), expected, rtol=1e-4, atol=1e-5)
    for wrong in ([[0, 4, 0, 0]], [[0, 0]], [[0, -1, 0, 0]]):
        with pytest.raises(ValueError, match=r"action"):
            loss.pack(action=wrong, advantage=[1.0])
    one = A2CActorLoss(entropy_coefficient=0.3, reduction=None)
    y_one = one.pack(action=actions[:, 1], advantage=advantages)
    loss = IndependentChoicesLoss((4,), 0.3, reduction=None)
    y_true = loss.pack(action=actions[:, 1:2], advantage=advantages)
    np.testing.assert_allclose(loss(y_true, logits[:, 2:6]), one(y_one, logits[:, 2:6]), rtol=1e-6)
    x = tf.Variable(logits)
    with tf.GradientTape() as tape:
        value = IndependentChoicesLoss(sizes)(np.concatenate([actions, advantages[:, None]], 1), x)
    assert np.isfinite(tape.gradient(value, x)).all()


def test_gumbel_noise_samples_each_choice():
    model = ActorCritic(1, MultiDiscrete([2, 3], start=[0, 5]), units=())
    p = [0.25, 0.75, 0.5, 0.2, 0.3]
    model.actor.layers[-1].bias.assign(np.log(p))
    noise = next(model._noises(np.random.default_rng(0), 4000, 0.0))
    actions = model.act(np.zeros((4000, 1)), noise) - [0, 5]
    found = np.bincount(3 * actions[:, 0] + actions[:, 1], minlength=6) / 4000
    np.testing.assert_allclose(found, np.outer(p[:2], p[2:]).ravel(), atol=0.03)


class Copy(gymnasium.Env):
    """One step; pays for each entry of the observation that the action repeats."""

    observation_space = MultiDiscrete([2, 3])
    action_space = MultiDiscrete([2, 3])

    def reset(self, seed=None, options=None):
        super().reset(seed=seed)
        self.shown = self.np_random.integers([2, 3])
        return self.shown, {}

    def step(self, action):
        return self.shown, float((action == self.shown).sum()), True, False, {}


@pytest.mark.slow
def test_actor_critic_learns_several_choices():
    model = ActorCritic(Copy.observation_space, Copy.action_space, units=(), seed=0)
    model.compile(keras.optimizers.Adam(0.05))
    settings = {"evaluation_every": 1500, "evaluation_episodes": 20, "verbose": 0}
    model.train(Copy, 1500, **settings)
    assert (model.evaluate(30) == 2).all()
    shown = [[i, j] for i in range(2) for j in range(3)]
    np.testing.assert_array_equal(model.act(shown), shown)


@pytest.mark.slow
def test_q_network_learns_several_choices():
    model = RecurrentQNetwork(Copy.observation_space, Copy.action_space, units=8, seed=0)
    model.compile(keras.optimizers.Adam(0.02))
    settings = {"window": 1, "burn_in": 0, "learning_starts": 100, "tau": 0.1, "verbose": 0}
    model.train(Copy, 1000, **settings, evaluation_every=1000, evaluation_episodes=20)
    assert (model.evaluate(30) == 2).all()


ENDS = [
    (MultiBinary((2, 2)), NESTED),
    (Box(0, 255, (2, 2, 3), np.uint8), Box(0, 255, (2, 3), np.uint8)),
    (Discrete(3, start=-2), Discrete(3, start=2)),
    (MultiDiscrete([[2, 3]]), Box(-0.3, INF, (), np.float64)),
]


@pytest.mark.parametrize(("observations", "actions"), ENDS, ids=str)
def test_actor_critic_acts_in_every_space(observations, actions, tmp_path):
    """In several environments, in one, and on one observation; then from a file."""
    made = []
    model = ActorCritic(observations, actions, units=(3,), seed=0)
    model.compile(run_eagerly=True)
    settings = {"num_steps": 4, "evaluation_every": 16, "evaluation_episodes": 2, "verbose": 0}

    def make():
        made.append(Spaces(observations, actions))
        return made[-1]

    model.train(make, 32, num_envs=3, **settings)
    assert len(made) == 3 + 2 + 2
    assert all(env.actions for env in made)
    model.evaluate(1, make)
    acts_and_is_saved(model, observations, actions, tmp_path)


@pytest.mark.slow
def test_q_network_acts_in_other_spaces(tmp_path):
    observations, actions = MultiBinary((2, 2)), NESTED
    model = RecurrentQNetwork(observations, actions, units=3, seed=0)
    settings = {"window": 1, "burn_in": 1, "learning_starts": 10, "batch_size": 4, "verbose": 0}
    make = lambda: Spaces(observations, actions)  # noqa: E731
    model.train(make, 20, num_envs=2, evaluation_every=20, evaluation_episodes=2, **settings)
    acts_and_is_saved(model, observations, actions, tmp_path)


def acts_and_is_saved(model, observations, actions, tmp_path):
    seen = np.array([observations.sample() for _ in range(4)])
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    for one in (seen[0], seen):
        found, again = model.act(one), loaded.act(one)
        if isinstance(model, RecurrentQNetwork):
            found, again = found[0], again[0]
        np.testing.assert_array_equal(found, again)
        assert found.dtype == again.dtype == actions.dtype
    for action in elements(actions, found):
        assert actions.contains(action)


@agents
@pytest.mark.parametrize("space", [2, (2, 3), Discrete(4)], ids=str)
def test_one_observation_gives_one_action(agent, space):
    model = agent(space, Discrete(3, start=5), seed=0)
    for part in (
        model.actor.layers if agent is ActorCritic else (model.network.encoder, model.network.lstm)
    ):
        checks.randomize(part, seed=1)
    rng = np.random.default_rng(0)
    seen = rng.integers(4, size=6) if space == Discrete(4) else rng.normal(size=(6, 2, 3))
    seen = seen[..., 0] if space == 2 else seen
    act = model.act if agent is ActorCritic else lambda x: model.act(x)[0]
    actions = act(seen)
    assert len(set(actions.tolist())) > 1
    for one, action in zip(seen, actions, strict=True):
        found = act(one)
        assert np.shape(found) == ()
        assert found == action


@agents
def test_observations_of_other_shapes_are_an_error(agent):
    model = agent((2, 3), 2)
    wrongs = [np.zeros((3, 2)), np.zeros(6), np.zeros((1, 4, 2, 3)), 0.0, [[1.0], [1.0, 2.0]]]
    for wrong in [*wrongs, np.full((2, 3), np.nan), np.full((2, 3), "a"), None, {}]:
        with pytest.raises(ValueError, match=r"`observations` must be .*\(batch, 2, 3\)"):
            model.act(wrong)
    with pytest.raises(TypeError, match=r"does not run inside `tf.function`"):
        tf.function(model.act)(tf.zeros((2, 3)))
    with pytest.raises(ValueError, match=r"expected axis -1 of input shape to have value 6"):
        model(np.zeros((4, 5, 1)))  # of 6 numbers each: it would be broadcast


def test_noise_and_states_of_other_shapes_are_an_error():
    model = ActorCritic(2, MultiDiscrete([2, 3]))
    assert model.act(np.zeros(2), np.zeros(5)).shape == (2,)
    for seen, wrong in (((2,), (2,)), ((2,), (2, 5)), ((4, 2), (5,)), ((4, 2), (1, 5))):
        with pytest.raises(ValueError, match="`noise` must be finite numbers of shape"):
            model.act(np.zeros(seen), np.zeros(wrong))
    model = RecurrentQNetwork(2, 2, units=3)
    _, state = model.act(np.zeros(2))
    model.act(np.zeros(2), state)
    for wrong in (state[:1], 0, [np.zeros((1, 3)), np.zeros((2, 3))]):
        with pytest.raises(ValueError, match="`state` must be what `act` returned last"):
            model.act(np.zeros((1, 2)), wrong)


def test_log_standard_deviations_are_bounded_as_in_the_loss():
    """The noise that the network's output stands for: 1e4 would be infinite, silently."""
    model = ActorCritic(1, {"low": [-INF] * 3, "high": [INF] * 3}, units=())
    model.log_std.assign([-1e4, 0.5, 1e4])
    actions = model.act([0.0], np.ones(3)) - model.act([0.0])
    np.testing.assert_allclose(np.log(actions), [-7, 0.5, 7], atol=0.01)


TRAINED = {"num_steps": 4, "evaluation_every": 16, "evaluation_episodes": 1, "verbose": 0}


def test_an_environment_is_trained_in_as_it_is():
    """The same as from a function that makes it, one environment at a time; it stays open."""

    class Watched(Corridor):
        closed = False

        def close(self):
            Watched.closed = True

    histories, env = [], Watched()
    for env_id, num_envs in ((Watched, 1), (env, None)):
        model = ActorCritic(2, 2, units=(2,), seed=0)
        model.compile(run_eagerly=True)
        Watched.closed = False
        history = model.train(env_id, 32, num_envs=num_envs, **TRAINED).history
        histories.append(history)
        assert Watched.closed == (env_id is Watched)
        np.testing.assert_array_equal(model.evaluate(1), model.evaluate(1, Watched))
        assert model.evaluate(3).shape == (3,)
    np.testing.assert_equal(*histories)
    with pytest.raises(
        ValueError, match="`num_envs` must be None where `env_id` is an environment"
    ):
        model.train(env, 32, num_envs=2, **TRAINED)


def test_a_vector_environment_is_trained_in_as_it_is():
    histories = []
    vector = gymnasium.vector.SyncVectorEnv([Corridor] * 3)
    for env_id, num_envs in ((Corridor, 3), (vector, None)):
        model = ActorCritic(2, 2, units=(2,), seed=0)
        model.compile(run_eagerly=True)
        histories.append(model.train(env_id, 32, num_envs=num_envs, **TRAINED).history)
    np.testing.assert_equal(*histories)
    assert model.evaluate(2).shape == (2,)
    assert not vector.closed
    same_step = gymnasium.vector.SyncVectorEnv(
        [Corridor], autoreset_mode=gymnasium.vector.AutoresetMode.SAME_STEP
    )
    with pytest.raises(ValueError, match="reset at the step after an episode's end"):
        model.evaluate(2, same_step)


def test_environments_that_are_none():
    model, env = ActorCritic(2, 2, units=()), Corridor()
    for wrong in (5, [env], object()):
        with pytest.raises(ValueError, match=r"`env_id` must be the name of a registered"):
            model.evaluate(2, wrong)
    with pytest.raises(ValueError, match=r"`env_id` must be.*which returned 5"):
        model.evaluate(2, lambda: 5)
    with pytest.raises(ValueError, match="`env_id` must make a new environment at each call"):
        model.evaluate(2, lambda: env)
    with pytest.raises(RuntimeError, match="The environment failed: TypeError"):
        model.evaluate(2, lambda x: env)
    for other in (ActorCritic(2, 3, units=()), ActorCritic(3, 2, units=())):
        with pytest.raises(ValueError, match="must have the spaces that the model was made for"):
            other.evaluate(2, env)
    other = ActorCritic(1, {"low": [-2.0], "high": [1.0]}, units=())
    with pytest.raises(ValueError, match="must have the spaces that the model was made for"):
        other.evaluate(2, Guess())


@agents
def test_a_broken_network_does_not_act(agent):
    model = agent(2, 2, units=2)
    model.trainable_variables[0].assign(np.full((2, 2), np.nan))
    with pytest.raises(ValueError, match=r"The network's (outputs|values) must stay finite"):
        model.act(np.zeros((3, 2)))


@agents
def test_a_diverged_training_keeps_finite_weights(agent):
    """Also where each loss was finite; the optimizer is as good as before, too."""
    q = agent is RecurrentQNetwork
    model = agent(2, 2, units=2 if q else (2,), seed=0)
    model.compile(keras.optimizers.Adam(0.01), **({} if q else {"run_eagerly": True}))
    windows = {"learning_starts": 4, "batch_size": 2, "window": 1, "burn_in": 0}
    settings = windows if q else {"num_steps": 4}
    settings |= {"num_envs": 2, "evaluation_episodes": 2, "evaluation_every": 40, "verbose": 0}
    model.optimizer.build(model.trainable_variables)
    before = [np.array(v) for v in (*model.weights, *model.optimizer.variables)]
    broken = [model.trainable_variables[-1], model.optimizer.variables[-1]]
    last = 19 if q else 4

    def spoil(batch, logs):
        if batch == last:
            for variable in broken:
                variable.assign(variable * np.nan)

    spoils = keras.callbacks.LambdaCallback(on_train_batch_end=spoil)
    with pytest.raises(ValueError, match=r"The weights must stay finite") as caught:
        model.train(Corridor, 40, callbacks=[spoils], **settings)
    assert "No evaluation had come yet" in caught.value.__notes__[0]
    after = [np.array(v) for v in (*model.weights, *model.optimizer.variables)]
    for found, right in zip(after, before, strict=True):
        np.testing.assert_array_equal(found, right)
