"""What both agents promise of `train`: the best weights, resuming, and clear ends."""

import json
import shutil

import checks
import keras
import numpy as np
import pytest
from environments import Corridor

from kerazoo.models import ActorCritic, RecurrentQNetwork

EPOCH = 64  # steps


def actor_critic(seed=0, **arguments):
    return ActorCritic(2, 2, units=(16,), seed=seed, **arguments)


def recurrent_q(seed=0, **arguments):
    return RecurrentQNetwork(2, 2, units=8, seed=seed, **arguments)


SETTINGS = {
    actor_critic: {"num_steps": 8},
    # The replay forgets, updates are owed from one epoch to the next, and the target is not the
    # online network: all that must come back.
    recurrent_q: {
        "window": 2,
        "burn_in": 1,
        "batch_size": 8,
        "learning_starts": 40,
        "update_every": 7,
        "replay_steps": 90,
    },
}

agents = pytest.mark.parametrize("agent", [actor_critic, recurrent_q])


def train(agent, model, env_id=Corridor, epochs=4, **arguments):
    settings = {"num_envs": 4, "evaluation_every": EPOCH, "evaluation_episodes": 4, "verbose": 0}
    return model.train(env_id, epochs * EPOCH, **{**settings, **SETTINGS[agent], **arguments})


def assert_same(found, expected):
    pairs = zip(found, expected, strict=True)
    assert all(np.array_equal(a, b) for a, b in pairs)


class Interrupt(keras.callbacks.Callback):
    def __init__(self, epoch, batch):
        super().__init__()
        self.at, self.epoch = (epoch, batch), None

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == self.at:
            raise KeyboardInterrupt


@pytest.mark.slow
@agents
def test_resumes_as_if_never_interrupted(agent, tmp_path):
    """After an environment that broke, and after Ctrl-C."""
    straight = agent()
    expected = train(agent, straight, checkpoint=tmp_path / "straight").history

    folder = tmp_path / "resumed"
    Corridor.steps = 0
    with pytest.raises(RuntimeError, match="the door is stuck"):
        train(agent, agent(), lambda: Corridor(fails_at=120), checkpoint=folder)
    with pytest.raises(KeyboardInterrupt):
        train(agent, agent(), checkpoint=folder, callbacks=[Interrupt(2, 1)])
    resumed = agent()
    checks.randomize(resumed)
    np.testing.assert_equal(train(agent, resumed, checkpoint=folder).history, expected)
    for name in ("last", "best"):
        found, right = (
            keras.saving.load_model(tmp_path / run / f"{name}.keras")
            for run in ("resumed", "straight")
        )
        assert_same(found.get_weights(), right.get_weights())
        assert_same(found.optimizer.variables, right.optimizer.variables)
    assert_same(resumed.get_weights(), straight.get_weights())
    again = train(agent, agent(), checkpoint=folder)
    assert again.epoch == [0, 1, 2, 3]
    np.testing.assert_equal(again.history, expected)


@pytest.mark.slow
def test_the_replay_comes_back_as_it_was(tmp_path):
    """The file that `last.keras` goes with, and no other, is left in the folder."""
    model = recurrent_q()
    train(recurrent_q, model, checkpoint=tmp_path, epochs=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "best.keras",
        "last.keras",
        "progress.json",
        "state.128.npz",
    ]
    # An interruption between the files of one epoch: that epoch is done again.
    shutil.copytree(tmp_path, tmp_path / "half")
    last = (tmp_path / "last.keras").read_bytes()
    train(recurrent_q, model, checkpoint=tmp_path, epochs=3)
    shutil.copy(tmp_path / "state.192.npz", tmp_path / "half")
    shutil.copy(tmp_path / "progress.json", tmp_path / "half")
    assert (tmp_path / "half" / "last.keras").read_bytes() == last
    again = recurrent_q()
    history = train(recurrent_q, again, checkpoint=tmp_path / "half", epochs=3).history
    expected = [row["logs"] for row in json.loads((tmp_path / "progress.json").read_text())["rows"]]
    np.testing.assert_equal(history["loss"], [row["loss"] for row in expected])
    assert_same(again.get_weights(), model.get_weights())
    assert (tmp_path / "half" / "state.192.npz").exists()


@agents
def test_refuses_a_folder_of_something_else(agent, tmp_path):
    train(agent, agent(), checkpoint=tmp_path, epochs=2)
    for arguments in ({"epochs": 1}, {"seed": 3}, {"discount": 0.5}):
        model = agent()
        before = model.get_weights()
        with pytest.raises(ValueError, match="must be a folder of the same training"):
            train(agent, model, checkpoint=tmp_path, **arguments)
        assert_same(model.get_weights(), before)
    with pytest.raises(ValueError, match="env_id=None, not 'CartPole-v1'"):
        train(agent, agent(), "CartPole-v1", checkpoint=tmp_path)
    model = agent()
    model.compile("sgd")
    with pytest.raises(ValueError, match="optimizer='Adam', not 'SGD'"):
        train(agent, model, checkpoint=tmp_path)
    with pytest.raises(ValueError, match="must be a folder of the same model"):
        train(agent, agent(seed=5), checkpoint=tmp_path)


