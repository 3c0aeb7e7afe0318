"""Reinforcement learning: returns, target networks, and two agents made of them."""

from .actor_critic import ActorCritic
from .discounted_returns import discounted_returns
from .generalized_advantage import generalized_advantage
from .hard_update import hard_update
from .n_step_returns import n_step_returns
from .recurrent_q_network import RecurrentQNetwork
from .soft_update import soft_update
from .target_network import TargetNetwork

__all__ = [
    "ActorCritic",
    "RecurrentQNetwork",
    "TargetNetwork",
    "discounted_returns",
    "generalized_advantage",
    "hard_update",
    "n_step_returns",
    "soft_update",
]
