from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from ....optimizers.levenberg_marquardt.method import Measured, StopCode
from ....optimizers.levenberg_marquardt.method.convergence import (
    largest_cosine,
    stop_code,
    stop_test,
)
from ....optimizers.levenberg_marquardt.method.damping_rules import RULES, Attempt, DampingState
from ....optimizers.levenberg_marquardt.method.gain_ratio import SMALLEST_GAIN, gain_ratio
from ....optimizers.levenberg_marquardt.method.polish import MAX_STEPS, WORTHWHILE
from ....optimizers.levenberg_marquardt.quadratic_model import SCALINGS, scale_of
from .quadratic_model import QuadraticModels, lengths_of, triangles_of


class Data(NamedTuple):
    """The data of fits side by side."""

    x: Any  # shared (points, ...), or (fits, points, ...)
    y: tf.Tensor  # (fits, numbers)
    root: tf.Tensor  # (fits, numbers), with which residuals are multiplied: F = |r|^2 / 2


class Fits(NamedTuple):
    """Where each fit is: the first axis of every tensor is that of the fits."""

    w: tf.Tensor  # (fits, weights)
    z: tf.Tensor  # outputs there, (fits, numbers)
    norms: tf.Tensor  # largest of the columns of J so far, (fits, weights)
    state: DampingState
    before: tf.Tensor  # w before the last step, (fits, weights)
    has_before: tf.Tensor
    attempts: tf.Tensor  # of the present step
    predicted: tf.Tensor  # reduction, the largest of these attempts
    steps: tf.Tensor
    code: tf.Tensor  # `StopCode` of the last step
    measured: Measured  # of the last step


class _Found(NamedTuple):
    """What `stop_code` reads of the last attempt of a step."""

    accepted: tf.Tensor
    stop_code: tf.Tensor
    reduction: tf.Tensor
    state: DampingState


