"""Tiny environments: a corridor of five cells, and one number to be guessed."""

import gymnasium
import numpy as np


class Corridor(gymnasium.Env):
    """Begins in the middle; the right end pays 1 and ends the episode, the left one only ends it.

    `fails_at` counts the steps of all environments until one raises, or returns NaN.
    """

    observation_space = gymnasium.spaces.Box(-1, 1, (2,))
    action_space = gymnasium.spaces.Discrete(2)
    steps = 0

    def __init__(self, fails_at=None, how="raise", time_limit=12):
        self.fails_at, self.how, self.time_limit = fails_at, how, time_limit

    def reset(self, seed=None, options=None):
        super().reset(seed=seed)
        self.place, self.time = 2 + int(self.np_random.integers(-1, 2)), 0
        return self._observation(), {}

    def step(self, action):
        Corridor.steps += 1
        failing = self.fails_at is not None and Corridor.steps >= self.fails_at
        if failing and self.how == "raise":
            raise OSError("the door is stuck")
        self.place += 2 * int(action) - 1
        self.time += 1
        terminated = self.place in (0, 4)
        reward = float(self.place == 4)
        observation = self._observation()
        if failing and self.how == "observation":
            observation[0] = np.nan
        if failing and self.how == "reward":
            reward = np.inf
        return observation, reward, terminated, self.time >= self.time_limit, {}

    def _observation(self):
        return np.array([self.place / 2 - 1, 0.5], "float32")


class Guess(gymnasium.Env):
    """One step, one number: the nearer to the observation the better."""

    observation_space = gymnasium.spaces.Box(-1, 1, (1,))
    action_space = gymnasium.spaces.Box(np.float32([-2]), np.float32([2]))

    def reset(self, seed=None, options=None):
        super().reset(seed=seed)
        self.wanted = self.np_random.uniform(-1, 1, 1).astype("float32")
        return self.wanted, {}

    def step(self, action):
        assert self.action_space.contains(action)
        return self.wanted, -float(((action - self.wanted) ** 2).sum()), True, False, {}


class Spaces(gymnasium.Env):
    """Random observations of one space; of the other each action must be an element.

    `actions` holds all that came; an episode has two steps.
    """

    def __init__(self, observation_space, action_space):
        self.observation_space, self.action_space = observation_space, action_space
        self.actions, self.time = [], None

    def reset(self, seed=None, options=None):
        super().reset(seed=seed)
        self.observation_space.seed(int(self.np_random.integers(1000)))
        self.time = 0
        return self.observation_space.sample(), {}

    def step(self, action):
        assert self.time is not None, "the environment must be reset first"
        # An array of no axes comes as a scalar: gymnasium's vector environments index.
        assert self.action_space.contains(_as_array(self.action_space, action)), repr(action)
        assert np.asarray(action).dtype == self.action_space.dtype
        self.actions.append(action)
        self.time += 1
        return self.observation_space.sample(), float(np.sum(action) > 0), self.time == 2, False, {}


def _as_array(space, action):
    return np.asarray(action) if isinstance(space, gymnasium.spaces.Box) else action
