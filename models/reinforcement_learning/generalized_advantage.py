import numpy as np

from ..._arguments import fraction
from ._rollout import check_rollout


def generalized_advantage(
    rewards, values, next_values, terminated, truncated, discount=0.99, gae_lambda=0.95
):
    """How much better each action did than the critic had expected (GAE).

    `A[t] = delta[t] + discount * gae_lambda * A[t + 1]` within an episode, where
    `delta[t] = r[t] + discount * next_values[t] - values[t]`, without the second term where the
    episode terminated

    It averages the advantages of `n_step_returns` over all n with weights that fall as
    gae_lambda^n: 0 is the one-step advantage, 1 is `discounted_returns - values`. The critic's
    targets are `advantages + values`.

    Args:
        rewards: Array (time,) or (time, environments).
        values: Numbers of the same shape, the value of the observation before each step.
        next_values: Numbers of the same shape, the value of the observation that each step led
            to: the episode's last one, not the one after the reset. Taking the latter is the
            usual error; it teaches the critic that a time limit is a way into a new episode.
        terminated: Booleans of the same shape: the step ended the episode, and nothing follows.
        truncated: Booleans of the same shape: the step was the last by a limit of time.
        discount: Number from 0 to 1. Default 0.99.
        gae_lambda: Number from 0 to 1. Default 0.95.

    Returns: float64 array of the shape of `rewards`.

    Raises:
        ValueError: the shapes differ, a number is not finite, or `discount` or `gae_lambda` is
            not from 0 to 1.

    Example:

    >>> no, yes = [False], [True]
    >>> kerazoo.models.generalized_advantage([1], [2], [4], no, no, discount=0.5)
    array([1.])
    >>> kerazoo.models.generalized_advantage([1], [2], [4], yes, no, discount=0.5)
    array([-1.])

    References:
        Schulman et al., 2016, High-Dimensional Continuous Control Using Generalized Advantage
        Estimation, https://arxiv.org/abs/1506.02438
    """
    discount, gae_lambda = fraction("discount", discount), fraction("gae_lambda", gae_lambda)
    rewards, values, next_values, terminated, truncated = check_rollout(
        terminated, truncated, rewards=rewards, values=values, next_values=next_values
    )
    delta = rewards + discount * np.where(terminated, 0.0, next_values) - values
    carried = discount * gae_lambda * ~(terminated | truncated)
    advantages = np.empty_like(delta)
    following = np.zeros_like(delta[-1])
    for t in reversed(range(len(delta))):
        advantages[t] = following = delta[t] + carried[t] * following
    return advantages
