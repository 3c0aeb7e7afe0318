"""Gymnasium environments side by side: spaces read, steps checked."""

import numpy as np

from ..._arguments import in_words, positive_integer
from ._seeds import seed_of
from ._spaces import Observations, actions_of, same_actions

MOST_TOGETHER = 64
MOST_STEPS = 1_000_000
MISSING = (
    "Training an agent needs gymnasium, which is not installed: pip install 'kerazoo[examples]', "
    "or pip install gymnasium."
)


class Environments:
    """`num_envs` environments, stepped together and checked at every step.

    `env_id` is what `train` takes. Where it is an environment, or a vector of some, that is used as
    it is, and not closed.

    The step after an episode's end is a dummy, as in gymnasium's own vector environments
    ("next-step autoreset"): its action is not used, it earns nothing and leads to the first
    observation of the next episode. `dummy` says in which environments the coming step is one. So
    the observation that a step leads to is always the true one, the last of an episode included.
    """

    def __init__(self, env_id, num_envs):
        gymnasium = import_gymnasium()
        self._closes = _number_given(env_id) is None
        if isinstance(env_id, gymnasium.vector.VectorEnv):
            self._envs = env_id
        elif isinstance(env_id, gymnasium.Env):
            self._envs = gymnasium.vector.SyncVectorEnv([lambda: env_id])
            self._envs.closed = True  # Older versions close `env_id` when this is deleted.
        elif isinstance(env_id, (str, gymnasium.envs.registration.EnvSpec)):
            self._envs = gymnasium.make_vec(env_id, num_envs=num_envs)
        elif callable(env_id):
            made = [_made(env_id) for _ in range(num_envs)]
            if len({id(env.unwrapped) for env in made}) < num_envs:
                raise ValueError(
                    "`env_id` must make a new environment at each call. Received: "
                    f"env_id={env_id!r}, which returned the same one again"
                )
            self._envs = gymnasium.vector.SyncVectorEnv([lambda env=env: env for env in made])
        else:
            raise _wrong_environment(env_id)
        self.num_envs = self._envs.num_envs
        self.observations = Observations(self._envs.single_observation_space)
        self.actions = actions_of(self._envs.single_action_space)
        mode = self._envs.metadata.get("autoreset_mode")
        if mode is not None and mode != gymnasium.vector.AutoresetMode.NEXT_STEP:
            raise ValueError(
                "`env_id` must name an environment that is reset at the step after an episode's "
                f"end. Received: env_id={env_id!r} with autoreset_mode={mode}"
            )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._closes:
            self._envs.close()

    def reset(self, seed):
        """The first observations, as vectors."""
        self.dummy = np.zeros(self.num_envs, bool)
        observations, _ = guarded(self._envs.reset, seed=seed)
        return self._vectors(observations)

    def step(self, actions):
        """Observations as vectors, rewards, terminated, truncated; `actions` as in `_spaces`."""
        actions = self.actions.to_environment(actions)
        observations, rewards, terminated, truncated, _ = guarded(self._envs.step, actions)
        self.dummy = terminated | truncated
        rewards = _checked("reward", np.asarray(rewards, "float64"))
        return self._vectors(observations), rewards, terminated, truncated

    def check_spaces(self, observations, actions):
        """That they are those that the network was made for."""
        same = self.observations.config == observations.config
        if not same or not same_actions(self.actions, actions):
            raise ValueError(
                "`env_id` must have the spaces that the model was made for: observations "
                f"{observations.config} and actions {actions.config}. Received: observations "
                f"{self._envs.single_observation_space} and actions "
                f"{self._envs.single_action_space}"
            )

    def _vectors(self, observations):
        return _checked("observation", self.observations.encode(observations))


def import_gymnasium():
    try:
        import gymnasium
    except ImportError as error:
        raise ImportError(MISSING) from error
    return gymnasium


def number_of_environments(env_id, num_envs, default):
    """`num_envs`; where it is None the number of a given environment, else `default`."""
    num_envs = positive_integer("num_envs", num_envs, also=(None,))
    given = _number_given(env_id)
    if given is not None and num_envs not in (None, given):
        raise ValueError(
            "`num_envs` must be None where `env_id` is an environment: it cannot be copied; a "
            "function that makes environments can give more. "
            f"Received: num_envs={num_envs}, env_id={env_id!r}"
        )
    return num_envs or given or default


def returns_of_episodes(env_id, episodes, seed, observations, actions, new_policy):
    """Each environment plays one episode at a time: the first to end would be the short ones.

    `new_policy(rows)` gives a function of observations (rows, ...), for the length of an episode.
    """
    returns = []
    with Environments(env_id, min(episodes, MOST_TOGETHER)) as environments:
        environments.check_spaces(observations, actions)
        together = environments.num_envs
        while len(returns) * together < episodes:
            start = seed_of(seed, len(returns))
            returns.append(_one_episode_each(environments, start, new_policy(together)))
    return np.concatenate(returns)[:episodes]


def guarded(function, *args, **kwargs):
    """Calls into an environment, whose errors are told from ours."""
    try:
        return function(*args, **kwargs)
    except Exception as error:
        raise RuntimeError(f"The environment failed: {type(error).__name__}: {error}") from error


def _one_episode_each(environments, seed, policy):
    observations = environments.reset(seed)
    returns = np.zeros(environments.num_envs)
    running = np.ones(environments.num_envs, bool)
    for _ in range(MOST_STEPS):
        observations, rewards, terminated, truncated = environments.step(policy(observations))
        returns += np.where(running, rewards, 0.0)
        running &= ~(terminated | truncated)
        if not running.any():
            return returns
    raise RuntimeError(
        "The environment must end or truncate its episodes. Received: an episode of "
        f"{MOST_STEPS} steps that goes on"
    )


def _number_given(env_id):
    """How many environments `env_id` is, or None where it makes them."""
    gymnasium = import_gymnasium()
    if isinstance(env_id, gymnasium.vector.VectorEnv):
        return env_id.num_envs
    return 1 if isinstance(env_id, gymnasium.Env) else None


def _made(function):
    env = guarded(function)
    if not isinstance(env, import_gymnasium().Env):
        raise _wrong_environment(function, f", which returned {in_words(env)}")
    return env


def _wrong_environment(env_id, what=""):
    return ValueError(
        "`env_id` must be the name of a registered gymnasium environment, a function without "
        "arguments that makes one, an environment, or a gymnasium VectorEnv. "
        f"Received: env_id={env_id!r}{what}"
    )


def _checked(name, values):
    if not np.isfinite(values).all():
        article = "an" if name == "observation" else "a"
        where = sorted({int(index[0]) for index in np.argwhere(~np.isfinite(values))})
        raise ValueError(
            f"The environment returned {article} {name} that is NaN or infinite. Received: {name} "
            f"{values[where[0]]} in environment {where[0]}"
        )
    return values
