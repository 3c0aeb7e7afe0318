import math

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from ..._arguments import positive_integer
from ._best_weights import BestWeights
from ._environments import (
    Environments,
    action_space_config,
    check_spaces,
    observation_shape,
    returns_of_episodes,
)
from ._episode_replay import EpisodeReplay
from ._q_network import QNetwork
from ._rollout import fraction
from ._seeds import ENVIRONMENTS, EVALUATION, NOISE, REPLAY, check_seed, seed_of
from .target_network import TargetNetwork


@keras.saving.register_keras_serializable(package="kerazoo")
class RecurrentQNetwork(keras.Model):
    """Deep Q-learning with a memory (DRQN), for environments that do not show all there is.

    `Q(o[1..t], a[t]) -> r[t] + discount * Q'(o[1..t+1], argmax_a Q(o[1..t+1], a))`

    where an LSTM remembers what was observed, and Q' is a `TargetNetwork` that follows softly:
    the online network chooses the next action and the target values it (double Q-learning).
    Training draws windows from whole episodes; the first `burn_in` steps of each only bring the
    LSTM's state about, of either network its own, and are not learned from.

    Where one observation says everything, a network without memory learns sooner: `memory=False`
    is the same network, its state empty at each step, to compare with.

    Args:
        observation_space: gymnasium Box of vectors, or their length.
        action_space: gymnasium Discrete, or its n.
        units: Positive integer, the width of the dense layer and of the LSTM. Default 64.
        memory: Boolean. Default `True`.
        seed: Integer that the initial weights come from, or `None` (default).
        **kwargs: `name`, `dtype` and the other arguments of `keras.Model`.

    Input shape: (batch, time, observations), with a known number of steps. Output: the values
    (batch, time, n), from the empty state on.

    Raises:
        ValueError: a space is of another kind, or an argument is not as described.

    Example:

    >>> model = kerazoo.models.RecurrentQNetwork(4, 2, units=8, seed=0)
    >>> settings = {"learning_starts": 200, "evaluation_every": 400, "evaluation_episodes": 2}
    >>> history = model.train("CartPole-v1", steps=400, verbose=0, **settings)
    >>> model.evaluate(episodes=5).shape
    (5,)

    References:
        Hausknecht and Stone, 2015, Deep Recurrent Q-Learning for Partially Observable MDPs,
        https://arxiv.org/abs/1507.06527
        Kapturowski et al., 2019, Recurrent Experience Replay in Distributed Reinforcement Learning
        van Hasselt et al., 2016, Double Q-learning, https://arxiv.org/abs/1509.06461
    """

    def __init__(self, observation_space, action_space, units=64, memory=True, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.observation_space = observation_shape(observation_space)
        self.action_space = action_space_config(action_space, box=False)
        self.units = positive_integer("units", units)
        self.memory = bool(memory)
        self.seed = None if seed is None else check_seed(seed)
        self.network = QNetwork(
            self.action_space,
            self.units,
            self.memory,
            self.seed,
            dtype=self.dtype_policy,
            name="network",
        )
        self.build((None, 1, *self.observation_space))
        self._env_id = self._concrete_act = None

    def build(self, input_shape):
        self.network.build(input_shape)
        self.steps = self.add_weight((), "zeros", dtype="int64", trainable=False, name="steps")
        self.built = True

    def call(self, observations):
        return self.network(observations, self.network.empty_state(ops.shape(observations)[0]))[0]

    def train(
        self,
        env_id,
        steps,
        seed=0,
        num_envs=4,
        batch_size=32,
        window=16,
        burn_in=16,
        update_every=4,
        learning_starts=2000,
        replay_steps=100_000,
        exploration=(1.0, 0.05, 0.3),
        discount=0.99,
        tau=0.01,
        evaluation_every=5_000,
        evaluation_episodes=20,
        callbacks=None,
        verbose="auto",
    ):
        """Trains in an environment, and ends with the weights that evaluated best.

        On one machine the same seeds give the same weights. Before, `compile` with a Keras
        optimizer, or `keras.optimizers.Adam(1e-3, global_clipnorm=10)` is taken.

        Args:
            env_id: Name of a registered gymnasium environment, or a function without arguments
                that makes one.
            steps: Positive integer, the steps of all environments together, rounded up to whole
                epochs of `evaluation_every`.
            seed: Integer that environments, exploration and replay come from. Default 0.
            num_envs: Positive integer, environments side by side. Default 4.
            batch_size: Positive integer, windows an update. Default 32.
            window: Positive integer, the steps of a window that are learned from. Default 16.
            burn_in: Integer not below 0, the steps before them. Default 16.
            update_every: Positive integer, steps of all environments to an update. Default 4.
            learning_starts: Positive integer, random steps before the first update. The scale of
                observations is theirs from then on. Default 2000.
            replay_steps: Positive integer, the steps that are kept. Default 100,000.
            exploration: The share of random actions at first and at last, and the share of the
                training over which it falls. Default (1.0, 0.05, 0.3).
            discount: Number from 0 to 1. Default 0.99.
            tau: See `TargetNetwork`. Default 0.01.
            evaluation_every: Positive integer, steps between evaluations.
            evaluation_episodes: Positive integer, greedy episodes in each.
            callbacks: Keras callbacks, as in `ActorCritic.train`.
            verbose: "auto", 0, 1 or 2: Keras's progress bar.

        Returns: Keras's `History`, one entry an epoch: `loss`, `return`, `val_return`, `steps`.

        Raises:
            ImportError: gymnasium is not installed.
            ValueError: an argument is not as described, the environment has other spaces, it
                returned NaN, or a loss is not finite.
            RuntimeError: the environment raised. In both cases, and on Ctrl-C, the model has its
                best weights so far when this returns.
        """
        numbers_of = {
            "steps": steps,
            "num_envs": num_envs,
            "batch_size": batch_size,
            "window": window,
            "update_every": update_every,
            "learning_starts": learning_starts,
            "replay_steps": replay_steps,
            "evaluation_every": evaluation_every,
            "evaluation_episodes": evaluation_episodes,
        }
        for name, value in numbers_of.items():
            positive_integer(name, value)
        if burn_in != 0:
            positive_integer("burn_in", burn_in)
        seed, discount = check_seed(seed), fraction("discount", discount)
        first, last, share = (fraction("exploration", value) for value in exploration)
        epoch_updates = math.ceil(evaluation_every / num_envs)  # steps of each environment
        epochs = math.ceil(steps / (epoch_updates * num_envs))
        total = epochs * epoch_updates * num_envs
        if not self.compiled:
            self.compile(keras.optimizers.Adam(1e-3, global_clipnorm=10.0))
        self.optimizer.build(self.network.trainable_variables)
        best = BestWeights(self, None, steps=total, seed=seed)
        target = TargetNetwork(self.network, tau)
        replay = EpisodeReplay(replay_steps)
        update = self._compiled_update(target.model, burn_in, discount)
        windows, play = (np.random.default_rng([seed, i]) for i in (REPLAY, NOISE))
        history = keras.callbacks.History()
        callbacks = keras.callbacks.CallbackList(
            [*(callbacks or ()), history],
            add_progbar=verbose != 0,
            verbose=1 if verbose == "auto" else verbose,
            epochs=epochs,
            steps=epoch_updates,
            model=self,
        )
        self.stop_training = False
        with Environments(env_id, num_envs) as environments:
            check_spaces(environments, self.observation_space, self.action_space)
            self._env_id = env_id
            callbacks.on_train_begin()
            collected = self._episodes(environments, seed_of(seed, ENVIRONMENTS), play)
            next(collected)
            done, owed, ready = 0, 0.0, False
            try:
                for epoch in range(epochs):
                    callbacks.on_epoch_begin(epoch)
                    losses, ended = [], []
                    for i in range(epoch_updates):
                        callbacks.on_train_batch_begin(i)
                        progress = min(1.0, done / max(1.0, share * total))
                        for episode in collected.send(first + (last - first) * progress):
                            replay.add(*episode)
                            ended.append(float(episode[2].sum()))
                        done += num_envs
                        if done >= learning_starts and replay.steps >= batch_size:
                            if not ready:
                                self._learn_scale(replay)
                                target.hard_update()
                                ready = True
                            owed += num_envs / update_every
                        while owed >= 1:
                            owed -= 1
                            sample = replay.sample(windows, batch_size, burn_in, window)
                            losses.append(float(update(**sample)))
                            target.update()
                        logs = {"loss": float(np.mean(losses[-100:])) if losses else math.nan}
                        if losses and not math.isfinite(losses[-1]):
                            raise ValueError(
                                "The loss must stay finite: a smaller learning rate may help. "
                                f"Received: {losses[-1]}"
                            )
                        callbacks.on_train_batch_end(i, logs)
                    self.steps.assign_add(epoch_updates * num_envs)
                    logs["return"] = float(np.mean(ended)) if ended else math.nan
                    found = self.evaluate(
                        evaluation_episodes, env_id, seed=seed_of(seed, EVALUATION)
                    )
                    logs |= {"val_return": float(found.mean()), "steps": int(self.steps)}
                    best.take(epoch, logs)
                    callbacks.on_epoch_end(epoch, logs)
                    if self.stop_training:
                        break
            except (RuntimeError, ValueError) as error:
                error.add_note(best.note())
                raise
            finally:
                best.restore()
        callbacks.on_train_end()
        return history

    def evaluate(self, episodes=100, env_id=None, seed=12_345):
        """The returns of whole episodes with the greedy policy, its memory empty at their start.

        Args:
            episodes: Positive integer. Default 100.
            env_id: As in `train`, or `None` (default) for the one trained on.
            seed: Integer that the episodes come from. Give one that training has not seen.

        Returns: float64 array (episodes,), undiscounted.

        Raises:
            ValueError: `env_id` is missing or has other spaces, or the environment returned NaN.
            RuntimeError: the environment raised, or an episode does not end.
        """
        episodes, seed = positive_integer("episodes", episodes), check_seed(seed)
        env_id = self._env_id if env_id is None else env_id
        if env_id is None:
            raise ValueError("`env_id` must be given: this model has not been trained here yet.")

        def new_policy(rows):
            state = self.network.empty_state(rows)

            def policy(observations):
                nonlocal state
                actions, state = self._act(observations, state)
                return actions

            return policy

        return returns_of_episodes(
            env_id, episodes, seed, self.observation_space, self.action_space, new_policy
        )

    def get_config(self):
        return {
            **super().get_config(),
            "observation_space": list(self.observation_space),
            "action_space": self.action_space,
            "units": self.units,
            "memory": self.memory,
            "seed": self.seed,
        }

    def _act(self, observations, state):
        """The greedy actions (batch,), and the state after them, by one compiled call."""
        if self._concrete_act is None:

            def act(observations, h, c):
                q, state = self.network(observations[:, None], [h, c])
                return ops.argmax(q[:, 0], axis=-1), state

            specs = [tf.TensorSpec((None, *self.observation_space), "float32")]
            specs += [tf.TensorSpec((None, self.units), self.compute_dtype)] * 2
            act = tf.function(act, input_signature=specs).get_concrete_function()
            self._concrete_act = act
        actions, state = self._concrete_act(tf.constant(observations), *state)
        return actions.numpy(), state

    def _episodes(self, environments, seed, generator):
        """A step at each `send(share of random actions)`; yields the episodes that it ended."""
        observations = environments.reset(seed)
        rows = environments.num_envs
        state = self.network.empty_state(rows)
        begun = [([o], [], []) for o in observations]
        finished = []
        while True:
            epsilon = yield finished
            actions, state = self._act(observations, state)
            random = generator.integers(self.action_space, size=rows)
            actions = np.where(generator.uniform(size=rows) < epsilon, random, actions)
            dummy = environments.dummy
            observations, rewards, terminated, truncated = environments.step(actions)
            finished = []
            for i in range(rows):
                if dummy[i]:  # the step that began the next episode
                    begun[i] = ([observations[i]], [], [])
                    continue
                for series, value in zip(
                    begun[i], (observations[i], actions[i], rewards[i]), strict=True
                ):
                    series.append(value)
                if terminated[i] or truncated[i]:
                    finished.append((*map(np.array, begun[i]), bool(terminated[i])))
            if dummy.any():
                state = [ops.where(dummy[:, None], ops.zeros_like(s), s) for s in state]

    def _learn_scale(self, replay):
        seen = np.concatenate([observations for observations, *_ in replay.episodes])
        self.network.scale.update(seen)

    def _compiled_update(self, target, burn_in, discount):
        online, optimizer = self.network, self.optimizer
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
            q_target = target(x, begin(target), there)[0]
            state = begin(online)
            with tf.GradientTape() as tape:
                q = online(x, state, there)[0]  # (batch, window + 1, actions)
                best = ops.argmax(ops.stop_gradient(q[:, 1:]), axis=-1)
                following = ops.take_along_axis(q_target[:, 1:], best[..., None], axis=-1)[..., 0]
                following = ops.where(end, 0.0, ops.cast(following, "float32"))
                y = ops.stop_gradient(r + discount * following)
                chosen = ops.take_along_axis(q[:, :-1], a[..., None], axis=-1)[..., 0]
                loss = keras.losses.huber(
                    y[..., None], ops.cast(chosen, "float32")[..., None]
                )  # (batch, window)
                loss = ops.sum(w * loss) / ops.sum(w)
                scaled = optimizer.scale_loss(loss)
            gradients = tape.gradient(scaled, [v.value for v in weights])
            optimizer.apply(gradients, weights)
            return loss

        return tf.function(update)
