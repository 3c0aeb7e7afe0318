import keras
import numpy as np
import tensorflow as tf
from keras import ops

from ..._arguments import positive_integer
from ._environments import action_space_config, observation_shape
from ._q_learner import QLearner
from ._q_network import QNetwork
from ._rollout import fraction
from ._seeds import check_seed
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
            "num_envs": num_envs,
            "batch_size": batch_size,
            "window": window,
            "update_every": update_every,
            "learning_starts": learning_starts,
            "replay_steps": replay_steps,
            "evaluation_every": evaluation_every,
            "evaluation_episodes": evaluation_episodes,
        }
        settings = {name: positive_integer(name, value) for name, value in settings.items()}
        settings["burn_in"] = 0 if burn_in == 0 else positive_integer("burn_in", burn_in)
        settings["exploration"] = [fraction("exploration", value) for value in exploration]
        settings |= {"discount": fraction("discount", discount), "tau": fraction("tau", tau)}
        settings["seed"] = check_seed(seed)
        epochs = epochs_of(positive_integer("steps", steps), evaluation_every, num_envs)
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
            state = None

            def policy(observations):
                nonlocal state
                actions, state = self.act(observations, state)
                return actions

            return policy

        return evaluate_agent(self, episodes, env_id, seed, new_policy)

    def act(self, observations, state=None):
        """The greedy actions for observations (batch, ...), and the memory after them.

        Args:
            observations: Array (batch, observations).
            state: The memory that the last call returned, or `None` (default) for the empty one,
                at the start of episodes.

        Returns: Integers (batch,), and the memory.
        """
        observations = np.asarray(observations, "float32")
        state = self.network.empty_state(len(observations)) if state is None else state
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

    def get_config(self):
        return {
            **super().get_config(),
            "observation_space": list(self.observation_space),
            "action_space": self.action_space,
            "units": self.units,
            "memory": self.memory,
            "seed": self.seed,
        }