class Program:
    """The graphs of many fits with one number of points: they begin, go on and are finished.

    Every fit does what `method/step.py` does for one, an attempt at a time: own damping, own
    tests, own end, after which its numbers stay.

    Args:
        networks: `Networks`.
        settings: `Settings` of the optimizer.
        x: Specifications of the inputs, with None for the number of fits.
        numbers: Of the outputs of one fit.
    """

    def __init__(self, networks, settings, x, numbers):
        self.networks = networks
        self.settings = settings
        self.dtype = networks.weights.dtype
        self.eps = np.finfo(self.dtype.as_numpy_dtype).eps
        self.size = networks.weights.size
        self.numbers = numbers
        self.rule = RULES[settings.damping_rule]

        def one(*shape, dtype=self.dtype):
            return tf.TensorSpec([None, *shape], dtype)

        data = Data(x, one(numbers), one(numbers))
        w, number, integer, boolean = one(self.size), one(), one(dtype=tf.int32), one(dtype=tf.bool)
        fits = Fits(
            w=w,
            z=one(numbers),
            norms=w,
            state=DampingState(number, number, number),
            before=w,
            has_before=boolean,
            attempts=integer,
            predicted=number,
            steps=integer,
            code=integer,
            measured=Measured(*[number] * len(Measured._fields)),
        )
        count = tf.TensorSpec([], tf.int32)

        def graph(function, *specs):
            return tf.function(function, autograph=False).get_concrete_function(*specs)

        self.begin = graph(self._begin, w, data)
        self.go_on = graph(self._go_on, fits, data, count, count)
        self.finish = graph(self._finish, w, boolean, data)

    def _begin(self, w, data):
        """The `Fits` at their starts w."""
        w = self._constrained(w)
        number = tf.zeros_like(w[:, 0])
        integer, no = tf.zeros_like(number, tf.int32), tf.zeros_like(number, tf.bool)
        return Fits(
            w=w,
            z=self._outputs(w, data),
            norms=tf.zeros_like(w),
            state=DampingState(number, number + 2, number),
            before=w,
            has_before=no,
            attempts=integer,
            predicted=number,
            steps=integer,
            code=integer,
            measured=Measured(*[number] * len(Measured._fields)),
        )

    def _go_on(self, fits, data, epochs, attempts):
        """The fits after at most so many more attempts each."""

        def unfinished(k, *fits):
            return (k < attempts) & tf.reduce_any(goes_on(Fits(*fits), epochs))

        def body(k, *fits):
            fits = Fits(*fits)
            active = goes_on(fits, epochs)
            of_active = self._attempt(_those(active, fits), self._data_of(active, data))
            return (k + 1, *_put_back(active, of_active, fits))

        return Fits(*tf.while_loop(unfinished, body, (0, *fits))[1:])

    def _attempt(self, fits, data):
        """Every fit after one more attempt of its step."""
        settings, rule, w = self.settings, self.rule, fits.w
        r, J, loss, healthy = self._linearized(w, fits.z, data)
        triangle = triangles_of(J, r)
        columns = triangle[:, :, :-1]
        norms = lengths_of(tf.linalg.matrix_transpose(columns))
        g = tf.linalg.matvec(columns, triangle[:, :, -1], transpose_a=True)
        sloped = tf.reduce_any(g != 0, axis=-1)
        largest = SCALINGS[settings.scaling].norms(fits.norms, norms)
        free = self._free(w, g)
        model = QuadraticModels(triangle, w, scale_of(largest), free)

        state = rule.begin(fits.state, model, self._first_damping(norms, model))
        state = _chosen(fits.attempts == 0, state, fits.state)
        candidate, length, state = rule.propose(state, model)
        # Where the gradient is not finite the weights before come back, with more damping.
        back = ~healthy & fits.has_before
        trial = self._constrained(w + model.direction(candidate))
        trial = _chosen(back, fits.before, trial)
        z = self._outputs(trial, data)
        if settings.bounded:
            candidate = model.of_moved(trial - w)
        along_g, predicted = model.predicted_reduction(candidate)
        gained = _reduction(data, fits.z, z, r)
        rho = gain_ratio(gained, predicted)
        tests = settings.ftol, settings.xtol, settings.gtol
        ftol, xtol, gtol = (tf.constant(tolerance, self.dtype) for tolerance in tests)
        weights_length = model.length_of_weights()
        code = stop_test(gained, predicted, rho, loss, length, weights_length, ftol, xtol)
        accepted = (rho > SMALLEST_GAIN) & _finite(trial) & healthy
        new_state = rule.update(state, Attempt(rho, length, along_g, gained), accepted)
        most_predicted = tf.maximum(fits.predicted, predicted)
        attempts = fits.attempts + 1

        # What the step means for the fit, where it ends here.
        downhill = tf.where(free, tf.abs(g), 0.0)
        cosine = largest_cosine(downhill, norms, loss)
        measured = Measured(
            gain=tf.math.divide_no_nan(tf.maximum(tf.abs(gained), most_predicted), loss),
            length=tf.math.divide_no_nan(length, weights_length),
            cosine=cosine,
            predicted=most_predicted,
            rounding=self._rounding_of_loss(data, fits.z, r, loss),
        )
        is_flat = ~sloped & tf.reduce_all(norms == 0, axis=-1) & (loss != 0)
        found = _Found(accepted, code, gained, new_state)
        at_end = stop_code(found, measured, loss, is_flat, ftol, gtol)
        ended = accepted | (code != StopCode.GOES_ON) | (attempts >= settings.max_attempts)
        # More attempts would be shorter, and gain even less that could be seen.
        ended |= at_end == StopCode.ROUNDING
        plain = accepted & (code == StopCode.GOES_ON) & sloped & ~((gtol > 0) & (cosine <= gtol))
        at_end = tf.where(plain, int(StopCode.GOES_ON), at_end)

        taken_back = rule.take_back(fits.state)
        lost = ~healthy & ~back
        ended |= ~healthy
        code = tf.where(ended, at_end, fits.code)
        code = tf.where(back, int(StopCode.TAKEN_BACK), code)
        code = tf.where(lost, int(StopCode.NO_FINITE_STEP), code)
        moved = accepted | back
        return Fits(
            w=_chosen(moved, trial, w),
            z=_chosen(moved, z, fits.z),
            norms=_chosen(healthy & sloped, largest, fits.norms),
            state=_chosen(back, taken_back, _chosen(healthy, new_state, fits.state)),
            before=_chosen(accepted, w, fits.before),
            has_before=tf.where(ended, accepted, fits.has_before),
            attempts=tf.where(ended, 0, attempts),
            predicted=tf.where(ended, tf.zeros_like(most_predicted), most_predicted),
            steps=fits.steps + tf.cast(ended & ~lost, tf.int32),
            code=code,
            measured=_chosen(ended, measured, fits.measured),
        )

    def _finish(self, w, converged, data):
        """Polished weights, outputs there, and R and q of the rows `[J r]`."""
        if self.settings.polish:
            w = self._polished(w, converged, data)
        z = self._outputs(w, data)
        r, J, _, _ = self._linearized(w, z, data)
        return w, z, triangles_of(J, r)

    def _polished(self, w, converged, data):
        """Gauss-Newton steps from the converged w, as `method/polish.py` takes them for one fit."""

        def improving(k, w, smallest, candidate, go_on):
            return (k <= MAX_STEPS) & tf.reduce_any(go_on)

        def body(k, w, smallest, candidate, go_on):
            polished = w, smallest, candidate, go_on
            step = self._polish_step(*_those(go_on, polished[:3]), self._data_of(go_on, data))
            return (k + 1, *_put_back(go_on, step, polished))

        start = (0, w, tf.fill(tf.shape(w)[:1], tf.constant(np.inf, w.dtype)), w, converged)
        return tf.while_loop(improving, body, start)[1]

    def _polish_step(self, w, smallest, candidate, data):
        """The candidates where they are better than w, the next candidates, and whether to go on.

        Better is a shorter projected residual, `smallest` so far.
        """
        r, J, _, healthy = self._linearized(candidate, self._outputs(candidate, data), data)
        triangle = triangles_of(J, r)
        columns = triangle[:, :, :-1]
        g = tf.linalg.matvec(columns, triangle[:, :, -1], transpose_a=True)
        free = self._free(candidate, g)
        norms = lengths_of(tf.linalg.matrix_transpose(columns))
        model = QuadraticModels(triangle, candidate, scale_of(norms), free)
        c, size, rank = model.undamped()
        s = model.direction(c)
        full = rank == tf.reduce_sum(tf.cast(free, tf.int32), axis=-1)
        better = healthy & full & (size < WORTHWHILE * smallest) & _finite(s)
        return (
            _chosen(better, candidate, w),
            tf.where(better, size, smallest),
            self._constrained(candidate + s),
            better,
        )

    def _data_of(self, mask, data):
        x = data.x if self.networks.shared else _those(mask, data.x)
        return Data(x, *_those(mask, (data.y, data.root)))

    def _outputs(self, w, data):
        return tf.ensure_shape(self.networks.outputs(w, data.x), [None, self.numbers])

    def _linearized(self, w, z, data):
        """r and J with their weights, F, and whether all is finite; zeros where it is not."""
        counts = data.root > 0
        r = tf.where(counts, data.root * (z - data.y), 0.0)
        J = self.networks.jacobian(w, data.x)
        J = tf.ensure_shape(J, [None, self.numbers, self.size])
        J = tf.where(counts[:, :, None], data.root[:, :, None] * J, 0.0)
        loss = tf.reduce_sum(r**2, axis=-1) / 2
        healthy = tf.math.is_finite(loss) & tf.reduce_all(tf.math.is_finite(J), axis=[1, 2])
        r, J = _chosen(healthy, (r, J), (tf.zeros_like(r), tf.zeros_like(J)))
        return r, J, loss, healthy

    def _first_damping(self, norms, model):
        if self.settings.initial_damping != "auto":
            return tf.constant(self.settings.initial_damping, self.dtype)
        if self.rule.first_damping is None:
            return None
        return self.rule.first_damping * tf.reduce_max((norms / model.D) ** 2, axis=-1)

    def _constrained(self, w):
        if not self.settings.bounded:
            return w
        return tf.clip_by_value(w, self.settings.lower, self.settings.upper)

    def _free(self, w, g):
        """Mask of the weights that no bound keeps from moving downhill."""
        if not self.settings.bounded:
            return tf.ones_like(w, tf.bool)
        return ~(((w <= self.settings.lower) & (g > 0)) | ((w >= self.settings.upper) & (g < 0)))

    def _rounding_of_loss(self, data, z, r, loss):
        """What rounding leaves uncertain in a difference of two losses (`convergence.py`)."""
        felt = tf.where(data.root > 0, data.root * z * r, 0.0)
        return 2 * self.eps * (loss + lengths_of(felt))


