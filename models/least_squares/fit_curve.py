import warnings

import numpy as np

from ..._arguments import boolean, in_words, real_array, wrong
from ...optimizers._estimate_covariance import covariance_of_rows
from ...optimizers._weight_spread import Rows
from ...optimizers.levenberg_marquardt.flat_weights import FlatWeights
from ._curve import bounds_of, curve_of, float64, forget_models, model_of
from .curve_fit import CurveFit

_MAX_STEPS = 1000


def fit_curve(f, x, y, p0, sigma=None, bounds=None, absolute_sigma=False):
    """Fits a function of named parameters to data, with standard errors and bands.

    It minimizes `sum(((y - f(x, a, b, ...)) / sigma)^2)` with `LevenbergMarquardt`, exact
    derivatives and in float64, whatever the floatx, and ends with a polish. For those who come from
    scipy's `curve_fit`; to fit networks, or curves with several outputs, use `LeastSquares`. Runs
    on TensorFlow.

    The first call for a function makes a graph, which takes about a second; more calls with the
    same function object reuse it (of the last 8 functions). So define it once, outside of loops.

    Args:
        f: Function `f(x, a, b, ...)` of x and parameters, each a number, that returns one number
            for each x, from that x alone. With arithmetic and `keras.ops`, such as
            `keras.ops.exp`; NumPy's functions do not run on tensors. A parameter with a default
            value that `p0` leaves out keeps it.
        x: Array (n, ...), the points along the first axis; f gets it as it is. With k predictors
            (n, k), which is scipy's (k, n) transposed: `x[:, 0]` is the first.
        y: Array (n,).
        p0: Start values: a dictionary by the names of the parameters, or a list in their order.
        sigma: Standard deviations of y: a positive number or an array (n,). Default None: 1.
        bounds: Pair (lower, upper), each a number or an array with one for each parameter, in the
            order of `f`; -inf and inf where there is none. Default None.
        absolute_sigma: Boolean. Default False: `sigma` is known up to a factor, which is estimated
            from the residuals. True: `sigma` is known.

    Returns:
        A `CurveFit`, with `.values`, `.standard_errors`, `.summary()`, `.bands(x)`, `.plot(path)`.
        A warning says if the fit has not converged.

    Raises:
        ValueError: NaN or Inf in the data, or in f at `p0`; fewer points than parameters; shapes
            that do not fit; names that f does not have; `p0` outside of the bounds; f that returns
            another shape, mixes the points or does not run on tensors.

    Example:

    >>> def decay(x, height, rate):
    ...     return height * keras.ops.exp(-rate * x)
    >>> x = np.linspace(0, 4, 30)
    >>> y = 3 * np.exp(-0.7 * x) + 0.05 * np.cos(40 * x)
    >>> fitted = kerazoo.models.fit_curve(decay, x, y, {"height": 1.0, "rate": 1.0})
    >>> {name: round(value, 2) for name, value in fitted.values.items()}
    {'height': 3.02, 'rate': 0.71}
    """
    absolute_sigma = boolean("absolute_sigma", absolute_sigma)
    curve, start = curve_of(f, p0)
    bounds = bounds_of(bounds, start)
    x, y = _data(x, y, len(start))
    sigma = _sigma(sigma, y)
    with float64():
        for _ in range(2):
            model = model_of(curve, bounds)
            curve = model.model.curve  # the one whose graphs exist
            curve.check(x, start)
            values, converged, stop_reason, steps, loss = _fitted(model, start, x, y, sigma)
            z, J = curve.derivatives(x, values)
            relative = (y - z) / _relative(sigma)
            squares = np.mean(relative**2)
            rounding = 1e-12 * np.mean(y**2)
            if abs(loss - squares) <= 1e-6 * squares + rounding:
                break
            # The graph was made when the function read other values than now.
            forget_models()
        rows = Rows(len(start))
        rows.add(J, z - y, z, np.broadcast_to(sigma**-2.0, y.shape))
        weights = FlatWeights(model.trainable_variables)
        covariance = covariance_of_rows([rows], [1.0], weights, absolute_sigma, curve.names)
    if not converged:
        warnings.warn(
            f"The fit has not converged in {steps} steps: try other start values, or parameters of "
            f"similar sizes. {stop_reason}",
            stacklevel=2,
        )
    ended = converged, stop_reason, steps
    return CurveFit(curve, values, covariance, x, y, sigma, y - z, *ended)


def _fitted(model, start, x, y, sigma):
    """Values, whether they converged, why the fit ended, its steps and the last loss."""
    parameters = model.model.parameters
    parameters.assign(start)
    model.optimizer.reset()
    weight = np.broadcast_to(_relative(sigma) ** -2.0, y.shape)
    history = model.fit(x, y[:, None], sample_weight=weight, epochs=_MAX_STEPS, verbose=0)
    losses = history.history["loss"]
    converged = bool(model.optimizer.converged.numpy())
    return parameters.numpy(), converged, model.optimizer.stop_reason, len(losses), losses[-1]


def _relative(sigma):
    """Of the size of 1: a square of very small ones would overflow."""
    return sigma / np.min(sigma)


def _data(x, y, parameters):
    y = real_array("y", y).astype("float64")
    if y.ndim != 1:
        raise wrong("y", "one number for each point, (n,)", y)
    x = real_array("x", x).astype("float64")
    if x.ndim == 0 or len(x) != len(y):
        advice = ""
        if x.ndim == 2 and x.shape[1] == len(y):
            advice = ". Predictors go along the last axis: give `x.T`, and use `x[:, 0]` in `f`"
        raise ValueError(
            f"`x` must have the points of `y` along its first axis{advice}. "
            f"Received: x of shape {x.shape}, y of shape {y.shape}"
        )
    if len(y) < parameters:
        raise ValueError(
            "`y` must have at least as many points as `f` has parameters. "
            f"Received: {len(y)} points, {parameters} parameters"
        )
    return x, y


def _sigma(sigma, y):
    if sigma is None:
        return np.ones(())
    found = real_array("sigma", sigma).astype("float64")
    if found.shape not in ((), y.shape) or (found <= 0).any():
        raise ValueError(
            "`sigma` must be positive: a number, or an array with one for each point; a covariance "
            f"matrix is not taken. Received: sigma={in_words(sigma)}"
        )
    return found
