import warnings
import weakref
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from ...._arguments import wrong
from ....optimizers.levenberg_marquardt.method import Measured, StopCode
from ....optimizers.levenberg_marquardt.objective import family_of
from .data import some
from .networks import Networks
from .program import Data, Program, goes_on
from .settings import settings_of
from .spread import unit_errors

_MAX_WEIGHTS = 500  # an attempt takes a singular value decomposition (weights, weights) of each fit
_FLOATS_AT_A_TIME = 2**23  # of the Jacobians: 64 MiB in float64, and a few times as much beside
_ATTEMPTS_A_ROUND = 64  # between two looks at the progress
_PROGRAMS_KEPT = 8  # of a model
_PROGRAMS = weakref.WeakKeyDictionary()


class Ends(NamedTuple):
    """How many fits ended: NumPy, of each data set that of its best start."""

    weights: np.ndarray  # (datasets, weights)
    outputs: np.ndarray  # (datasets, numbers)
    losses: np.ndarray
    converged: np.ndarray
    stop_codes: np.ndarray
    steps: np.ndarray
    starts: np.ndarray  # which start each had
    reasons: list  # sentences
    unit_errors: np.ndarray  # standard errors where residuals of weight 1 have sigma 1
    sigma: np.ndarray  # of residuals of weight 1, estimated
    degrees_of_freedom: np.ndarray
    point_shape: tuple  # of the output of one point
    call: object  # function of weights (fits, weights) and x, shared or not, to outputs


def fit_side_by_side(model, sets, starts, epochs, verbose):
    """The `Ends` of the fits of a compiled `LeastSquares` to each of the `DataSets`.

    Args:
        model: The `LeastSquares`; its weights stay as they are.
        sets: `DataSets`.
        starts: Array (datasets, starts, weights).
        epochs: Steps that a fit may take.
        verbose: 0, 1 (a progress line) or 2 (a line at the end).
    """
    program, numbers = _program_of(model, sets)
    networks, settings = program.networks, program.settings
    dtype = networks.weights.dtype
    shape = numbers.shape[1:]
    y = _targets(sets.y, shape).reshape(len(sets.y), -1)
    factors = _factors(model, sets.weight, shape)
    spread = np.repeat(sets.weight, int(np.prod(shape)), axis=1)
    root = np.sqrt(2 * factors[:, None] * spread)
    y = np.where(spread > 0, y, 0.0)

    def data_of(indices):
        x = sets.x
        if not sets.shared:
            x = keras.tree.map_structure(lambda leaf: leaf[indices], x)
        x = keras.tree.map_structure(lambda leaf: _tensor(leaf, dtype), x)
        return Data(x, _tensor(y[indices], dtype), _tensor(root[indices], dtype))

    datasets, choices, size = starts.shape
    of_task = np.repeat(np.arange(datasets), choices)
    start = starts.reshape(-1, size)
    at_once = _fits_at_once(model.optimizer, y.shape[1], size)
    progress = keras.utils.Progbar(len(start), verbose=verbose, unit_name="fit")
    parts, done = [], 0
    for first in range(0, len(start), at_once):
        chunk = slice(first, first + at_once)
        indices = of_task[chunk]
        ended = _run(program, start[chunk], data_of(indices), epochs, progress, done)
        loss = _losses(ended.z, y[indices], root[indices])
        parts.append((ended.w, loss, ended.code, ended.steps, np.stack(ended.measured, axis=1)))
        done += len(indices)
    w, loss, codes, steps, measured = (
        np.concatenate(part).reshape(datasets, choices, *part[0].shape[1:])
        for part in zip(*parts, strict=True)
    )
    best = np.argmin(np.where(np.isfinite(loss), loss, np.inf), axis=1)

    def of_best(values):
        return np.take_along_axis(
            values, best.reshape(-1, *[1] * (values.ndim - 1)), axis=1
        ).squeeze(1)

    w, codes, steps, measured = map(of_best, (w, codes, steps, measured))
    converged = (codes > StopCode.GOES_ON) & (codes <= StopCode.ROUNDING)
    finished = [
        program.finish(
            _tensor(w[i : i + at_once], dtype),
            tf.constant(converged[i : i + at_once]),
            data_of(np.arange(i, min(i + at_once, datasets))),
        )
        for i in range(0, datasets, at_once)
    ]
    w, z, triangles = (
        np.concatenate([part.numpy() for part in of_one]) for of_one in zip(*finished, strict=True)
    )
    loss = _losses(z, y, root)
    counted = (spread > 0).sum(axis=1)
    unit = np.sqrt(2 * factors)
    triangles = triangles.astype("float64") / unit[:, None, None]
    errors, ranks = unit_errors(triangles, _held(w, triangles, settings), program.eps)
    degrees = counted - ranks
    with np.errstate(divide="ignore", invalid="ignore"):
        sigma = np.sqrt(np.where(degrees > 0, loss / factors / degrees, np.inf))
    failed = ~np.isfinite(loss)
    errors[failed], sigma[failed] = np.nan, np.nan
    ends = Ends(
        weights=w,
        outputs=z,
        losses=np.where(failed, np.nan, loss),
        converged=converged,
        stop_codes=codes,
        steps=steps,
        starts=best,
        reasons=_reasons(codes, measured, settings, epochs, loss, sets.finite),
        unit_errors=errors,
        sigma=sigma,
        degrees_of_freedom=degrees,
        point_shape=shape,
        call=networks,
    )
    _say(ends, verbose)
    return ends