def goes_on(fits, epochs):
    """Mask of the fits that have steps left, and something to gain."""
    ended = (fits.code > StopCode.GOES_ON) & (fits.code <= StopCode.NO_DESCENT)
    return ~ended & (fits.steps < epochs)


def _reduction(data, before, after, r):
    """`F(w) - F(w + s)` of every fit, in a form that does not cancel (`gain_ratio.py`)."""
    d = tf.where(data.root > 0, data.root * (after - before), 0.0)
    return -tf.reduce_sum(d * (r + d / 2), axis=-1)


def _finite(values):
    return tf.reduce_all(tf.math.is_finite(values), axis=-1)


def _chosen(mask, new, old):
    """For each fit `new` where the mask says so, else `old`; of tensors or structures of them."""

    def one(a, b):
        ones = [1] * (a.shape.rank - 1)
        return tf.where(tf.reshape(mask, [-1, *ones]), a, b)

    return tf.nest.map_structure(one, new, old)


def _those(mask, tensors):
    """Of tensors, or structures of them, the fits that the mask (fits,) names."""
    places = tf.where(mask)[:, 0]
    return tf.nest.map_structure(lambda tensor: tf.gather(tensor, places), tensors)


def _put_back(mask, part, whole):
    """`whole` with what became of `_those`."""
    place = tf.maximum(tf.cumsum(tf.cast(mask, tf.int32)) - 1, 0)

    def one(new, old):
        return _chosen(mask, tf.gather(new, place), old)

    return tf.nest.map_structure(one, part, whole)
