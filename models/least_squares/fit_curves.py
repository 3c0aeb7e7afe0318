import numpy as np

from ..._arguments import boolean, in_words, positive_integer, wrong
from .._fit_arguments import checked
from ._curve import bounds_of, curve_of, float64, forget_models, model_of
from .curve_fits import CurveFits
from .side_by_side import data_sets, fit_side_by_side, warn_of_failures
from .side_by_side.data import some
from .side_by_side.outcome import errors_of


def fit_curves(
    f,
    x,
    y,
    p0,
    sigma=None,
    bounds=None,
    absolute_sigma=False,
    starts=None,
    shared_x="auto",
    epochs=1000,
    verbose=0,
):
    """Fits a function of named parameters to many data sets at once, each by itself.

    For each data set k it minimizes `sum(((y_k - f(x_k, a_k, b_k, ...)) / sigma_k)^2)` as
    `fit_curve` does, to the same answer: with `LevenbergMarquardt`, exact derivatives, in float64
    whatever the floatx, and with a polish. All go side by side through one TensorFlow graph, on the
    device that TensorFlow takes; each has its own damping and stops by itself. For hundreds of
    small fits, as of pixels, wells or spectra; for a single one `fit_curve` also has bands,
    correlations and a picture.

    Data sets of unequal lengths are lists of arrays. A data set with NaN or Inf, or a start at
    which f is not finite, spoils its own fit alone: that has a loss of NaN and has not converged,
    and a warning says which. The first call for a function makes a graph, which takes some
    seconds; more calls with the same function object and as many points reuse it.

    Args:
        f: Function `f(x, a, b, ...)`, as `fit_curve` takes it.
        x: Array (n, ...), the same for all data sets, or (datasets, n, ...); or a list of arrays,
            one a data set.
        y: Array (datasets, n), or a list of arrays, one a data set.
        p0: Start values: a dictionary by the names of the parameters, or a list in their order, of
            numbers or arrays (datasets,).
        sigma: Standard deviations of y: a positive number, or an array or a list of arrays like y;
            infinity leaves a point out. Default None: 1.
        bounds: Pair (lower, upper), each a number or an array with one for each parameter, the
            same for all data sets. Default None.
        absolute_sigma: Boolean. Default False: `sigma` is known up to a factor, which is estimated
            for each data set. True: `sigma` is known.
        starts: List of further start values, each of what `p0` takes, such as an array (starts,
            parameters). The best fit of each data set is kept. Default None.
        shared_x: Boolean, whether x is the same for all. Default "auto": as its shape says, which
            is an error where both are possible.
        epochs: Positive integer, steps that a fit may take. Default 1000.
        verbose: "auto", 0, 1 (a progress line) or 2. Default 0.

    Returns:
        A `CurveFits`, with `.values`, `.standard_errors`, `.converged`, `.summary()`,
        `.predict(x)`.

    Raises:
        ValueError: Shapes that do not fit; a data set with fewer points than parameters; names
            that f does not have; starts outside of the bounds; f that returns another shape, mixes
            the points or does not run on tensors.

    Example:

    >>> def decay(x, height, rate):
    ...     return height * keras.ops.exp(-rate * x)
    >>> x = np.linspace(0, 4, 30)
    >>> rates = np.array([0.5, 0.7, 0.9])
    >>> y = 3 * np.exp(-rates[:, None] * x) + 0.05 * np.cos(40 * x)
    >>> fits = kerazoo.models.fit_curves(decay, x, y, {"height": 1.0, "rate": 1.0})
    >>> fits.values["rate"].round(2)
    array([0.5 , 0.71, 0.91])
    >>> fits.converged
    array([ True,  True,  True])
    """
    absolute_sigma = boolean("absolute_sigma", absolute_sigma)
    epochs = positive_integer("epochs", epochs)
    verbose = _verbosity(verbose)
    listed = _is_list_of_arrays(y)
    x, y, counts, shared_x = _arrays(x, y, shared_x)
    curve, start = _starts(f, p0, starts, len(y))
    sigma = _sigmas(sigma, y.shape, counts, listed)
    counts = counts & np.isfinite(sigma)
    least = np.min(np.where(counts, sigma, np.inf), axis=1, keepdims=True)
    few = np.flatnonzero(counts.sum(axis=1) < start.shape[2])
    if len(few):
        raise ValueError(
            "`y` must have at least as many points in each data set as `f` has parameters. "
            f"Received: fewer than {start.shape[2]} in the data sets {some(few)}"
        )
    weight = np.where(counts, least / np.where(counts, sigma, 1.0), 0.0) ** 2
    sets = data_sets(x, y, weight, shared_x)
    bounds = _bounds(bounds, start)
    with float64():
        for _ in range(2):
            model = model_of(curve, bounds)
            curve = model.model.curve  # the one whose graphs exist
            first = np.argmax(sets.finite)
            curve.check(_of_set(sets, first), start[first, 0], finite=False)
            ends = fit_side_by_side(model, sets, start, epochs, verbose)
            if _is_of_now(curve, sets, ends):
                break
            # The graph was made when the function read other values than now.
            forget_models()
    warn_of_failures(ends, stacklevel=2)
    residuals = np.where(counts, (y - ends.outputs) / np.where(counts, sigma, 1.0), 0.0)
    losses = np.where(np.isfinite(ends.losses), np.sum(residuals**2, axis=1), np.nan)
    errors = errors_of(ends, least[:, 0] if absolute_sigma else ends.sigma)
    return CurveFits(curve, ends, losses, errors, _of_set(sets, 0).ndim - 1)


