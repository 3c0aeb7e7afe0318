import keras
import numpy as np
import tensorflow as tf
from keras import ops

from ..._arguments import boolean, fraction, integer, positive_integer, wrong
from ._environments import number_of_environments
from ._q_learner import QLearner
from ._q_network import QNetwork
from ._spaces import Observations, actions_of
from ._training import epochs_of, evaluate_agent, train_in_epochs


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

    Of MultiDiscrete and MultiBinary actions each entry has values of its own (action branching):
    the target is the mean of the entries' targets, the loss the mean of their losses.

    Args:
        observation_space: gymnasium Box, or its shape or, for vectors, its length. Also Discrete,
            MultiDiscrete or MultiBinary. The network sees vectors, as `gymnasium.spaces.flatten`
            makes them: arrays flat, choices one-hot. Pixels from 0 to 255 are numbers like others.
        action_space: gymnasium Discrete, or its n; MultiDiscrete or MultiBinary.
        units: Positive integer, the width of the dense layer and of the LSTM. Default 64.
        memory: Boolean. Default `True`.
        seed: Integer that the initial weights come from, or `None` (default).
        **kwargs: `name`, `dtype` and the other arguments of `keras.Model`.

    `get_config` gives the spaces as plain values, which are taken here too, e.g.
    `{"type": "MultiDiscrete", "nvec": [2, 3]}`.

    Input shape: (batch, time, length of the vectors), with a known number of steps. Output: the
    values (batch, time, n), those of all entries side by side, from the empty state on.

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
        Tavakoli et al., 2018, Action Branching Architectures for Deep Reinforcement Learning,
        https://arxiv.org/abs/1711.08946
    """

    def __init__(self, observation_space, action_space, units=64, memory=True, seed=None, **kwargs):
        super().__init__(**kwargs)
        self._observations = Observations(observation_space)
        self._actions = actions_of(action_space, numbers=False)
        self.observation_space = self._observations.plain
        self.action_space = self._actions.config
        self.units = positive_integer("units", units)
        self.memory = boolean("memory", memory)
        self.seed = integer("seed", seed, minimum=0, also=(None,))
        self.network = QNetwork(
            self._actions.outputs,
            self.units,
            self.memory,
            self.seed,
            dtype=self.dtype_policy,
            name="network",
        )
        self.build((None, 1, self._observations.size))
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
        num_envs=None,
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
        checkpoint=None,
        callbacks=None,
        verbose="auto",
    ):
        """Trains in an environment, and ends with the weights that evaluated best.

        On one machine the same seeds give the same weights. Training comes in epochs of
        `evaluation_every` steps; at each the environments begin anew, so that a training that was
        interrupted and resumed is the one that was not. Before, `compile` with a Keras optimizer,
        or `keras.optimizers.Adam(1e-3, global_clipnorm=10)` is taken.

        Args:
            env_id: Name of a registered gymnasium environment, or a function without arguments
                that makes a new one at each call. Also an environment or a `VectorEnv`: it is used
                as it is, for evaluation too, and not closed; an environment cannot be copied, so
                it is the only one.
            steps: Positive integer, the steps of all environments together, rounded up to whole
                epochs of `evaluation_every`.
            seed: Integer that environments, exploration and replay come from. Default 0.
            num_envs: Positive integer, environments side by side, or `None` (default): as many as
                `env_id` is, or else 4.
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
            checkpoint: Folder for `last.keras`, `best.keras`, `progress.json` and the replay, or
                `None`. If it holds an unfinished training, that goes on.
            callbacks: Keras callbacks, as in `ActorCritic.train`.
            verbose: "auto", 0, 1 or 2: Keras's progress bar.

        Returns: Keras's `History`, one entry an epoch: `loss`, `return`, `val_return`, `steps`.

        Raises:
            ImportError: gymnasium is not installed.
            ValueError: an argument is not as described, the environment has other spaces, it
                returned NaN, or a loss is not finite.
            RuntimeError: the environment raised. In both cases, and on Ctrl-C, the model has its
                best weights so far when this returns, and so has `best.keras`.
        """
        settings = {
            "num_envs": number_of_environments(env_id, num_envs, default=4),
            "batch_size": batch_size,
            "window": window,
            "update_every": update_every,
            "learning_starts": learning_starts,
            "replay_steps": replay_steps,
            "evaluation_every": evaluation_every,
            "evaluation_episodes": evaluation_episodes,
        }
        settings = {name: positive_integer(name, value) for name, value in settings.items()}
        settings["burn_in"] = integer("burn_in", burn_in, minimum=0)
        if not isinstance(exploration, (list, tuple)) or len(exploration) != 3:
            raise wrong("exploration", "three numbers from 0 to 1", exploration)
        settings["exploration"] = [fraction("exploration", value) for value in exploration]
        settings |= {"discount": fraction("discount", discount), "tau": fraction("tau", tau)}
        settings["seed"] = integer("seed", seed, minimum=0)
        steps, num_envs = positive_integer("steps", steps), settings["num_envs"]
        if steps <= settings["learning_starts"]:
            wanted = f"above `learning_starts`, {settings['learning_starts']}, to learn anything"
            raise wrong("steps", wanted, steps)
        epochs = epochs_of(steps, settings["evaluation_every"], num_envs)
        if not self.compiled:
            self.compile(keras.optimizers.Adam(1e-3, global_clipnorm=10.0))
        self.optimizer.build(self.trainable_variables)
        learner = QLearner(self, epochs, settings)
        return train_in_epochs(
            self, learner, env_id, epochs, settings, checkpoint, callbacks, verbose
        )

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

        def new_policy(rows):
            state = self.network.empty_state(rows)

            def policy(observations):
                nonlocal state
                actions, state = self._greedy(observations, state)
                return actions

            return policy

        return evaluate_agent(self, episodes, env_id, seed, new_policy)

    def act(self, observations, state=None):
        """The greedy actions for observations, and the memory after them.

        Args:
            observations: One observation of the environment, or an array (batch, ...) of some.
            state: The memory that the last call returned, or `None` (default) for the empty one,
                at the start of episodes.

        Returns: An element of the action space, or an array (batch, ...) of some, and the memory.

        Raises:
            TypeError: it is called inside `tf.function`, where you can call the model instead.
            ValueError: `observations` or `state` is not as described, an observation is not in its
                space, or the network's values are not finite.
        """
        vectors, single = self._observations.read(observations)
        if state is None:
            state = self.network.empty_state(len(vectors))
        elif not _is_state(state, (len(vectors), self.units)):
            wanted = f"what `act` returned last, of as many observations ({len(vectors)}), or None"
            raise wrong("state", wanted, state)
        actions, state = self._greedy(vectors, state)
        actions = self._actions.to_environment(actions)
        return actions[0] if single else actions, state

    def _greedy(self, observations, state):
        """The best actions, as in `_spaces`, for vectors (rows, size), and the state after them."""
        if self._concrete_act is None:

            def act(observations, h, c):
                q, state = self.network(observations[:, None], [h, c])
                return self._actions.best(q[:, 0]), state, ops.all(ops.isfinite(q))

            specs = [tf.TensorSpec((None, self._observations.size), "float32")]
            specs += [tf.TensorSpec((None, self.units), self.compute_dtype)] * 2
            act = tf.function(act, input_signature=specs).get_concrete_function()
            self._concrete_act = act
        actions, state, finite = self._concrete_act(tf.constant(observations), *state)
        if not finite:
            raise ValueError(
                "The network's values must stay finite: a smaller learning rate may help."
            )
        return actions.numpy(), state

    def get_config(self):
        return {
            **super().get_config(),
            "observation_space": self._observations.config,
            "action_space": self._actions.config,
            "units": self.units,
            "memory": self.memory,
            "seed": self.seed,
        }


def _is_state(state, shape):
    two = isinstance(state, (list, tuple)) and len(state) == 2
    return two and all(np.shape(part) == shape for part in state)
