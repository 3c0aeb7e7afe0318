import checks
import keras
import numpy as np
import pytest
import tensorflow as tf
from environments import Corridor, Guess

from kerazoo.models import ActorCritic
from kerazoo.models.reinforcement_learning._environments import Environments
from kerazoo.models.reinforcement_learning._running_scale import RunningScale

SMALL = {"num_envs": 4, "num_steps": 8, "evaluation_every": 64, "evaluation_episodes": 4}


def corridor_model(seed=0, **arguments):
    return ActorCritic(2, 2, units=(16,), seed=seed, **arguments)


def train(model, env_id=Corridor, steps=128, **arguments):
    return model.train(env_id, steps, **{**SMALL, "verbose": 0, **arguments})


@pytest.mark.slow
def test_learns_the_corridor():
    model = corridor_model()
    model.compile(keras.optimizers.Adam(0.01, global_clipnorm=0.5))
    history = train(model, steps=2000, evaluation_every=500, evaluation_episodes=10).history
    assert history["val_return"][-1] == 1.0
    assert (model.evaluate(20) == 1.0).all()
    np.testing.assert_array_equal(model.act([[0.0, 0.5], [-0.5, 0.5]]), [1, 1])


@pytest.mark.slow
def test_learns_a_continuous_action():
    """Bounds -2 and 2: what the network calls 1 is 2 to the environment."""
    model = ActorCritic(1, Guess.action_space, units=(16,), initial_log_std=-0.5, seed=0)
    model.compile(keras.optimizers.Adam(0.01, global_clipnorm=0.5), entropy_coefficient=0.0)
    train(model, Guess, steps=6000, evaluation_every=2000, evaluation_episodes=20)
    assert model.evaluate(30, seed=1).mean() > -0.06  # of always 0 it is -1/3
    action = model.act([[0.5], [-0.5]])
    assert action.shape == (2, 1)
    np.testing.assert_allclose(action[:, 0], [0.5, -0.5], atol=0.25)


def by_hand(model, rollout, discount, gae_lambda, entropy_coefficient):
    """One SGD step of rate 0.1 written out: advantages as sums, the losses as formulas."""
    rewards, values = rollout["rewards"], rollout["values"]
    done = rollout["terminated"] | rollout["truncated"]
    following = np.where(rollout["terminated"], 0, rollout["next_values"])
    delta = rewards + discount * following - values
    advantages = np.zeros_like(delta)
    for i in range(delta.shape[1]):
        for t in range(len(delta)):
            for k in range(t, len(delta)):
                advantages[t, i] += (discount * gae_lambda) ** (k - t) * delta[k, i]
                if done[k, i]:
                    break
    real = ~rollout["dummy"]
    returns = (advantages + values)[real]
    x, a = rollout["observations"][real], rollout["actions"][real]
    A = advantages[real]
    A = (A - A.mean()) / (A.std() + 1e-8)
    weights = [w.value for w in model.trainable_variables]
    with tf.GradientTape() as tape:
        outputs = model(x)
        p = tf.nn.softmax(outputs["actor"])
        chosen = tf.reduce_sum(p * np.eye(2, dtype="float32")[a], -1)
        entropy = -tf.reduce_sum(p * tf.math.log(p), -1)
        actor = tf.reduce_mean(-A * tf.math.log(chosen) - entropy_coefficient * entropy)
        critic = tf.reduce_mean((outputs["critic"][:, 0] - returns) ** 2)
        loss = actor + 0.5 * critic
    return [w - 0.1 * g for w, g in zip(weights, tape.gradient(loss, weights), strict=True)]


@pytest.mark.slow
def test_an_update_is_the_formula():
    """With dummy steps, time limits and ends among its rows."""
    model = corridor_model(normalize_rewards=False)
    model.compile(keras.optimizers.SGD(0.1), entropy_coefficient=0.3)
    with Environments(lambda: Corridor(time_limit=4), 6) as environments:
        rollouts = model._rollouts(environments, (0, 0), 20, 0.0)
        rollout = next(rollouts)
        assert rollout["dummy"].any()
        assert rollout["terminated"].any()
        assert rollout["truncated"].any()
        expected = by_hand(model, rollout, 0.9, 0.8, 0.3)
        model._update(rollout, {"discount": 0.9, "gae_lambda": 0.8}, [])
    for found, right in zip(model.trainable_variables, expected, strict=True):
        np.testing.assert_allclose(found, right, atol=1e-6)