def _is_of_now(curve, sets, ends):
    """Whether f gives what the graph gave, for one data set whose fit has converged."""
    i = np.argmax(ends.converged)
    if not ends.converged[i]:
        return True
    counts = sets.weight[i] > 0
    z = curve.predict(_of_set(sets, i), ends.weights[i])[counts]
    size = np.max(np.abs(z))
    return np.allclose(z, ends.outputs[i][counts], rtol=1e-6, atol=1e-9 * size, equal_nan=True)


def _of_set(sets, i):
    return sets.x if sets.shared else sets.x[i]


def _is_list_of_arrays(value):
    """Whether these are arrays of a data set each, and not rows of one array."""
    return isinstance(value, (list, tuple)) and any(
        hasattr(part, "__array__") and np.ndim(part) for part in value
    )


def _arrays(x, y, shared_x):
    """x, y (datasets, points) and which points are there, lists padded to the longest."""
    if not _is_list_of_arrays(y):
        y = _float("y", y, "an array (datasets, n) of real numbers, or a list of arrays")
        if y.ndim != 2 or 0 in y.shape:
            raise wrong("y", "an array (datasets, n), or a list of arrays (n,)", y)
        y = list(y)
    parts = [_float("y", part, "an array (datasets, n), or a list of arrays (n,)") for part in y]
    if any(part.ndim != 1 for part in parts):
        raise wrong("y", "an array (datasets, n), or a list of arrays (n,)", y)
    lengths = np.array([len(part) for part in parts])
    padded = np.zeros((len(parts), max(lengths.max(), 1)))
    there = np.arange(padded.shape[1]) < lengths[:, None]
    padded[there] = np.concatenate(parts)
    if not _is_list_of_arrays(x):
        x = _float("x", x, "an array of real numbers, or a list of arrays")
        if (lengths != lengths[0]).any():
            raise ValueError(
                "`x` must be a list of arrays, one a data set, where the data sets have unequal "
                f"lengths. Received: x={in_words(x)} for lengths from {lengths.min()} to "
                f"{lengths.max()}"
            )
        if x.ndim == 0:
            raise wrong("x", "an array (n, ...) or (datasets, n, ...), or a list of arrays", x)
        return x, padded, there, shared_x
    if shared_x is True:
        raise ValueError(
            "`shared_x` must be 'auto' or False where `x` is a list of arrays. "
            "Received: shared_x=True"
        )
    wanted = "one array for each data set, with the points of its `y` along the first axis"
    of_sets = [_float("x", part, wanted) for part in x]
    found = [part.shape[0] if part.ndim else None for part in of_sets]
    if found != lengths.tolist() or len({part.shape[1:] for part in of_sets}) > 1:
        raise ValueError(
            f"`x` must be {wanted}. Received: {len(of_sets)} arrays of shapes "
            f"{in_words([part.shape for part in of_sets])} for lengths {in_words(lengths.tolist())}"
        )
    of_point = of_sets[0].shape[1:]
    joined = np.zeros((*padded.shape, *of_point))
    for place, part in zip(joined, of_sets, strict=True):
        place[: len(part)] = part
        place[len(part) :] = part[-1:]  # f is defined there
    return joined, padded, there, False


