"""Losses over (y_true, y_pred), packed targets, and metrics on a part of them."""

from .packed_targets_loss import PackedTargetsLoss
from .unpacked_metric import UnpackedMetric

__all__ = ["PackedTargetsLoss", "UnpackedMetric"]
