import math

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from ..._arguments import (
    boolean,
    fraction,
    in_words,
    integer,
    integers,
    number,
    positive_integer,
    wrong,
)
from ..._keras_objects import keras_object
from ...losses import A2CActorLoss
from ...losses._gaussian import bounded_log_std
from ._environments import number_of_environments
from ._independent_choices_loss import IndependentChoicesLoss
from ._running_scale import RunningScale
from ._seeds import ENVIRONMENTS, NOISE, seed_of
from ._spaces import Choices, Observations, actions_of, finite_array
from ._training import epochs_of, evaluate_agent, train_in_epochs
from .generalized_advantage import generalized_advantage

DIVERGED = (
    "A smaller learning rate, the optimizer's `global_clipnorm` or `normalize_rewards` may help."
)
_ROLLOUT = (
    "observations",
    "actions",
    "dummy",
    "rewards",
    "terminated",
    "truncated",
)


@keras.saving.register_keras_serializable(package="kerazoo")
class ActorCritic(keras.Model):
    """Learns to act in a gymnasium environment by advantage actor-critic (A2C).

    `actor: -A log p(action) - entropy_coefficient * entropy(p);  critic: (A + V - V)^2`

    where A is the `generalized_advantage` of the last few steps in several environments, and V the
    critic's value before the update. Each update is one `train_on_batch` of Keras, with the
    actor's targets packed for `A2CActorLoss`; each step acts by one compiled call. Actor and critic
    are two networks of their own; observations are scaled by their running mean and deviation,
    which is saved with the weights.

    A2C is short and quick, and needs no replay. It wants cheap environments and many steps: where
    a step is dear take an off-policy method, and for long or hard tasks PPO, e.g. of
    Stable-Baselines3.

    A2C forgets again what it has learned. So training evaluates the greedy policy on episodes of
    another seed every `evaluation_every` steps, and ends with the best weights seen.

    Args:
        observation_space: gymnasium Box, or its shape or, for vectors, its length. Also Discrete,
            MultiDiscrete or MultiBinary. The network sees vectors, as `gymnasium.spaces.flatten`
            makes them: arrays flat, choices one-hot. Pixels from 0 to 255 are numbers like others.
        action_space: gymnasium Discrete, or its n: a categorical policy. MultiDiscrete or
            MultiBinary: an independent categorical policy for each entry. Box, or a dict of its
            bounds `low` and `high`: a Gaussian policy, whose actions are scaled from -1 and 1 to
            the bounds where both are finite (up to 1e9), clipped to them, and rounded where the
            Box holds integers.
        units: Tuple of positive integers, the hidden layers of each network. Default (64, 64).
        activation: Keras activation of the hidden layers. Default "tanh".
        normalize_observations: Boolean. Default `True`.
        normalize_rewards: Boolean; `True` divides rewards by the running deviation of discounted
            returns in training, so that their size does not matter. Default `True`.
        initial_log_std: Number, the logarithm of the Gaussian's standard deviation at the start.
            It is learned, one for each action, and bounded as in `A2CActorLoss`. Default 0.0.
        seed: Integer that the initial weights come from, or `None` (default).
        **kwargs: `name`, `dtype` and the other arguments of `keras.Model`.

    `get_config` gives the spaces as plain values, which are taken here too, e.g.
    `{"type": "MultiDiscrete", "nvec": [2, 3]}`.

    Input shape: (batch, length of the vectors). Output: dict of "actor", (batch, n) logits, those
    of all entries side by side, or (batch, 2 n) means and log standard deviations, and "critic",
    (batch, 1).

    Raises:
        ValueError: a space is of another kind, or an argument is not as described.

    Example:

    >>> import gymnasium
    >>> env = gymnasium.make("CartPole-v1")
    >>> model = kerazoo.models.ActorCritic(env.observation_space, env.action_space, seed=0)
    >>> history = model.train("CartPole-v1", steps=2000, evaluation_every=1000, verbose=0)
    >>> model.evaluate(episodes=5).shape
    (5,)

    References:
        Mnih et al., 2016, Asynchronous Methods for Deep Reinforcement Learning,
        https://arxiv.org/abs/1602.01783
        Schulman et al., 2016, https://arxiv.org/abs/1506.02438 (generalized advantage)
    """

    def __init__(
        self,
        observation_space,
        action_space,
        units=(64, 64),
        activation="tanh",
        normalize_observations=True,
        normalize_rewards=True,
        initial_log_std=0.0,
        seed=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self._observations = Observations(observation_space)
        self._actions = actions_of(action_space)
        self.observation_space = self._observations.plain
        self.action_space = self._actions.config
        self.units = integers("units", units, minimum=1) if units not in ((), []) else ()
        self.activation = keras_object("activation", activation)
        self.normalize_observations = boolean("normalize_observations", normalize_observations)
        self.normalize_rewards = boolean("normalize_rewards", normalize_rewards)
        self.initial_log_std = number("initial_log_std", initial_log_std)
        self.seed = integer("seed", seed, minimum=0, also=(None,))

        self.discrete = isinstance(self._actions, Choices)
        self.num_actions = self._actions.outputs
        self.actor = self._network(self.num_actions, gain=0.01, first_seed=0, name="actor")
        self.critic = self._network(1, gain=1.0, first_seed=100, name="critic")
        self.observation_scale = RunningScale(name="observation_scale", dtype=self.dtype_policy)
        self.return_scale = RunningScale(name="return_scale")
        self.build((None, self._observations.size))
        self._env_id = None
        self._concrete = {}

    def build(self, input_shape):
        for part in (self.observation_scale, self.actor, self.critic):
            part.build(input_shape)
        self.return_scale.build((None,))
        if not self.discrete:
            start = keras.initializers.Constant(np.float64(self.initial_log_std))
            self.log_std = self.add_weight((self.num_actions,), start, name="log_std")
        # In the saved file, so that a resumed training knows where it is.
        self.steps = self.add_weight((), "zeros", dtype="int64", trainable=False, name="steps")
        self.built = True

    def call(self, observations):
        if self.normalize_observations:
            observations = self.observation_scale(observations)
        actor = self.actor(observations)
        if not self.discrete:
            log_std = ops.broadcast_to(ops.cast(self.log_std, actor.dtype), ops.shape(actor))
            actor = ops.concatenate([actor, log_std], axis=-1)
        return {"actor": actor, "critic": self.critic(observations)}

    def compile(self, optimizer=None, entropy_coefficient=0.01, value_coefficient=0.5, **kwargs):
        """Sets the optimizer and the weights of the losses; `train` does so if you do not.

        Args:
            optimizer: A Keras optimizer or its name; `None` (default) for
                `keras.optimizers.Adam(1e-3, global_clipnorm=0.5)`.
            entropy_coefficient: Number not below 0, see `A2CActorLoss`. Default 0.01.
            value_coefficient: Number above 0, the weight of the critic's mean squared error. The
                networks share no weights, so it matters for the clipping. Default 0.5.
            **kwargs: The other arguments of `keras.Model.compile`. `jit_compile=True` has XLA
                compile acting too: more steps a second, but each new number of rows compiles anew.
        """
        value_coefficient = number("value_coefficient", value_coefficient, above=0)
        for name in ("loss", "loss_weights"):
            if name in kwargs:
                raise ValueError(
                    f"`{name}` is the agent's own, made of `entropy_coefficient` and "
                    f"`value_coefficient`. Received: {name}={in_words(kwargs[name])}"
                )
        if self.discrete and self._actions.shape:
            actor_loss = IndependentChoicesLoss(self._actions.sizes, entropy_coefficient)
        else:
            distribution = "categorical" if self.discrete else "gaussian"
            actor_loss = A2CActorLoss(distribution, entropy_coefficient)
        if optimizer is None:
            optimizer = keras.optimizers.Adam(1e-3, global_clipnorm=0.5)
        super().compile(
            optimizer=keras_object("optimizer", optimizer),
            loss={"actor": actor_loss, "critic": "mse"},
            loss_weights={"actor": 1.0, "critic": value_coefficient},
            **kwargs,
        )
        self._has_compiled()

    def compile_from_config(self, config):
        super().compile(**keras.saving.deserialize_keras_object(config))
        self._has_compiled()

    def _has_compiled(self):
        self.optimizer.build(self.trainable_variables)
        self._concrete = {}  # by XLA or not

    def train(
        self,
        env_id,
        steps,
        seed=0,
        num_envs=None,
        num_steps=16,
        discount=0.99,
        gae_lambda=0.95,
        noise_correlation=0.0,
        evaluation_every=10_000,
        evaluation_episodes=20,
        checkpoint=None,
        callbacks=None,
        verbose="auto",
    ):
        """Trains in an environment, and ends with the weights that evaluated best.

        On one machine the same seeds give the same weights. Training comes in epochs of
        `evaluation_every` steps; at each the environments begin anew, so that a training that was
        interrupted and resumed is the one that was not.

        Args:
            env_id: Name of a registered gymnasium environment, or a function without arguments
                that makes a new one at each call. Also an environment or a `VectorEnv`: it is used
                as it is, for evaluation too, and not closed; an environment cannot be copied, so
                it is the only one.
            steps: Positive integer, the steps of all environments together, rounded up to whole
                epochs.
            seed: Integer that environments and exploration come from. Default 0.
            num_envs: Positive integer, environments side by side, or `None` (default): as many as
                `env_id` is, or else 8.
            num_steps: Positive integer, steps in each before an update. Default 16.
            discount, gae_lambda: See `generalized_advantage`. Default 0.99 and 0.95.
            noise_correlation: Number from 0 to 1 (1 excluded), the correlation of a Gaussian
                policy's noise from one step to the next, e.g. 0.9 where single random pushes get
                nowhere. Default 0.0.
            evaluation_every: Positive integer, steps between evaluations.
            evaluation_episodes: Positive integer, greedy episodes in each.
            checkpoint: Folder for `last.keras`, `best.keras` and `progress.json`, or `None`. If it
                holds an unfinished training, that goes on.
            callbacks: Keras callbacks. An epoch is what lies between two evaluations; its logs are
                the losses, `return` (mean of the episodes that ended in training), `val_return`
                (mean of the evaluation) and `steps`.
            verbose: "auto", 0, 1 or 2: Keras's progress bar.

        Returns: Keras's `History`, one entry an epoch.

        Raises:
            ImportError: gymnasium is not installed.
            ValueError: an argument is not as described, the environment has other spaces, it
                returned NaN, or a loss is not finite.
            RuntimeError: the environment raised. In both cases, and on Ctrl-C, the model has its
                best weights so far when this returns, and so has `best.keras`.
        """
        steps, num_steps = (
            positive_integer("steps", steps),
            positive_integer("num_steps", num_steps),
        )
        num_envs = number_of_environments(env_id, num_envs, default=8)
        seed = integer("seed", seed, minimum=0)
        evaluation_every = positive_integer("evaluation_every", evaluation_every)
        evaluation_episodes = positive_integer("evaluation_episodes", evaluation_episodes)
        correlation = number("noise_correlation", noise_correlation, minimum=0, below=1)
        gae = {
            "discount": fraction("discount", discount),
            "gae_lambda": fraction("gae_lambda", gae_lambda),
        }
        if not self.compiled:
            self.compile()

        def learn(environments, epoch, ended):
            for rollout in self._rollouts(environments, (seed, epoch), num_steps, correlation):
                yield self._update(rollout, gae, ended)

        settings = {
            "seed": seed,
            "num_envs": num_envs,
            "num_steps": num_steps,
            "noise_correlation": correlation,
            "evaluation_every": evaluation_every,
            "evaluation_episodes": evaluation_episodes,
            **gae,
        }
        epochs = epochs_of(steps, evaluation_every, num_envs * num_steps)
        return train_in_epochs(
            self, learn, env_id, epochs, settings, checkpoint, callbacks, verbose
        )

    def evaluate(self, episodes=100, env_id=None, seed=12_345):
        """The returns of whole episodes with the greedy policy: the likeliest action, the mean.

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
            noise = np.zeros((rows, self.num_actions), "float32")
            return lambda observations: self._compiled(self._act, observations, noise)

        return evaluate_agent(self, episodes, env_id, seed, new_policy)

    def act(self, observations, noise=None):
        """The actions for observations, as the environment takes them.

        Args:
            observations: One observation of the environment, or an array (batch, ...) of some.
            noise: Array (batch, n), or (n,) for one observation: added to the logits (Gumbel noise
                samples from the policy), or in standard deviations to the means. `None` (default)
                for the greedy action.

        Returns: An element of the action space, or an array (batch, ...) of some.

        Raises:
            TypeError: it is called inside `tf.function`, where you can call the model instead.
            ValueError: `observations` or `noise` is of another shape or not finite, an observation
                is not in its space, or the network's outputs are not finite.
        """
        vectors, single = self._observations.read(observations)
        shape = (len(vectors), self.num_actions)
        array = np.zeros(shape) if noise is None else finite_array(noise)
        if array is None or array.shape not in (shape, shape[single:]):
            raise wrong("noise", f"finite numbers of shape {shape[single:]}", noise)
        noise = array.astype("float32").reshape(shape)
        actions = self._actions.to_environment(self._compiled(self._act, vectors, noise))
        if not single:
            return actions
        return actions[0] if self.discrete else actions[0, ...]  # an array, even without axes

    def get_config(self):
        return {
            **super().get_config(),
            "observation_space": self._observations.config,
            "action_space": self._actions.config,
            "units": list(self.units),
            "activation": keras.activations.serialize(self.activation),
            "normalize_observations": self.normalize_observations,
            "normalize_rewards": self.normalize_rewards,
            "initial_log_std": self.initial_log_std,
            "seed": self.seed,
        }

    def _network(self, outputs, gain, first_seed, name):
        def dense(i, width, gain, activation):
            seed = None if self.seed is None else seed_of(self.seed, first_seed + i)
            start = keras.initializers.Orthogonal(gain, seed=seed)
            policy = self.dtype_policy
            return keras.layers.Dense(width, activation, kernel_initializer=start, dtype=policy)

        layers = [dense(i, u, math.sqrt(2), self.activation) for i, u in enumerate(self.units)]
        layers.append(dense(len(layers), outputs, gain, None))
        return keras.Sequential(layers, name=name)

    def _compiled(self, function, *arrays):
        """One compiled call on float32 arrays (rows, ...)."""
        concrete = self._concrete.get(function.__name__)
        if concrete is None:
            signature = [tf.TensorSpec((None, *array.shape[1:]), "float32") for array in arrays]
            jit_compile = self.compiled and self.jit_compile
            compiled = tf.function(function, input_signature=signature, jit_compile=jit_compile)
            # The concrete function: a `tf.function` looks for it at every call, half of the time.
            self._concrete[function.__name__] = concrete = compiled.get_concrete_function()
        found, finite = concrete(*map(tf.constant, arrays))
        if not finite:
            raise ValueError(f"The network's outputs must stay finite. {DIVERGED}")
        return found.numpy()

    def _act(self, observations, noise):
        policy = ops.cast(self(observations)["actor"], "float32")
        finite = ops.all(ops.isfinite(policy))
        if self.discrete:
            return self._actions.best(policy + noise), finite  # with Gumbel noise: a sample
        mean, log_std = ops.split(policy, 2, axis=-1)
        return mean + ops.exp(bounded_log_std(log_std)) * noise, finite

    def _values(self, observations):
        values = ops.cast(self(observations)["critic"][:, 0], "float32")
        return values, ops.all(ops.isfinite(values))

    def _noises(self, generator, rows, correlation):
        """One (rows, n) array for each step."""
        size = (rows, self.num_actions)
        if self.discrete:
            while True:
                yield generator.gumbel(size=size).astype("float32")
        noise = generator.normal(size=size)
        while True:
            yield noise.astype("float32")
            fresh = generator.normal(size=size)
            noise = correlation * noise + math.sqrt(1 - correlation**2) * fresh  # variance stays 1

    def _rollouts(self, environments, seed, num_steps, correlation):
        """Endless rollouts, each by the policy at the time it is asked for."""
        generator = np.random.default_rng([*seed, NOISE])
        noises = self._noises(generator, environments.num_envs, correlation)
        observations = environments.reset(seed_of(*seed, ENVIRONMENTS))
        discounted = np.zeros(environments.num_envs)
        earned = np.zeros(environments.num_envs)
        while True:
            rows = {name: [] for name in _ROLLOUT}
            for _ in range(num_steps):
                actions = self._compiled(self._act, observations, next(noises))
                dummy = environments.dummy
                step = environments.step(actions)
                row = (observations, actions, dummy, *step[1:])
                for name, value in zip(_ROLLOUT, row, strict=True):
                    rows[name].append(value)
                observations = step[0]
            rollout = {name: np.stack(values) for name, values in rows.items()}
            # All by one call, one more than there are steps.
            seen = np.concatenate([*rows["observations"], observations])
            values = self._compiled(self._values, seen).reshape(num_steps + 1, -1)
            rollout["values"], rollout["next_values"] = values[:-1], values[1:]
            rollout["earned"], rollout["discounted"] = earned, discounted
            yield rollout

    def _update(self, rollout, gae, ended):
        """One gradient step on one rollout, and the running scales after it."""
        flags = {name: rollout[name] for name in ("terminated", "truncated")}
        rewards = self._scaled_rewards(rollout, gae["discount"], ended)
        values = rollout["values"]
        advantages = generalized_advantage(rewards, values, rollout["next_values"], **flags, **gae)
        real = ~rollout["dummy"].ravel()
        returns = (advantages + values).reshape(-1, 1)
        advantages = advantages.ravel()
        advantages = (advantages - advantages[real].mean()) / (advantages[real].std() + 1e-8)
        # Weights of mean 1, so that dummy steps take no part in the means of the losses.
        weights = (real / real.mean()).astype("float32")
        observations, actions = (
            rollout[name].reshape(-1, *rollout[name].shape[2:])
            for name in ("observations", "actions")
        )
        actor_loss = self.loss["actor"]
        targets = {
            "actor": actor_loss.pack(action=actions, advantage=advantages),
            "critic": returns.astype("float32"),
        }
        self.reset_metrics()  # Keras 3.10 goes on with the mean of all batches so far.
        logs = self.train_on_batch(
            observations, targets, {"actor": weights, "critic": weights}, return_dict=True
        )
        logs = {name: float(value) for name, value in logs.items()}
        if not all(map(math.isfinite, logs.values())):
            raise ValueError(f"The losses must stay finite. {DIVERGED} Received: {logs}")
        if self.normalize_observations:
            self.observation_scale.update(observations)
        return logs

    def _scaled_rewards(self, rollout, discount, ended):
        """The rewards in the critic's units; `ended` gets the returns of ended episodes."""
        rewards = rollout["rewards"]
        discounted, earned = rollout["discounted"], rollout["earned"]
        seen = []
        done = rollout["terminated"] | rollout["truncated"]
        for t in range(len(rewards)):
            earned += rewards[t]
            discounted *= discount
            discounted += rewards[t]
            seen.append(discounted.copy())
            ended.extend(earned[done[t]])
            earned[done[t]] = discounted[done[t]] = 0.0
        if not self.normalize_rewards:
            return rewards
        self.return_scale.update(np.ravel(seen))
        return rewards / math.sqrt(float(self.return_scale.variance) + 1e-8)
