"""A function of named parameters: what `fit_curve` takes, checked, and made into a model."""

import contextlib
import functools
import inspect
import threading

import keras
import numpy as np
import tensorflow as tf

from ..._arguments import in_words, number, wrong
from ...optimizers import Box
from .least_squares import LeastSquares

# Models of functions that were fitted lately: to trace one takes a hundred times as long as a fit.
_MODELS_KEPT = 8
_LOCK = threading.RLock()


class Curve:
    """`f(x, ...)` with the names of its parameters.

    Args:
        f: The function.
        names: Tuple of strings.
        by_position: Whether f takes the parameters in this order, or by their names.
    """

    def __init__(self, f, names, by_position):
        self.f = f
        self.names = names
        self.by_position = by_position
        self._trace = tf.function(self.__call__, autograph=False)

    def __call__(self, x, parameters):
        if self.by_position:
            return self.f(x, *parameters)
        return self.f(x, **dict(zip(self.names, parameters, strict=True)))

    def __eq__(self, other):
        return isinstance(other, Curve) and self._key() == other._key()

    def __hash__(self):
        return hash(self._key())

    def _key(self):
        return self.f, self.names, self.by_position

    def predict(self, x, values):
        """f at these values as NumPy, (n,)."""
        with float64():
            z = self(tf.constant(x), [tf.constant(value) for value in values])
        return np.asarray(z, "float64")

    def derivatives(self, x, values):
        """f at these values, (n,), and its derivatives in them, (n, parameters)."""
        parameters = [tf.constant(value) for value in values]
        columns = []
        with float64():
            for parameter in parameters:
                with tf.autodiff.ForwardAccumulator(parameter, tf.ones_like(parameter)) as forward:
                    z = self(tf.constant(x), parameters)
                columns.append(forward.jvp(z, unconnected_gradients="zero").numpy())
        return z.numpy(), np.stack(columns, axis=1)

    def check(self, x, values, finite=True):
        """Refuses a function that is not one number for each x, computed from it alone.

        Args:
            x: Array (n, ...).
            values: Array (parameters,).
            finite: Whether f must be finite there.
        """
        parameters = [tf.constant(value) for value in values]
        try:
            with float64():
                z = self._trace(tf.constant(x), parameters)
        except (NotImplementedError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(
                "`f` must run on tensors, with arithmetic and the functions of `keras.ops`: "
                "`ops.exp` in place of `np.exp` or `math.exp`. It failed with "
                f"{type(error).__name__}: {in_words(str(error))}. Received: f={in_words(self.f)}"
            ) from error
        if not tf.is_tensor(z) or z.shape != x.shape[:1] or z.dtype != tf.float64:
            found = f"{z.dtype.name} of shape {tuple(z.shape)}" if tf.is_tensor(z) else in_words(z)
            raise ValueError(
                f"`f` must return one floating number for each x, float64 of shape "
                f"{tuple(x.shape[:1])}; add `0 * x` to a constant. Received: f that returns {found}"
            )
        z = self.predict(x, values)  # what f gives now: a graph is of when it was made
        if finite and not np.isfinite(z).all():
            raise ValueError(
                "`f` must be finite at `p0` for every x. Received: p0="
                f"{dict(zip(self.names, map(float, values), strict=True))}, where f is NaN or Inf "
                f"at {np.sum(~np.isfinite(z))} of {len(z)} points"
            )
        alone = self.predict(x[-1:], values)
        size = np.max(np.abs(z), initial=0.0, where=np.isfinite(z))
        if not np.allclose(z[-1:], alone, rtol=1e-6, atol=1e-9 * size, equal_nan=True):
            raise ValueError(
                "`f` must compute each value from its own x: compute means, maxima and sums over "
                f"x before the fit. Received: f with f(x)[-1]={float(z[-1]):g} and "
                f"f(x[-1:])[0]={float(alone[0]):g}"
            )


class CurveModel(keras.Model):
    """A `Curve` as a model whose one weight is the vector of the parameters."""

    def __init__(self, curve, bounds):
        super().__init__(dtype="float64", name="curve")
        self.curve = curve
        constraint = None if bounds is None else Box(*bounds)
        shape = (len(curve.names),)
        self.parameters = self.add_weight(shape=shape, name="parameters", constraint=constraint)
        self.built = True

    def call(self, x):
        parameters = keras.ops.unstack(keras.ops.convert_to_tensor(self.parameters))
        return self.curve(x, parameters)[:, None]


def curve_of(f, p0):
    """The `Curve` and its start values, an array (parameters,)."""
    try:
        arguments = list(inspect.signature(f).parameters.values())
    except (TypeError, ValueError) as error:
        raise wrong("f", "a function f(x, a, b, ...) of x and named parameters", f) from error
    if not arguments or arguments[0].kind not in (
        inspect.Parameter.POSITIONAL_ONLY,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
    ):
        raise wrong("f", "a function f(x, a, b, ...) of x and named parameters", f)
    kinds = [argument.kind for argument in arguments[1:]]
    any_number = inspect.Parameter.VAR_POSITIONAL in kinds
    any_name = inspect.Parameter.VAR_KEYWORD in kinds
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    named = [argument for argument in arguments[1:] if argument.kind not in variadic]
    known = [argument.name for argument in named]
    needed = [argument.name for argument in named if argument.default is argument.empty]
    if isinstance(p0, dict):
        values = dict(p0)
    else:
        listed = _numbers("p0", p0)
        if any_number and not known:
            known = [f"p{i}" for i in range(1, len(listed) + 1)]
        values = dict(zip(known, listed, strict=False))
        if len(values) < len(listed):
            raise ValueError(
                f"`p0` must be a start value for each parameter of `f`, {known}. "
                f"Received: {len(listed)} values, p0={in_words(p0)}"
            )
    unknown = [name for name in values if name not in known and not any_name]
    missing = [name for name in needed if name not in values]
    if unknown or missing or not values:
        raise ValueError(
            f"`p0` must have a start value for each parameter of `f`, {known}, by these names or "
            f"in this order. Received: p0={in_words(p0)}, unknown={unknown}, missing={missing}"
        )
    names = [name for name in known if name in values]
    names += [name for name in values if name not in known]
    by_position = names == known[: len(names)] and inspect.Parameter.KEYWORD_ONLY not in kinds
    start = np.array([number("p0", values[name]) for name in names], "float64")
    return Curve(f, tuple(names), by_position), start


def bounds_of(bounds, start):
    """None, or a pair of tuples with a number for each parameter."""
    if bounds is None:
        return None
    wanted = "a pair (lower, upper) of numbers or arrays, one for each parameter; -inf, inf: none"
    try:
        lower, upper = (
            tuple(np.broadcast_to(np.asarray(end, "float64"), start.shape).tolist())
            for end in bounds
        )
    except (TypeError, ValueError) as error:
        raise wrong("bounds", wanted, bounds) from error
    if not np.all(np.less(lower, upper)):
        raise wrong("bounds", f"{wanted}, with lower < upper", bounds)
    if np.any(start < lower) or np.any(start > upper):
        raise ValueError(
            f"`p0` must lie within `bounds`. Received: p0={start.tolist()}, "
            f"lower={list(lower)}, upper={list(upper)}"
        )
    return None if np.isinf(lower).all() and np.isinf(upper).all() else (lower, upper)


def model_of(curve, bounds):
    """The compiled `LeastSquares` of a curve, the one that was made before if it is kept."""
    try:
        return _kept_model(curve, bounds)
    except TypeError as error:
        if "unhashable" not in str(error):
            raise
    return _kept_model.__wrapped__(curve, bounds)


@functools.lru_cache(maxsize=_MODELS_KEPT)
def _kept_model(curve, bounds):
    model = LeastSquares(CurveModel(curve, bounds))
    model.compile()
    return model


def forget_models():
    """After a function has changed, as where it reads a variable that holds another value now."""
    _kept_model.cache_clear()


@contextlib.contextmanager
def float64():
    """Keras computes losses, and makes constants, in floatx; one thread at a time changes it."""
    with _LOCK:
        floatx = keras.config.floatx()
        keras.config.set_floatx("float64")
        try:
            yield
        finally:
            keras.config.set_floatx(floatx)


def _numbers(name, values):
    try:
        array = np.asarray(values)
    except (TypeError, ValueError):
        array = np.asarray(None)
    if array.ndim != 1 or array.dtype.kind not in "iuf":
        raise wrong(name, "a dictionary of numbers by parameter, or a list of numbers", values)
    return array.tolist()
