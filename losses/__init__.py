"""Losses over (y_true, y_pred), robust ones, packed targets, and metrics on a part of them."""

from .a2c_actor_loss import A2CActorLoss
from .cauchy import Cauchy
from .packed_targets_loss import PackedTargetsLoss
from .soft_f_beta import SoftFBeta
from .soft_l1 import SoftL1
from .tukey import Tukey
from .unpacked_metric import UnpackedMetric

__all__ = [
    "A2CActorLoss",
    "Cauchy",
    "PackedTargetsLoss",
    "SoftFBeta",
    "SoftL1",
    "Tukey",
    "UnpackedMetric",
]
