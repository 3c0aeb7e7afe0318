"""Damped least squares of plain matrices: nothing here knows of networks or losses."""

from . import symmetric
from .cholesky import Cholesky
from .conjugate_gradients import Nystroem, conjugate_gradients
from .dual import Dual, DualSolution
from .qr import QR

__all__ = [
    "QR",
    "Cholesky",
    "Dual",
    "DualSolution",
    "Nystroem",
    "conjugate_gradients",
    "symmetric",
]
