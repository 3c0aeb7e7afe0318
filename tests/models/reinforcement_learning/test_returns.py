"""The recursions against sums written out from the definitions, step by step."""

import numpy as np
import pytest

from kerazoo.models import discounted_returns, generalized_advantage, n_step_returns

SHAPES = [(1,), (9,), (9, 1), (9, 3), (2, 4)]


def rollout(shape, seed):
    rng = np.random.default_rng(seed)
    rewards, values, next_values = rng.normal(size=(3, *shape))
    terminated, truncated = rng.uniform(size=(2, *shape)) < 0.25  # both now and then
    goes_on = ~(terminated | truncated)[:-1]  # there a step leads to the next one's observation
    next_values[:-1][goes_on] = values[1:][goes_on]
    return rewards, values, next_values, terminated, truncated


def by_environment(function, *arrays):
    """`function` of each environment's series of plain numbers."""
    if arrays[0].ndim == 1:
        return np.array(function(*arrays))
    columns = [function(*(a[:, i] for a in arrays)) for i in range(arrays[0].shape[1])]
    return np.stack(columns, axis=-1)


def slow_n_step(n, discount):
    def returns(rewards, next_values, terminated, truncated):
        found = []
        for start in range(len(rewards)):
            total, t, taken = 0.0, start, 0
            while True:
                total += discount**taken * rewards[t]
                taken += 1
                if terminated[t]:
                    break
                if truncated[t] or taken == n or t == len(rewards) - 1:
                    total += discount**taken * next_values[t]
                    break
                t += 1
            found.append(total)
        return found

    return returns


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("discount", [0.0, 0.9, 1.0])
@pytest.mark.parametrize("seed", range(3))
def test_returns_equal_the_sums(shape, discount, seed):
    rewards, _, next_values, terminated, truncated = rollout(shape, seed)
    arrays = (rewards, next_values, terminated, truncated)
    for n in (1, 2, 5, 100):
        expected = by_environment(slow_n_step(n, discount), *arrays)
        found = n_step_returns(*arrays, n=n, discount=discount)
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
    found = discounted_returns(rewards, terminated, truncated, next_values, discount)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
    zeros = np.zeros(shape)
    expected = by_environment(slow_n_step(100, discount), rewards, zeros, terminated, truncated)
    found = discounted_returns(rewards, terminated, truncated, discount=discount)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("gae_lambda", [0.0, 0.7, 1.0])
@pytest.mark.parametrize("seed", range(3))
def test_advantages_are_the_average_over_n(shape, gae_lambda, seed):
    """`(1 - lambda) sum lambda^(n - 1) (G_n - V)`, the rest of the weight on the longest."""
    rewards, values, next_values, terminated, truncated = rollout(shape, seed)
    longest = 200  # 0.7 ** 200 is nothing
    expected = np.zeros(shape)
    for n in range(1, longest + 1):
        share = gae_lambda ** (n - 1) * (1 if n == longest else 1 - gae_lambda)
        slow = by_environment(slow_n_step(n, 0.9), rewards, next_values, terminated, truncated)
        expected += share * (slow - values)
    found = generalized_advantage(
        rewards, values, next_values, terminated, truncated, discount=0.9, gae_lambda=gae_lambda
    )
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


def test_a_time_limit_is_no_end():
    """The same steps are worth more where only the clock stopped them."""
    arguments = {"rewards": [1.0, 1.0], "next_values": [10.0, 10.0]}
    yes, no = [False, True], [False, False]
    ended = n_step_returns(**arguments, terminated=yes, truncated=no, n=2, discount=1.0)
    cut = n_step_returns(**arguments, terminated=no, truncated=yes, n=2, discount=1.0)
    assert (ended.tolist(), cut.tolist()) == ([2.0, 1.0], [12.0, 11.0])


def test_nothing_given_is_changed():
    arrays = rollout((5, 2), 0)
    copies = [a.copy() for a in arrays]
    generalized_advantage(*arrays)
    rewards, _, next_values, terminated, truncated = arrays
    n_step_returns(rewards, next_values, terminated, truncated, n=3)
    discounted_returns(rewards, terminated, truncated, next_values)
    for array, copy in zip(arrays, copies, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_errors():
    ones, no = np.ones((4, 2)), np.zeros((4, 2), bool)
    with pytest.raises(ValueError, match=r"same shape.*rewards.shape=\(4, 2\).*\(4, 1\)"):
        n_step_returns(ones, np.ones((4, 1)), no, no, n=2)  # would broadcast
    with pytest.raises(ValueError, match="same shape"):
        discounted_returns(np.ones((4, 2, 1)), *np.zeros((2, 4, 2, 1), bool))
    with pytest.raises(ValueError, match="at least one step"):
        discounted_returns([], [], [])
    with pytest.raises(ValueError, match=r"`rewards` must be finite real numbers.*nan"):
        discounted_returns([np.nan, 1.0], [False, True], [False, False])
    with pytest.raises(ValueError, match=r"`values` must be finite"):
        generalized_advantage(ones, ones * np.inf, ones, no, no)
    with pytest.raises(ValueError, match=r"`truncated` must be boolean"):
        discounted_returns([1.0, 1.0], [False, True], [0.5, 0.0])
    for wrong in (-0.1, 1.1, np.nan, None, True):
        with pytest.raises(ValueError, match=r"`discount` must be a finite number from 0 to 1"):
            discounted_returns([1.0], [True], [False], discount=wrong)
        with pytest.raises(ValueError, match=r"`gae_lambda` must be a finite number from 0 to 1"):
            generalized_advantage(ones, ones, ones, no, no, gae_lambda=wrong)
    for wrong in (0, 1.5, True):
        with pytest.raises(ValueError, match=r"`n` must be a positive integer"):
            n_step_returns(ones, ones, no, no, n=wrong)
