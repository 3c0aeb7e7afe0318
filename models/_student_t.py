import math
from statistics import NormalDist

import numpy as np

_AS_GOOD_AS_INFINITE = 1e8


def student_quantile(p, degrees):
    """The value below which Student's t stays with probability p > 0.5, by bisection.

    `degrees` may be infinite: then t is the normal distribution.
    """
    if degrees > _AS_GOOD_AS_INFINITE:
        return NormalDist().inv_cdf(p)
    # Substituting t = sqrt(degrees) tan(a) makes the density cos(a)**(degrees - 1); where that is
    # narrow, what lies beyond `end` is less than rounding.
    nodes, weights = np.polynomial.legendre.leggauss(200)
    end = min(math.pi / 2, math.atan(40 / math.sqrt(degrees)) if degrees > 40 else math.pi / 2)

    def inside(angle):
        cosines = np.cos(angle / 2 * (1 + nodes))
        return angle / 2 * np.sum(weights * cosines ** (degrees - 1))

    low, high = 0.0, end
    for _ in range(60):
        middle = (low + high) / 2
        below = 0.5 + inside(middle) / inside(end) / 2
        low, high = (middle, high) if below < p else (low, middle)
    return math.sqrt(degrees) * math.tan(low)
