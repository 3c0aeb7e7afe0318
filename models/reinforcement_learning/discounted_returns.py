import numpy as np

from ..._arguments import fraction
from ._rollout import check_rollout


def discounted_returns(rewards, terminated, truncated, next_values=None, discount=0.99):
    """What each step earned until its episode's end, later rewards discounted.

    `G[t] = r[t] + discount * G[t + 1]` within an episode; at its end
    `G[t] = r[t]` if terminated, `r[t] + discount * next_values[t]` if truncated or still running

    An episode that was cut off by a time limit did not end there: what would have followed is
    worth the critic's value of its last observation. Use it for policy gradients of whole
    episodes; between this and a one-step target lie `n_step_returns` and `generalized_advantage`.

    Args:
        rewards: Array (time,) or (time, environments).
        terminated: Booleans of the same shape: the step ended the episode, and nothing follows.
        truncated: Booleans of the same shape: the step was the last by a limit of time. Where
            both are true the episode has terminated.
        next_values: Numbers of the same shape, the value of the observation that each step led
            to: the episode's last one, not the one after the reset. Only those of truncated and
            of the last steps count. `None` (default) counts nothing beyond.
        discount: Number from 0 to 1. Default 0.99.

    Returns: float64 array of the shape of `rewards`.

    Raises:
        ValueError: the shapes differ, a number is not finite, or `discount` is not from 0 to 1.

    Example:

    >>> no = [False, False, False]
    >>> kerazoo.models.discounted_returns([1, 1, 1], [False, True, False], no, discount=0.5)
    array([1.5, 1. , 1. ])

    References:
        Sutton and Barto, 2018, Reinforcement Learning, section 3.3
        Pardo et al., 2018, Time Limits in Reinforcement Learning, https://arxiv.org/abs/1712.00378
    """
    discount = fraction("discount", discount)
    next_values = np.zeros(np.shape(rewards)) if next_values is None else next_values
    rewards, next_values, terminated, truncated = check_rollout(
        terminated, truncated, rewards=rewards, next_values=next_values
    )
    returns = np.empty_like(rewards)
    following = next_values[-1]
    for t in reversed(range(len(rewards))):
        following = np.where(truncated[t], next_values[t], following)
        returns[t] = following = rewards[t] + discount * np.where(terminated[t], 0.0, following)
    return returns
