"""Double Q-learning with windows of episodes."""

import math

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from ._episode_replay import EpisodeReplay
from ._seeds import ENVIRONMENTS, NOISE, REPLAY, seed_of
from ._spaces import heads
from .target_network import TargetNetwork


class QLearner:
    """What a training of a `RecurrentQNetwork` needs besides the network.

    `learner(environments, epoch, ended)` plays and learns: an iterator of logs.
    """

    def __init__(self, model, epochs, settings):
        self.model, self.epochs, self.settings = model, epochs, settings
        self.target = TargetNetwork(model.network, settings["tau"])
        self.replay = EpisodeReplay(settings["replay_steps"])
        self.begun = False  # with learning
        self.owed = 0.0  # updates, for the steps that were played
        self._update = compiled_update(
            model.network,
            self.target.model,
            model.optimizer,
            settings["burn_in"],
            settings["discount"],
            model._actions.sizes,
        )

    def __call__(self, environments, epoch, ended):
        num_envs, seed = self.settings["num_envs"], self.settings["seed"]
        play, windows = (np.random.default_rng([seed, epoch, i]) for i in (NOISE, REPLAY))
        steps = episodes_of(
            self.model, environments, seed_of(seed, epoch, ENVIRONMENTS), play, self.epochs.updates
        )
        next(steps)
        losses = []
        for i in range(self.epochs.updates):
            done = epoch * self.epochs.steps + i * num_envs
            for episode, over in steps.send(self._epsilon(done)):
                self.replay.add(*episode)
                if over:
                    ended.append(float(episode[2].sum()))
            if self._ready(done + num_envs):
                self.owed += num_envs / self.settings["update_every"]
            while self.owed >= 1:
                self.owed -= 1
                losses.append(self._learn(windows))
            yield {"loss": float(np.mean(losses[-100:])) if losses else math.nan}

    def state(self):
        """All of it as a dict of arrays."""
        target = {f"target_{i}": w for i, w in enumerate(self.target.get_weights())}
        return {**self.replay.state(), **target, "begun": self.begun, "owed": self.owed}

    def set_state(self, arrays):
        self.replay.set_state(arrays)
        count = len(self.target.get_weights())
        self.target.set_weights([arrays[f"target_{i}"] for i in range(count)])
        self.begun, self.owed = bool(arrays["begun"]), float(arrays["owed"])

    def _epsilon(self, done):
        first, last, share = self.settings["exploration"]
        total = self.epochs.number * self.epochs.steps
        return first + (last - first) * min(1.0, done / max(1.0, share * total))

    def _ready(self, done):
        """Whether there is enough to learn from; the first time it sets the scale."""
        if done < self.settings["learning_starts"]:
            return False
        if self.replay.steps < self.settings["batch_size"]:
            return False
        if not self.begun:
            seen = np.concatenate([observations for observations, *_ in self.replay.episodes])
            self.model.network.scale.update(seen)
            self.target.hard_update()
            self.begun = True
        return True

    def _learn(self, generator):
        names = ("batch_size", "burn_in", "window")
        sample = self.replay.sample(generator, *(self.settings[name] for name in names))
        loss = float(self._update(**sample))
        if not math.isfinite(loss):
            raise ValueError(
                f"The loss must stay finite: a smaller learning rate may help. Received: {loss}"
            )
        self.target.update()
        return loss


def episodes_of(model, environments, seed, generator, steps):
    """A step at each `send(share of random actions)`.

    Yields the episodes that it ended as `(episode, over)`. The last step ends them all, also those
    that are not over.
    """
    observations = environments.reset(seed)
    rows = environments.num_envs
    state = model.network.empty_state(rows)
    begun = [([o], [], []) for o in observations]
    finished = []
    for t in range(steps):
        epsilon = yield finished
        actions, state = model._greedy(observations, state)
        random = model._actions.random(generator, rows)
        explores = (generator.uniform(size=rows) < epsilon).reshape(rows, *[1] * (random.ndim - 1))
        actions = np.where(explores, random, actions)
        dummy = environments.dummy
        observations, rewards, terminated, truncated = environments.step(actions)
        over = terminated | truncated
        finished = []
        for i in range(rows):
            if dummy[i]:  # the step that began the next episode
                begun[i] = ([observations[i]], [], [])
                continue
            for series, value in zip(
                begun[i], (observations[i], actions[i], rewards[i]), strict=True
            ):
                series.append(value)
            if over[i] or t == steps - 1:
                finished.append(((*map(np.array, begun[i]), bool(terminated[i])), over[i]))
        if dummy.any():
            state = [ops.where(dummy[:, None], ops.zeros_like(s), s) for s in state]
    yield finished


def compiled_update(online, target, optimizer, burn_in, discount, sizes):
    """One gradient step on one sample of an `EpisodeReplay`; gives the loss before it.

    `sizes` are the numbers of values of each choice; of several the target is their mean.
    """
    weights = online.trainable_variables

    def update(observations, seen, actions, rewards, terminated, counts):
        def begin(network):
            state = network.empty_state(ops.shape(observations)[0])
            if burn_in == 0:
                return state
            state = network(observations[:, :burn_in], state, seen[:, :burn_in])[1]
            return [ops.stop_gradient(s) for s in state]

        x, there = observations[:, burn_in:], seen[:, burn_in:]
        a, r, end, w = (v[:, burn_in:] for v in (actions, rewards, terminated, counts))
        a = ops.reshape(a, (*ops.shape(r), len(sizes)))
        q_target = heads(target(x, begin(target), there)[0], sizes)
        state = begin(online)
        with tf.GradientTape() as tape:
            # (batch, window + 1, choices, largest size)
            q = heads(online(x, state, there)[0], sizes)
            best = ops.argmax(ops.stop_gradient(q[:, 1:]), axis=-1)
            following = ops.take_along_axis(q_target[:, 1:], best[..., None], axis=-1)[..., 0]
            following = ops.mean(ops.cast(following, "float32"), axis=-1)  # (batch, window)
            y = ops.stop_gradient(r + discount * ops.where(end, 0.0, following))
            chosen = ops.take_along_axis(q[:, :-1], a[..., None], axis=-1)[..., 0]
            # The mean over the choices, (batch, window).
            loss = keras.losses.huber(y[..., None], ops.cast(chosen, "float32"))
            loss = ops.sum(w * loss) / ops.sum(w)
            scaled = optimizer.scale_loss(loss)
        gradients = tape.gradient(scaled, [v.value for v in weights])
        optimizer.apply(gradients, weights)
        return loss

    return tf.function(update)
