"""Reinforcement learning: returns, target networks, and two agents made of them."""

from .discounted_returns import discounted_returns
from .generalized_advantage import generalized_advantage
from .n_step_returns import n_step_returns

__all__ = ["discounted_returns", "generalized_advantage", "n_step_returns"]