def test_a_step_leads_to_the_true_last_observation():
    """Not to the first one after the reset: that would teach the rewards of the next episode."""
    model = corridor_model(normalize_observations=False)
    checks.randomize(model.critic)
    with Environments(lambda: Corridor(time_limit=3), 3) as environments:
        rollout = next(model._rollouts(environments, (1, 0), 30, 0.0))
    place = np.rint((rollout["observations"][..., 0] + 1) * 2).astype(int)
    led_to = place + 2 * rollout["actions"] - 1
    cells = np.array([[cell / 2 - 1, 0.5] for cell in range(5)], "float32")
    value_of = np.array(model(cells)["critic"])[:, 0]
    real = ~rollout["dummy"]
    assert rollout["truncated"][real].sum() > 5
    np.testing.assert_allclose(rollout["next_values"][real], value_of[led_to[real]], rtol=1e-5)
    ends = rollout["terminated"] | rollout["truncated"]
    np.testing.assert_array_equal(rollout["dummy"][1:], ends[:-1])


@pytest.mark.slow
def test_seeds_decide():
    def run(model_seed, seed):
        model = corridor_model(model_seed)
        model.compile(run_eagerly=True)  # a graph for each of few updates would take longer
        history = train(model, seed=seed).history
        return np.concatenate([w.ravel() for w in model.get_weights()]), history

    weights, history = run(0, 0)
    again, same = run(0, 0)
    np.testing.assert_array_equal(weights, again)
    np.testing.assert_equal(history, same)
    for other in (run(1, 0), run(0, 1)):
        assert np.abs(other[0] - weights).max() > 1e-4


def test_diverging_is_an_error():
    model = corridor_model(normalize_rewards=False)
    model.compile(keras.optimizers.SGD(1e30))
    with pytest.raises(ValueError, match="The losses must stay finite"):
        train(model, steps=640)


def test_acting_is_one_compiled_call(monkeypatch):
    model, calls = corridor_model(), []
    call = ActorCritic.call
    monkeypatch.setattr(ActorCritic, "call", lambda self, x: calls.append(1) or call(self, x))
    for rows in (1, 2, 7):
        assert model.act(np.zeros((rows, 2))).shape == (rows,)
    assert len(calls) == 1


@pytest.mark.slow
def test_xla_changes_nothing():
    """`jit_compile`, Keras's own word, is for acting and updates; both before and after acting."""
    models = [corridor_model(), corridor_model()]
    x = np.random.default_rng(0).normal(size=(9, 2))
    models[1].act(x)
    models[1].compile(jit_compile=True)
    histories = [train(model).history for model in models]
    assert set(histories[0]) == set(histories[1])
    for name, values in histories[0].items():
        np.testing.assert_allclose(histories[1][name], values, rtol=1e-3, err_msg=name)
    np.testing.assert_array_equal(models[1].act(x), models[0].act(x))
    compiled = models[1]._concrete["_act"].function_def.attr
    assert compiled["_XlaMustCompile"].b


@pytest.mark.slow
@pytest.mark.parametrize("box", [False, True])
def test_save_and_load(tmp_path, box):
    model = ActorCritic(1, Guess.action_space, units=(8, 4)) if box else corridor_model()
    env = Guess if box else Corridor
    train(model, env)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    with pytest.raises(ValueError, match="`env_id` must be given"):
        loaded.evaluate(3)
    np.testing.assert_array_equal(loaded.evaluate(9, env), model.evaluate(9, env))
    again = [train(m, env).history for m in (model, loaded)]  # with the optimizer's state
    np.testing.assert_equal(*again)


def test_evaluate_counts_whole_episodes():
    """One after another in each environment: the first to end would be the short ones."""
    model = corridor_model()
    returns = model.evaluate(130, Corridor)
    assert returns.shape == (130,)
    np.testing.assert_array_equal(returns[:30], model.evaluate(130, Corridor)[:30])
    assert set(returns) <= {0.0, 1.0}