def warn_of_failures(ends, stacklevel):
    """One warning that names the data sets whose fit has not converged."""
    bad = np.flatnonzero(~ends.converged)
    if len(bad):
        warnings.warn(
            f"{len(bad)} of {len(ends.converged)} fits have not converged: those of the data sets "
            f"{some(bad)}. `stop_reason(i)` says why; of data set {bad[0]}: "
            f"{ends.reasons[bad[0]]}",
            stacklevel=stacklevel + 1,
        )


def _say(ends, verbose):
    if verbose:
        print(
            f"Levenberg-Marquardt: {np.sum(ends.converged)} of {len(ends.converged)} fits have "
            f"converged, in at most {np.max(ends.steps)} steps."
        )


def check_model(model):
    """Refuses a model that is not compiled for what `fit_many` does."""
    if not model._is_second_order():
        raise ValueError(
            "`fit_many` takes the steps of Levenberg-Marquardt: `compile` the model with "
            "`kerazoo.optimizers.LevenbergMarquardt()` first. "
            f"Received: optimizer={getattr(model, 'optimizer', None)}"
        )
    if model._objective_of.replicas.num_replicas > 1:
        raise ValueError(
            "`fit_many` runs on one device: make the model outside of the strategy's scope. "
            "Received: a model with copies of its weights on several devices"
        )
    losses = keras.tree.flatten(model._loss_argument)
    if len(losses) != 1 or losses[0] is None or not family_of(losses[0]).quadratic:
        raise ValueError(
            "`fit_many` minimizes sums of squares: compile with the loss 'mse', and for wrong "
            f"targets give a `sample_weight`. Received: loss={model._loss_argument}"
        )
    weights = model.optimizer.weights
    if weights.size > _MAX_WEIGHTS:
        raise ValueError(
            f"`fit_many` is for small models, of at most {_MAX_WEIGHTS} trainable weights: fit "
            f"larger ones one after the other. Received: a model with {weights.size}"
        )
    model.optimizer.build(model.trainable_variables)  # or says that others were compiled


def _program_of(model, sets):
    """The `Program` for such data, the one that was made before if it is kept; and its outputs."""
    settings = settings_of(model.optimizer)
    weights = model.optimizer.weights
    x = keras.tree.map_structure(
        lambda leaf: tf.TensorSpec(
            leaf.shape if sets.shared else (None, *leaf.shape[1:]),
            weights.dtype if leaf.dtype.kind == "f" else leaf.dtype,
        ),
        sets.x,
    )
    key = settings, str(x), sets.shared
    kept = _PROGRAMS.setdefault(model, {})
    if key not in kept:
        networks = Networks(model.model, sets.shared)
        spec = networks.spec(x)
        _targets(sets.y, spec.shape[1:])
        first = keras.tree.map_structure(
            lambda leaf: _tensor(leaf if sets.shared else leaf[:1], weights.dtype), sets.x
        )
        networks.check_points_are_apart(weights.vector(), first)
        while len(kept) >= _PROGRAMS_KEPT:
            kept.pop(next(iter(kept)))
        numbers = int(np.prod(spec.shape))
        kept[key] = Program(networks, settings, x, numbers), spec
    return kept[key]


