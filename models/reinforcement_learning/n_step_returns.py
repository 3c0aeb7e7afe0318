import numpy as np

from ..._arguments import fraction, positive_integer
from ._rollout import check_rollout


def n_step_returns(rewards, next_values, terminated, truncated, n, discount=0.99):
    """The rewards of `n` steps, and the critic's value of where they led.

    `G[t] = r[t] + discount * r[t + 1] + ... + discount^(n - 1) * r[t + n - 1]
    + discount^n * next_values[t + n - 1]`

    It is cut short by the end of the episode, where the value counts only if the episode was
    truncated, and by the end of the arrays, where it always counts. A small `n` leans on the
    critic, a large one on what happened: less bias, more variance. `generalized_advantage`
    averages over all `n`.

    Args:
        rewards: Array (time,) or (time, environments).
        next_values: Numbers of the same shape, the value of the observation that each step led
            to: the episode's last one, not the one after the reset.
        terminated: Booleans of the same shape: the step ended the episode, and nothing follows.
        truncated: Booleans of the same shape: the step was the last by a limit of time.
        n: Positive integer, the number of rewards.
        discount: Number from 0 to 1. Default 0.99.

    Returns: float64 array of the shape of `rewards`.

    Raises:
        ValueError: the shapes differ, a number is not finite, `n` is not a positive integer, or
            `discount` is not from 0 to 1.

    Example:

    >>> no = [False, False, False]
    >>> kerazoo.models.n_step_returns([1, 1, 1], [8, 8, 8], no, no, n=2, discount=0.5)
    array([3.5, 3.5, 5. ])

    References:
        Sutton and Barto, 2018, Reinforcement Learning, section 7.1
    """
    n, discount = positive_integer("n", n), fraction("discount", discount)
    rewards, next_values, terminated, truncated = check_rollout(
        terminated, truncated, rewards=rewards, next_values=next_values
    )
    following = next_values
    for _ in range(min(n, len(rewards))):  # each pass looks one step further
        returns = rewards + discount * np.where(terminated, 0.0, following)
        following = np.where(truncated, next_values, np.append(returns[1:], next_values[-1:], 0))
    return returns
