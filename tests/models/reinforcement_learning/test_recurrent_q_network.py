import checks
import gymnasium
import keras
import numpy as np
import pytest
from environments import Corridor, Guess

from kerazoo.models import RecurrentQNetwork, TargetNetwork
from kerazoo.models.reinforcement_learning._environments import Environments
from kerazoo.models.reinforcement_learning._episode_replay import EpisodeReplay
from kerazoo.models.reinforcement_learning._q_learner import compiled_update, episodes_of

SMALL = {
    "num_envs": 4,
    "batch_size": 16,
    "window": 2,
    "burn_in": 1,
    "learning_starts": 50,
    "evaluation_every": 100,
    "evaluation_episodes": 8,
}


class Recall(gymnasium.Env):
    """Shows a sign, then nothing twice, and pays for the action that the sign named."""

    observation_space = gymnasium.spaces.Box(-1, 1, (2,))
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, seed=None, options=None):
        super().reset(seed=seed)
        self.sign, self.time = int(self.np_random.integers(2)), 0
        return np.float32([2 * self.sign - 1, 0]), {}

    def step(self, action):
        self.time += 1
        reward = float(action == self.sign) if self.time == 3 else 0.0
        return np.float32([0, self.time / 3]), reward, self.time == 3, False, {}


def make(memory=True, seed=0, **arguments):
    return RecurrentQNetwork(2, 2, units=8, memory=memory, seed=seed, **arguments)


def train(model, env_id=Corridor, steps=200, **arguments):
    return model.train(env_id, steps, **{**SMALL, "verbose": 0, **arguments})


def episode(length, start=0, terminated=True):
    steps = np.arange(start, start + length)
    observations = np.stack([np.arange(start, start + length + 1)] * 2, -1).astype("float32")
    return observations, steps % 2, 10.0 * steps, terminated


@pytest.mark.slow
def test_memory_recalls_what_is_no_longer_seen():
    """Without it one of the two signs is lost: half of the reward."""
    found = {}
    for memory in (True, False):
        model = make(memory)
        model.compile(keras.optimizers.Adam(0.01))
        train(model, Recall, 2400, evaluation_every=1200, tau=0.05)
        found[memory] = model.evaluate(100).mean()
    assert found[True] == 1.0
    assert 0.3 < found[False] < 0.7


def numpy_q(network, observations):
    """The network's formula for one series (time, 2), in float64."""
    w = {v.path.split("/", 1)[-1].rsplit("/", 2)[-1]: v for v in network.lstm.weights}
    kernel, recurrent, bias = (np.asarray(v, "float64") for v in w.values())
    scale = network.scale
    x = (observations - np.asarray(scale.mean)) / np.sqrt(np.asarray(scale.variance) + 1e-8)
    dense, b = (np.asarray(v, "float64") for v in network.encoder.weights)
    head, b_head = (np.asarray(v, "float64") for v in network.head.weights)
    h = c = np.zeros(network.units)
    values = []
    for row in np.maximum(x @ dense + b, 0):
        if not network.memory:
            h = c = np.zeros(network.units)
        i, f, g, o = np.split(row @ kernel + h @ recurrent + bias, 4)
        i, f, o = (1 / (1 + np.exp(-z)) for z in (i, f, o))
        c = f * c + i * np.tanh(g)
        h = o * np.tanh(c)
        values.append(h @ head + b_head)
    return np.array(values)


