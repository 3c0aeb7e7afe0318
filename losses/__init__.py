"""Losses over (y_true, y_pred), packed targets, and metrics on a part of them."""

from .a2c_actor_loss import A2CActorLoss
from .packed_targets_loss import PackedTargetsLoss
from .soft_f_beta import SoftFBeta
from .unpacked_metric import UnpackedMetric

__all__ = ["A2CActorLoss", "PackedTargetsLoss", "SoftFBeta", "UnpackedMetric"]
