"""Training with Levenberg-Marquardt: the model that wraps a network, and what it checks."""

from ..._backend import ON_TENSORFLOW, without_tensorflow

if ON_TENSORFLOW:
    from .bands import Bands
    from .curve_fit import CurveFit
    from .curve_fits import CurveFits
    from .fit_curve import fit_curve
    from .fit_curves import fit_curves
    from .least_squares import LeastSquares
    from .many_fits import ManyFits

__all__ = [
    "Bands",
    "CurveFit",
    "CurveFits",
    "LeastSquares",
    "ManyFits",
    "fit_curve",
    "fit_curves",
]

if not ON_TENSORFLOW:
    __all__, __getattr__ = without_tensorflow(globals())