@pytest.mark.parametrize("memory", [True, False])
def test_values_equal_numpy(memory):
    model = make(memory)
    checks.randomize(model.network.lstm)
    checks.randomize(model.network.head)
    model.network.scale.update(np.random.default_rng(0).normal(3, 2, size=(50, 2)))
    x = checks.sample((5, 2))
    expected = [numpy_q(model.network, series) for series in x]
    np.testing.assert_allclose(model(x), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("memory", [True, False])
def test_acting_step_by_step_is_the_whole_series(memory):
    model = make(memory)
    x = checks.sample((6, 2))
    whole = np.argmax(model(x), -1)
    state = None  # the empty memory
    for t in range(6):
        actions, state = model.act(x[:, t], state)
        np.testing.assert_array_equal(actions, whole[:, t])


@pytest.mark.parametrize(
    ("memory", "burn_in", "sizes"),
    [(True, 0, [2]), (True, 3, [2]), (False, 0, [2]), (False, 3, [2]), (True, 3, [3, 1, 2])],
)
def test_an_update_is_the_formula(memory, burn_in, sizes):
    """Double Q-learning on windows that begin before, in and at the end of episodes.

    Of several choices each has its own values; their target is the mean over the choices.
    """
    space = 2 if sizes == [2] else {"type": "MultiDiscrete", "nvec": sizes}
    model = RecurrentQNetwork(2, space, units=8, memory=memory, seed=0)
    model.compile(keras.optimizers.SGD(1.0))
    model.optimizer.build(model.network.trainable_variables)
    checks.randomize(model.network.head, seed=1)
    target = TargetNetwork(model.network)
    checks.randomize(target.model.head, seed=2)
    replay = EpisodeReplay(1000)
    for i, (length, terminated) in enumerate([(2, True), (9, False), (5, True)]):
        rng = np.random.default_rng(i)
        actions, rewards = model._actions.random(rng, length), rng.normal(size=length)
        replay.add(rng.normal(size=(length + 1, 2)).astype("f4"), actions, rewards, terminated)
    batch = replay.sample(np.random.default_rng(0), 12, burn_in, 4)
    assert batch["terminated"].any()
    assert (batch["counts"][:, burn_in:] == 0).any()

    errors = []
    for row in range(12):
        there = np.flatnonzero(batch["seen"][row])
        series = slice(there[0], there[-1] + 1)
        q, q_target = (np.zeros((burn_in + 5, sum(sizes))) for _ in range(2))
        q[series] = numpy_q(model.network, batch["observations"][row, series])
        q_target[series] = numpy_q(target.model, batch["observations"][row, series])
        q, q_target = (np.split(x, np.cumsum(sizes)[:-1], axis=1) for x in (q, q_target))
        for t in range(burn_in, burn_in + 4):
            if batch["counts"][row, t]:
                pairs = zip(q, q_target, strict=True)
                value = np.mean([theirs[t + 1, np.argmax(ours[t + 1])] for ours, theirs in pairs])
                value = 0.0 if batch["terminated"][row, t] else value
                y = batch["rewards"][row, t] + 0.9 * value
                for ours, action in zip(q, np.ravel(batch["actions"][row, t]), strict=True):
                    error = abs(ours[t, action] - y)
                    errors.append(error**2 / 2 if error < 1 else error - 0.5)
    update = compiled_update(model.network, target.model, model.optimizer, burn_in, 0.9, sizes)
    before = model.network.head.get_weights()[1].copy()
    loss = update(**batch)
    np.testing.assert_allclose(loss, np.mean(errors), rtol=1e-4)
    assert np.abs(model.network.head.get_weights()[1] - before).max() > 1e-3


def test_no_gradient_through_the_burn_in():
    """All that the counted step sees comes from the state: nothing reaches what made it."""
    model = make()
    model.compile(keras.optimizers.SGD(1.0))
    model.optimizer.build(model.network.trainable_variables)
    target = TargetNetwork(model.network)
    replay = EpisodeReplay(100)
    observations, actions, rewards, terminated = episode(6, start=1)
    observations[3:] = 0.0  # where it counts the encoder sees zeros, and has no bias yet
    replay.add(observations, actions, rewards, terminated)
    batch = replay.sample(np.random.default_rng(0), 64, 3, 2)
    late = batch["observations"][:, 3] == 0
    batch["counts"] *= late[:, :1]
    before = model.network.encoder.get_weights()[0].copy()
    compiled_update(model.network, target.model, model.optimizer, 3, 0.9, [2])(**batch)
    np.testing.assert_array_equal(model.network.encoder.get_weights()[0], before)


def test_windows():
    replay = EpisodeReplay(1000)
    for start, length, terminated in ((0, 3, True), (100, 10, False)):
        replay.add(*episode(length, start, terminated))
    batch = replay.sample(np.random.default_rng(0), 500, burn_in=2, length=4)
    firsts = batch["actions"].shape
    assert firsts == (500, 6)
    counted = []
    for row in range(500):
        counts, seen = batch["counts"][row], batch["seen"][row]
        assert not counts[:2].any()
        assert counts[2] == 1
        here = np.flatnonzero(counts)
        steps = batch["observations"][row, here, 0]
        np.testing.assert_array_equal(np.diff(steps), 1)
        np.testing.assert_array_equal(batch["rewards"][row, here], 10 * steps)
        np.testing.assert_array_equal(batch["actions"][row, here], steps % 2)
        np.testing.assert_array_equal(batch["observations"][row, here + 1, 0], steps + 1)
        assert seen[here].all()
        assert seen[here + 1].all()
        last = steps == 2  # of the first episode, which terminated; the other did not
        np.testing.assert_array_equal(batch["terminated"][row, here], last)
        before = min(2, int(steps[0]) % 100)
        np.testing.assert_array_equal(seen[:2], [before == 2, before >= 1])
        counted.append(int(steps[0]))
    share = np.bincount(counted, minlength=110)[[0, 1, 2, *range(100, 110)]] / 500
    assert np.abs(share - 1 / 13).max() < 0.05


def test_replay_forgets_the_oldest():
    replay = EpisodeReplay(10)
    for start in range(0, 50, 5):
        replay.add(*episode(5, start))
    assert (replay.steps, len(replay.episodes)) == (10, 2)
    assert replay.episodes[0][0][0, 0] == 40


def test_episodes_are_whole():
    """No dummy step among them, the last observation the true one, and each from its reset."""
    model = make()
    with Environments(lambda: Corridor(time_limit=3), 3) as environments:
        steps = episodes_of(model, environments, 0, np.random.default_rng(0), 60)
        next(steps)
        ended = [e for _ in range(60) for e in steps.send(1.0)]
    assert len(ended) > 30
    assert not all(over for _, over in ended[-3:])  # cut off by the last step
    for (observations, actions, rewards, terminated), over in ended:
        places = np.rint((observations[:, 0] + 1) * 2).astype(int)
        assert len(places) == len(actions) + 1 == len(rewards) + 1 <= 4
        np.testing.assert_array_equal(np.diff(places), 2 * actions - 1)
        assert 1 <= places[0] <= 3
        assert terminated == (places[-1] in (0, 4))
        assert over == (terminated or len(actions) == 3)
        assert rewards.sum() == (places[-1] == 4)


def test_memory_is_empty_at_the_start_of_an_episode():
    model = make()
    for part in (model.network.encoder, model.network.lstm, model.network.head):
        checks.randomize(part, seed=7)
    model.network.head.bias.assign([0.0, 0.0])  # so that both actions come
    with Environments(lambda: Corridor(time_limit=4), 2) as environments:
        steps = episodes_of(model, environments, 0, np.random.default_rng(0), 60)
        next(steps)
        ended = [e for _ in range(60) for e in steps.send(0.0)]
    assert len(ended) > 10
    assert len({int(a) for (_, actions, *_), _ in ended for a in actions}) == 2
    for (observations, actions, *_), _ in ended:
        greedy = np.argmax(model(observations[None])[0], -1)[:-1]
        np.testing.assert_array_equal(actions, greedy)


@pytest.mark.slow
def test_seeds_decide():
    def run(model_seed, seed):
        model = make(seed=model_seed)
        history = train(model, seed=seed).history
        return np.concatenate([w.ravel() for w in model.get_weights()]), history

    weights, history = run(0, 0)
    again, same = run(0, 0)
    np.testing.assert_array_equal(weights, again)
    np.testing.assert_equal(history, same)
    assert np.abs(run(0, 1)[0] - weights).max() > 1e-4


@pytest.mark.slow
def test_save_and_load(tmp_path):
    model = make()
    train(model)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    x = checks.sample((4, 2))
    np.testing.assert_array_equal(loaded(x), model(x))
    np.testing.assert_array_equal(loaded.evaluate(9, Corridor), model.evaluate(9))
    train(loaded, steps=100)


@pytest.mark.parametrize("policy", ["mixed_float16", "float64"])
def test_dtype_policies(policy):
    model = make(dtype=policy)
    train(model, steps=100)
    assert model(np.zeros((2, 3, 2))).dtype == keras.DTypePolicy(policy).compute_dtype


def test_errors():
    for wrong in (None, 1, Guess.action_space):
        with pytest.raises(ValueError, match=r"`action_space` must be.*DiscretizeAction"):
            RecurrentQNetwork(2, wrong)
    for name, wrong in (("units", 0), ("memory", 1), ("seed", True)):
        with pytest.raises(ValueError, match=f"`{name}` must be"):
            RecurrentQNetwork(2, 2, **{name: wrong})
    model = make()
    for name, wrong in (
        ("steps", 0),
        ("window", 0),
        ("burn_in", -1),
        ("tau", 2.0),
        ("exploration", (1.0, 2.0, 0.5)),
        ("exploration", (1.0, 0.5)),
        ("num_envs", 0),
        ("seed", -1),
    ):
        with pytest.raises(ValueError, match=f"`{name}` must be"):
            train(model, **{name: wrong})
    with pytest.raises(ValueError, match="must have the spaces that the model was made for"):
        train(model, Guess)
    with pytest.raises(ValueError, match="`env_id` must be given"):
        model.evaluate(2)
    assert int(model.steps) == 0