def test_noise_is_correlated_and_keeps_its_variance():
    model = ActorCritic(1, Guess.action_space, units=(2,))
    noises = model._noises(np.random.default_rng(0), 2000, 0.9)
    first, second, third = (next(noises)[:, 0] for _ in range(3))
    assert abs(np.corrcoef(first, second)[0, 1] - 0.9) < 0.03
    assert abs(np.corrcoef(first, third)[0, 1] - 0.81) < 0.04
    assert abs(third.std() - 1) < 0.05


def test_gumbel_noise_samples_the_policy():
    model = corridor_model()
    model.actor.layers[-1].bias.assign([0.0, np.log(3.0)])
    noise = next(model._noises(np.random.default_rng(0), 4000, 0.0))
    actions = model.act(np.zeros((4000, 2)), noise)
    assert abs(actions.mean() - 0.75) < 0.03


def test_running_scale_equals_numpy():
    layer = RunningScale()
    layer.build((None, 3))
    rng = np.random.default_rng(0)
    parts = [rng.normal(5, [1, 2, 30], size=(n, 3)).astype("float32") for n in (1, 7, 100)]
    x = np.concatenate(parts).astype("float64")
    for part in parts:
        layer.update(part)
    expected = (parts[2] - x.mean(0)) / x.std(0)
    np.testing.assert_allclose(layer(parts[2]), expected, rtol=1e-4, atol=1e-5)
    assert np.abs(layer(1e9 * parts[1])).max() == 10


def test_rewards_are_scaled_by_the_deviation_of_returns():
    def losses(factor, normalize):
        class Paid(Corridor):
            def step(self, action):
                observation, reward, *rest = super().step(action)
                return observation, factor * reward, *rest

        model = corridor_model(normalize_rewards=normalize)
        model.compile(run_eagerly=True)
        return train(model, Paid).history["critic_loss"]

    np.testing.assert_allclose(losses(1.0, True), losses(1000.0, True), rtol=1e-3)
    assert losses(1000.0, False)[0] > 1000 * losses(1.0, False)[0]


@pytest.mark.slow
def test_without_gymnasium():
    printed = checks.run_in_fresh_process(
        """
        import sys
        sys.modules["gymnasium"] = None
        from kerazoo.models import ActorCritic
        model = ActorCritic(4, 2)
        try:
            model.train("CartPole-v1", 100)
        except ImportError as error:
            print(error)
        """
    )
    assert "needs gymnasium" in printed
    assert "pip install" in printed


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float64"])
def test_dtype_policies(policy):
    model = corridor_model(dtype=policy)
    model.compile(run_eagerly=True)
    train(model)
    assert model(np.zeros((2, 2)))["actor"].dtype == keras.DTypePolicy(policy).compute_dtype


def test_errors():
    for name, wrong in (
        ("units", (0,)),
        ("units", True),
        ("initial_log_std", np.nan),
        ("normalize_rewards", 1),
        ("normalize_observations", "no"),
        ("seed", -1),
        ("seed", 0.5),
    ):
        with pytest.raises(ValueError, match=f"`{name}` must be"):
            ActorCritic(2, 2, **{name: wrong})
    model = corridor_model()
    for wrong in (0, np.nan, True):
        with pytest.raises(ValueError, match="`value_coefficient` must be"):
            model.compile(value_coefficient=wrong)
    for name, wrong in (
        ("steps", 0),
        ("num_envs", 0.5),
        ("num_steps", 0),
        ("evaluation_every", None),
        ("evaluation_episodes", -1),
        ("discount", 1.5),
        ("gae_lambda", -1),
        ("noise_correlation", 1.0),
        ("seed", -1),
        ("callbacks", "none"),
        ("verbose", 3),
        ("checkpoint", 5),
    ):
        with pytest.raises(ValueError, match=f"`{name}` must be"):
            train(model, **{name: wrong})
    for other in (Guess, "CartPole-v1"):
        with pytest.raises(ValueError, match="must have the spaces that the model was made for"):
            train(model, other)
        with pytest.raises(ValueError, match="must have the spaces that the model was made for"):
            model.evaluate(2, other)
