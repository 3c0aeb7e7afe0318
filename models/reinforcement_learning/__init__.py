"""Reinforcement learning: returns, target networks, and two agents made of them."""

from ..._backend import ON_TENSORFLOW, without_tensorflow
from .discounted_returns import discounted_returns
from .generalized_advantage import generalized_advantage
from .n_step_returns import n_step_returns

if ON_TENSORFLOW:
    from .actor_critic import ActorCritic
    from .hard_update import hard_update
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

if not ON_TENSORFLOW:
    __all__, __getattr__ = without_tensorflow(globals())