def _sigmas(sigma, shape, there, listed):
    """Standard deviations (datasets, points)."""
    wanted = "positive: a number, or an array or a list of arrays like `y`"
    if sigma is None:
        return np.ones(shape)
    if _is_list_of_arrays(sigma) and listed:
        parts = [_float("sigma", part, wanted) for part in sigma]
        if [part.shape for part in parts] != [(n,) for n in there.sum(axis=1)]:
            raise wrong("sigma", wanted, sigma)
        found = np.ones(shape)
        found[there] = np.concatenate(parts)
    else:
        found = _float("sigma", sigma, wanted)
        if found.shape not in ((), shape) or (found.shape and not there.all()):
            raise wrong("sigma", wanted, sigma)
    if not (found > 0).all():
        raise wrong("sigma", wanted, sigma)
    if np.isinf(found).all():
        raise wrong("sigma", "finite somewhere", sigma)
    return np.broadcast_to(found, shape)


def _starts(f, p0, starts, datasets):
    """The `Curve`, and its starts (datasets, starts, parameters)."""
    curve, first = _start("p0", f, p0, datasets)
    found = [first]
    if starts is not None:
        wanted = "a list of further start values, each of what `p0` takes"
        if isinstance(starts, dict) or not (
            isinstance(starts, (list, tuple)) or (hasattr(starts, "__array__") and np.ndim(starts))
        ):
            raise wrong("starts", wanted, starts)
        for one in starts:
            try:
                other, values = _start("starts", f, one, datasets)
            except ValueError as error:
                raise ValueError(f"`starts` must be {wanted}: {error}") from error
            if sorted(other.names) != sorted(curve.names):
                raise wrong("starts", f"{wanted}, of the parameters {curve.names}", starts)
            order = [other.names.index(name) for name in curve.names]
            found.append(values[:, order])
    return curve, np.stack(found, axis=1)


def _start(name, f, p0, datasets):
    if isinstance(p0, dict):
        arrays = {key: np.asarray(value) for key, value in p0.items()}
        first = {key: _first(array, p0[key]) for key, array in arrays.items()}
    elif isinstance(p0, (list, tuple)) or (isinstance(p0, np.ndarray) and p0.ndim):
        arrays = [np.asarray(value) for value in p0]
        first = [_first(array, value) for array, value in zip(arrays, p0, strict=True)]
    else:
        arrays, first = None, p0  # no start values, and `curve_of` says so
    curve, _ = curve_of(f, first)
    arrays = [arrays[key] for key in curve.names] if isinstance(arrays, dict) else arrays
    if any(array.shape not in ((), (datasets,)) for array in arrays):
        raise wrong("p0", f"numbers or arrays (datasets={datasets},)", p0)
    values = np.stack([np.broadcast_to(array, (datasets,)) for array in arrays], axis=1)
    if values.dtype.kind not in "iuf" or not np.isfinite(values).all():
        raise wrong("p0", "finite numbers, or arrays of them", p0)
    return curve, values.astype("float64")


def _first(array, value):
    """A number that stands for an array, to look at the names; what is neither stays."""
    return array[0].item() if array.ndim == 1 and array.size else value


def _bounds(bounds, start):
    """None, or a pair of tuples with a number for each parameter."""
    flat = start.reshape(-1, start.shape[2])
    found = bounds_of(bounds, flat[0])
    if found is not None:
        outside = (flat < found[0]).any(axis=1) | (flat > found[1]).any(axis=1)
        if outside.any():
            bounds_of(bounds, flat[np.argmax(outside)])  # which says so
    return found


def _float(name, value, wanted):
    try:
        array = np.asarray(value)
    except (TypeError, ValueError):  # such as rows of unequal length
        array = np.asarray(None)
    if array.dtype.kind not in "biuf":
        raise wrong(name, wanted, value)
    return array.astype("float64")


def _verbosity(verbose):
    verbose = checked(verbose=verbose)["verbose"]
    return 1 if verbose == "auto" else verbose