def _run(program, start, data, epochs, progress, done):
    """The `Fits` from these starts after their last step, as NumPy."""
    fits = program.begin(_tensor(start, program.dtype), data)
    limits = tf.constant(epochs, tf.int32), tf.constant(_ATTEMPTS_A_ROUND, tf.int32)
    while True:
        fits = program.go_on(fits, data, *limits)
        going_on = np.count_nonzero(goes_on(fits, epochs).numpy())
        progress.update(done + len(start) - going_on)
        if not going_on:
            return tf.nest.map_structure(lambda tensor: tensor.numpy(), fits)


def _fits_at_once(optimizer, numbers, size):
    rows = optimizer.jacobian_rows
    if rows == "auto":
        rows = _FLOATS_AT_A_TIME // size
    return max(1, rows // numbers)


def _targets(y, shape):
    """`y` in the shape of the outputs; as in Keras a last axis of one may be missing."""
    shape = tuple(shape)
    found = y.shape[2:]
    if found not in (shape, (*shape, 1)) and (*found, 1) != shape:
        raise ValueError(
            "`y` must have the shape of the outputs of the model after its axes of data sets and "
            f"points. Received: y of shape {y.shape} for outputs of shape {('points', *shape)}"
        )
    return y.reshape(*y.shape[:2], *shape)


def _factors(model, weight, shape):
    """What Keras's loss multiplies the weighted squares of each data set with, (datasets,)."""
    loss = keras.losses.get(model._loss_argument)
    reduction = getattr(loss, "reduction", "sum_over_batch_size")
    values = weight.shape[1] * int(np.prod(shape[:-1]))
    features = shape[-1] if len(shape) else 1
    if reduction == "sum":
        divisors = np.ones(len(weight))
    elif reduction == "mean_with_sample_weight":
        divisors = weight.sum(axis=1) * int(np.prod(shape[:-1]))
    else:
        divisors = np.full(len(weight), float(values))
    loss_weight = keras.tree.flatten(model._loss_weights)
    factor = 1.0 if not loss_weight or loss_weight[0] is None else loss_weight[0]
    if factor <= 0:
        raise wrong("loss_weights", "above 0", model._loss_weights)
    return factor / (features * divisors)


def _losses(z, y, root):
    with np.errstate(all="ignore"):
        r = np.where(root > 0, root * (z.astype("float64") - y), 0.0)
        return np.sum(r**2, axis=1) / 2


def _held(w, triangles, settings):
    """Mask of the weights that a bound keeps from moving downhill."""
    if not settings.bounded:
        return np.zeros(w.shape, bool)
    g = np.einsum("krp,kr->kp", triangles[:, :, :-1], triangles[:, :, -1])
    lower, upper = (np.asarray(end, w.dtype) for end in (settings.lower, settings.upper))
    return ((w <= lower) & (g > 0)) | ((w >= upper) & (g < 0))


def _reasons(codes, measured, settings, epochs, losses, finite):
    reasons = []
    for code, numbers, loss, good in zip(codes, measured, losses, finite, strict=True):
        code = StopCode(int(code))
        sentence = code.sentence(Measured(*numbers), settings.tolerances)
        if not good:
            sentence = "No step was taken: there is NaN or Inf in this data set."
        elif not np.isfinite(loss):
            sentence = (
                "No step was taken: the model's outputs or their derivatives are NaN or Inf at the "
                "start. Start elsewhere, or bound the weights."
            )
        elif not code.ends_fit:
            sentence = f"All epochs are used up ({epochs}). {sentence}"
        reasons.append(sentence)
    return reasons


def _tensor(array, dtype):
    tensor = tf.convert_to_tensor(array)
    return tf.cast(tensor, dtype) if tensor.dtype.is_floating else tensor
