import warnings

import numpy as np

from ._weight_spread import Rows, WeightSpread
from .covariance import Covariance

MAX_WEIGHTS = 5000
# How far a weight is moved to see whether its constraint lets it, relative to its size.
_LITTLE = 1e-4


def estimate_covariance(jacobian, x, targets, sample_weights, factors_of, absolute_sigma):
    """The `Covariance` of a model's weights where they are, for losses that are sums of squares.

    Args:
        jacobian: The `OutputJacobian` of the model.
        x: Inputs, a structure of arrays.
        targets: List of arrays, one for each output, None where an output has no loss.
        sample_weights: List of arrays that go with the first axes of the outputs, or None.
        factors_of: Function of the list of `Rows`, one an output, to the factors with which the
            loss multiplies their weighted squares.
        absolute_sigma: Whether `sample_weight` is 1 / sigma^2, not only proportional to it.
    """
    weights = jacobian.weights
    check_weights(weights)
    rows = [Rows(weights.size) for _ in targets]
    for start, outputs, masks, J in jacobian.chunks(x):
        ends = np.cumsum([z[0].size for z in outputs])
        of_outputs = zip(outputs, masks, targets, sample_weights, rows, ends, strict=True)
        for z, mask, target, weight, of_output, end in of_outputs:
            if target is None:
                continue
            examples = slice(start, start + len(z))
            y = _target_like(z, target[examples])
            unmasked = np.ones(z.shape) if mask is None else _spread(mask, z)
            of_output.features = z.shape[-1]
            of_output.unmasked += int(np.sum(unmasked))
            w = unmasked if weight is None else unmasked * _spread(weight[examples], z)
            J_z = J[:, end - z[0].size : end].reshape(z.size, -1)
            of_output.add(J_z, (z - y).reshape(-1), z.reshape(-1), w.reshape(-1))
    factors = factors_of(rows)
    return covariance_of_rows(rows, factors, weights, absolute_sigma)


def covariance_of_rows(rows, factors, weights, absolute_sigma, paths=None):
    """The `Covariance` for the `Rows` of each output and their factors."""
    if sum(one.count for one in rows) == 0:
        raise ValueError(
            "A residual must count: all are masked or have a `sample_weight` of 0. "
            "Received: 0 residuals"
        )
    pairs = [(c, one.triangle) for c, one in zip(factors, rows, strict=True) if one.count]
    largest = max(c for c, _ in pairs)
    pairs = [(c / largest, triangle) for c, triangle in pairs]
    triangle = np.concatenate([np.sqrt(c) * R for c, R in pairs])
    noise_triangle = np.concatenate([c * R[:, :-1] for c, R in pairs])
    if len(pairs) > 1:
        triangle = np.linalg.qr(triangle, mode="r")
        noise_triangle = np.linalg.qr(noise_triangle, mode="r")
    held = held_weights(weights, triangle[:, :-1].T @ triangle[:, -1])
    eps = float(np.finfo(weights.dtype.as_numpy_dtype).eps)
    spread = WeightSpread(triangle, noise_triangle, held, eps)
    degrees = sum(one.count for one in rows) - spread.rank
    sigma = 1.0
    if not absolute_sigma:
        squares = sum(one.sum_of_squares for one in rows)
        sigma = float(np.sqrt(squares / degrees)) if degrees > 0 else float("inf")
    _warn_if_not_at_minimum(spread, sigma, max(one.output_size for one in rows), eps)
    return Covariance(paths or scalar_paths(weights), spread, degrees, sigma, absolute_sigma)


def scalar_paths(weights):
    """The path of each scalar weight: that of its variable, and its place in it."""
    paths = []
    for variable in weights.variables:
        places = np.ndindex(*variable.shape)
        names = [",".join(map(str, place)) for place in places]
        paths += [f"{variable.path}[{name}]" if name else variable.path for name in names]
    return paths


def held_weights(weights, gradient):
    """Mask of the weights that a bound of their constraint keeps from moving downhill."""
    held, start = [], 0
    for variable, size in zip(weights.variables, weights.sizes, strict=True):
        w = np.asarray(variable.value, "float64").reshape(-1)
        g = gradient[start : start + size]
        start += size
        if variable.constraint is None:
            held.append(np.zeros(size, bool))
            continue
        # Steps of different lengths: one that a norm undoes for all together is not at a bound.
        step = _LITTLE * (np.abs(w) + _LITTLE) * np.linspace(1, 2, size)
        aim = (w - step * np.sign(g)).reshape(variable.shape)
        aim = aim.astype(weights.dtype.as_numpy_dtype)
        constrained = np.asarray(variable.constraint(aim), "float64").reshape(-1)
        aim = aim.reshape(-1)
        slack = 0.01 * step
        below, above = np.minimum(w, aim) - slack, np.maximum(w, aim) + slack
        if ((constrained < below) | (constrained > above)).any():
            raise ValueError(
                "A covariance needs constraints that bound each weight by itself, such as "
                "`keras.constraints.NonNeg`: where one ties weights together, fewer are free than "
                "are counted. "
                f"Received: {variable.constraint} of {variable.path}"
            )
        held.append((constrained == w) & (g != 0))
    return np.concatenate(held)


def check_weights(weights):
    if weights.size > MAX_WEIGHTS:
        raise ValueError(
            f"A covariance needs at most {MAX_WEIGHTS} weights: it is a matrix (weights, weights), "
            "and with so many the data rarely determine each. "
            f"Received: a model with {weights.size} trainable weights"
        )
    regularized = [v.path for v in weights.variables if v.regularizer is not None]
    if regularized:
        raise ValueError(
            "A covariance of least squares is not that of weights with a penalty: the penalty "
            "draws them away from what the data say, and how far, the residuals do not tell. Fit "
            f"without regularizers. Received: regularized weights={regularized}"
        )


def _target_like(z, target):
    """`target` in the shape of the output; as in Keras a last axis of one may be missing."""
    y = np.asarray(target, "float64")
    if y.shape == (*z.shape, 1) or z.shape == (*y.shape, 1):
        return y.reshape(z.shape)
    if y.shape != z.shape:
        raise ValueError(
            "`y` must have the shape of the outputs of the model. "
            f"Received: y of shape {('examples', *y.shape[1:])} for outputs of shape "
            f"{('examples', *z.shape[1:])}"
        )
    return y


def _spread(factors, z):
    """A mask or sample weights as one number for each value of an output."""
    factors = np.asarray(factors, "float64")
    if factors.ndim == z.ndim and factors.shape[-1] == 1:
        factors = factors[..., 0]
    if factors.shape != z.shape[: factors.ndim]:
        raise ValueError(
            "`sample_weight` must have the shape of the first axes of the outputs. Received: "
            f"sample_weight of shape {('examples', *factors.shape[1:])} for outputs of shape "
            f"{('examples', *z.shape[1:])}"
        )
    ones = (1,) * (z.ndim - factors.ndim)
    return np.broadcast_to(factors.reshape(factors.shape + ones), z.shape)


def _warn_if_not_at_minimum(spread, sigma, output_size, eps):
    """The formula holds at the minimum; a fit that stopped early is not there."""
    rounding = 100 * eps * output_size
    if sigma < spread.slope and spread.slope > rounding:
        warnings.warn(
            "The weights are not at a minimum of the loss: about "
            f"{spread.slope / sigma:.1f} standard errors away from where the linearized model has "
            "it. Fit them further before their errors are read",
            stacklevel=4,
        )
