"""Gymnasium environments side by side: spaces read, steps checked."""

import numpy as np

from ._seeds import seed_of

MOST_TOGETHER = 64
MOST_STEPS = 1_000_000
MISSING = (
    "Training an agent needs gymnasium, which is not installed: pip install 'kerazoo[examples]', "
    "or pip install gymnasium."
)


class Environments:
    """`num_envs` environments, stepped together and checked at every step.

    The step after an episode's end is a dummy, as in gymnasium's own vector environments
    ("next-step autoreset"): its action is not used, it earns nothing and leads to the first
    observation of the next episode. `dummy` says in which environments the coming step is one. So
    the observation that a step leads to is always the true one, the last of an episode included.
    """

    def __init__(self, env_id, num_envs):
        gymnasium = import_gymnasium()
        if callable(env_id):
            self._envs = gymnasium.vector.SyncVectorEnv([env_id] * num_envs)
        else:
            self._envs = gymnasium.make_vec(env_id, num_envs=num_envs)
        self.num_envs = num_envs
        self.observation_space = self._envs.single_observation_space
        self.action_space = self._envs.single_action_space
        mode = self._envs.metadata.get("autoreset_mode")
        if mode is not None and mode != gymnasium.vector.AutoresetMode.NEXT_STEP:
            raise ValueError(
                "`env_id` must name an environment that is reset at the step after an episode's "
                f"end. Received: env_id={env_id!r} with autoreset_mode={mode}"
            )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._envs.close()

    def reset(self, seed):
        self.dummy = np.zeros(self.num_envs, bool)
        observations, _ = self._guarded(self._envs.reset, seed=seed)
        return _checked("observation", observations)

    def step(self, actions):
        """Observations (environments, ...) as float32, rewards, terminated, truncated."""
        observations, rewards, terminated, truncated, _ = self._guarded(self._envs.step, actions)
        self.dummy = terminated | truncated
        observations = _checked("observation", observations)
        return observations, _checked("reward", rewards), terminated, truncated

    def _guarded(self, function, *args, **kwargs):
        try:
            return function(*args, **kwargs)
        except Exception as error:
            raise RuntimeError(
                f"The environment failed: {type(error).__name__}: {error}"
            ) from error


def import_gymnasium():
    try:
        import gymnasium
    except ImportError as error:
        raise ImportError(MISSING) from error
    return gymnasium


def observation_shape(space):
    """The shape of a Box of vectors, or that of a plain tuple or integer."""
    shape = getattr(space, "shape", space)
    shape = (shape,) if isinstance(shape, int) else shape
    if hasattr(space, "n") or not isinstance(shape, (tuple, list)) or len(shape) != 1:
        raise ValueError(
            "`observation_space` must be a gymnasium Box of vectors, or their length as an integer "
            "or shape; gymnasium.wrappers.FlattenObservation makes vectors of others. "
            f"Received: observation_space={space!r}"
        )
    return tuple(map(int, shape))


def action_space_config(space, box=True):
    """A plain int for n actions, or the bounds of a Box of vectors as a dict of lists."""
    n = getattr(space, "n", space)
    if isinstance(n, (int, np.integer)) and not isinstance(n, bool):
        if n >= 2 and getattr(space, "start", 0) == 0:
            return int(n)
    elif box:
        bounds = space if isinstance(space, dict) else getattr(space, "__dict__", {})
        try:
            low, high = (np.asarray(bounds[name], "float64") for name in ("low", "high"))
        except (KeyError, TypeError, ValueError):
            low = high = np.zeros(0)
        if low.ndim == 1 and low.shape == high.shape and low.size and (low < high).all():
            return {"low": low.tolist(), "high": high.tolist()}
    raise ValueError(
        "`action_space` must be a gymnasium Discrete(n) with n >= 2 that starts at 0, or n"
        + (", or a Box of vectors, or a dict of its bounds 'low' and 'high'" if box else "")
        + f". Received: action_space={space!r}"
    )


def check_spaces(environments, observations, actions):
    """That the environments are the ones the network was made for."""
    found = observation_shape(environments.observation_space)
    space = environments.action_space
    if found != observations or action_space_config(space) != actions:
        raise ValueError(
            "`env_id` must have the spaces that the model was made for: observations of shape "
            f"{observations} and the actions {actions}. Received: observations "
            f"{environments.observation_space} and actions {space}"
        )


def returns_of_episodes(env_id, episodes, seed, observation_shape, actions, new_policy):
    """Each environment plays one episode at a time: the first to end would be the short ones.

    `new_policy(rows)` gives a function of observations (rows, ...), for the length of an episode.
    """
    together = min(episodes, MOST_TOGETHER)
    returns = []
    with Environments(env_id, together) as environments:
        check_spaces(environments, observation_shape, actions)
        while len(returns) * together < episodes:
            start = seed_of(seed, len(returns))
            returns.append(_one_episode_each(environments, start, new_policy(together)))
    return np.concatenate(returns)[:episodes]


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


def _checked(name, values):
    values = np.asarray(values, "float32" if name == "observation" else "float64")
    if not np.isfinite(values).all():
        article = "an" if name == "observation" else "a"
        where = sorted({int(index[0]) for index in np.argwhere(~np.isfinite(values))})
        raise ValueError(
            f"The environment returned {article} {name} that is NaN or infinite. Received: {name} "
            f"{values[where[0]]} in environment {where[0]}"
        )
    return values