@pytest.mark.parametrize(
    ("agent", "how", "error", "message"),
    [
        (actor_critic, "raise", RuntimeError, "The environment failed: OSError: the door is stuck"),
        (actor_critic, "reward", ValueError, "a reward that is NaN or infinite.*in environment"),
        (recurrent_q, "raise", RuntimeError, "The environment failed: OSError: the door is stuck"),
        (recurrent_q, "observation", ValueError, "an observation that is NaN or infinite"),
    ],
)
def test_a_failing_environment_leaves_the_best_weights(tmp_path, agent, how, error, message):
    model, seen = agent(), {}
    remember = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: seen.update({logs["val_return"]: model.get_weights()})
    )
    Corridor.steps = 0
    with pytest.raises(error, match=message) as caught:
        train(
            agent,
            model,
            lambda: Corridor(fails_at=250, how=how),
            epochs=20,
            checkpoint=tmp_path,
            callbacks=[remember],
        )
    note = caught.value.__notes__[0]
    assert "The model has its best weights so far, evaluated at" in note
    assert str(tmp_path / "best.keras") in note
    best = keras.saving.load_model(tmp_path / "best.keras")
    expected = seen[max(seen)]  # the later of equal ones
    assert_same(model.get_weights(), expected)
    assert_same(best.get_weights(), expected)
    assert all(np.isfinite(kept).all() for kept in expected)


@agents
def test_failing_at_once_keeps_the_weights(agent):
    model = agent()
    before = model.get_weights()
    Corridor.steps = 0
    with pytest.raises(RuntimeError, match="the door is stuck") as caught:
        train(agent, model, lambda: Corridor(fails_at=3))
    assert "No evaluation had come yet" in caught.value.__notes__[0]
    assert_same(model.get_weights(), before)


@agents
def test_ends_with_the_weights_that_evaluated_best(agent, monkeypatch):
    scores, seen = iter([3.0, 5.0, 4.0, 5.0, 1.0]), []

    def evaluate(self, *args, **kwargs):
        seen.append(self.get_weights())
        return np.array([next(scores)])

    model = agent()
    monkeypatch.setattr(type(model), "evaluate", evaluate)
    history = train(agent, model, epochs=5).history
    assert history["val_return"] == [3.0, 5.0, 4.0, 5.0, 1.0]
    assert_same(model.get_weights(), seen[3])  # the later of equal ones
    assert int(model.steps) == 4 * EPOCH


@agents
def test_callbacks_and_progress_bar(agent, capsys):
    model = agent()
    stop = keras.callbacks.EarlyStopping("val_return", mode="max", patience=1, min_delta=10)
    history = train(agent, model, epochs=10, callbacks=[stop], verbose=1).history
    assert len(history["val_return"]) == 2
    losses = {"actor_loss", "critic_loss"} if agent is actor_critic else set()
    assert set(history) == {*losses, "loss", "return", "steps", "val_return"}
    printed = capsys.readouterr().out
    assert "Epoch 1/10" in printed
    assert "val_return" in printed


@pytest.mark.slow
def test_a_checkpoint_of_other_compile_settings_is_refused(tmp_path):
    def train_with(steps, *arguments):
        model = ActorCritic(2, 2, units=(4,), seed=0)
        model.compile(*arguments)
        settings = {"num_envs": 2, "num_steps": 8, "evaluation_every": 16, "evaluation_episodes": 1}
        model.train(Corridor, steps, checkpoint=tmp_path, verbose=0, **settings)

    train_with(16, keras.optimizers.Adam(1e-3), 0.01, 0.5)
    train_with(32, keras.optimizers.Adam(1e-3), 0.01, 0.5)
    for arguments, what in (
        ((keras.optimizers.Adam(0.3), 0.01, 0.5), "learning_rate=0.001.*not 0.3"),
        ((keras.optimizers.Adam(1e-3), 5.0, 0.5), "entropy_coefficient=0.01, not 5.0"),
        ((keras.optimizers.Adam(1e-3), 0.01, 3.0), "critic=0.5, not 3.0"),
    ):
        with pytest.raises(ValueError, match=what):
            train_with(48, *arguments)


def test_too_few_steps_to_learn_anything():
    with pytest.raises(ValueError, match="`steps` must be above `learning_starts`, 2000"):
        RecurrentQNetwork(2, 2, units=4).train(Corridor, steps=2000)
