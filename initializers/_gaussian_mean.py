import numpy as np

# Nearly all of z and of its powers lies in [-12, 12]. The panels end at multiples of 1/16, where
# common activations have their kinks, so that Gauss-Legendre sees only smooth pieces.
_EDGES = np.linspace(-12.0, 12.0, 24 * 16 + 1)
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(8)


def gaussian_mean(function):
    """E[function(z)] for z ~ N(0, 1), by quadrature in float64."""
    half = np.diff(_EDGES)[:, None] / 2
    z = (_EDGES[:-1, None] + half * (1 + _NODES)).ravel()
    density = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    return float(np.sum((half * _WEIGHTS).ravel() * density * function(z)))
