"""Training with Levenberg-Marquardt: the model that wraps a network, and what it checks."""

from ..._backend import ON_TENSORFLOW, without_tensorflow

if ON_TENSORFLOW:
    from .bands import Bands
    from .curve_fit import CurveFit
    from .fit_curve import fit_curve
    from .least_squares import LeastSquares

__all__ = ["Bands", "CurveFit", "LeastSquares", "fit_curve"]

if not ON_TENSORFLOW:
    __all__, __getattr__ = without_tensorflow(globals())
