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
