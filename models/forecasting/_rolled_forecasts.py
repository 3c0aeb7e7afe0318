"""Forecasts from many origins of many series, in which no failure costs another origin."""

import keras
import numpy as np
import tensorflow as tf

from ..._arguments import integer_or_none, wrong


class RolledForecasts:
    """Forecasts of all series from their origins; what fails is NaN, with a reason."""

    def __init__(self, data, origins, horizon, failures):
        self.data, self.origins, self.horizon = data, origins, horizon
        self.failures = failures
        self.first_reason = self.first_error = None

    def forecast(self, method, forecaster):
        """`(origins, horizon, features)` of each series."""
        jobs = [(i, origin) for i, own in enumerate(self.origins) for origin in own]
        return self._gathered(self._forecasts(method, forecaster, jobs))

    def refit(self, refit, verbose):
        """The same by a model trained anew at each origin on all series, cut there."""
        rounds = max(map(len, self.origins))
        verbose = 1 if verbose == "auto" else verbose
        progress = keras.utils.Progbar(rounds, verbose=verbose, unit_name="origin")
        found = {}
        for k in range(rounds):
            jobs = [(i, own[k]) for i, own in enumerate(self.origins) if k < len(own)]
            cut = [self.data.values[i][:origin] for i, origin in jobs]
            try:
                model = refit.on(cut[0] if self.data.single else cut)
            except Exception as error:
                for job in jobs:
                    self._failed("forecaster", job, f"refit: {one_line(error)}", error)
            else:
                found |= self._forecasts("forecaster", model, jobs)
            progress.add(1)
        return self._gathered(found)

    def _forecasts(self, method, forecaster, jobs):
        """`{(series, origin): (horizon, features)}` of those that could be made.

        All in one pass. Should that raise an error, then half by half, so that it costs only the
        origins that cause it.
        """
        by_series = {}
        for i, origin in jobs:
            by_series.setdefault(i, []).append(origin)
        cut = [self.data.values[i][: own[-1]] for i, own in by_series.items()]
        try:
            found = forecaster._forecast_origins(cut, list(by_series.values()), self.horizon)
        except (ValueError, ArithmeticError, tf.errors.OpError) as error:
            if len(jobs) == 1:
                self._failed(method, jobs[0], one_line(error), error)
                return {}
            half = len(jobs) // 2
            return self._forecasts(method, forecaster, jobs[:half]) | self._forecasts(
                method, forecaster, jobs[half:]
            )
        each = [one for own in found for one in own]
        forecasts = dict(zip(jobs, each, strict=True))
        for job, one in forecasts.items():
            if not np.isfinite(one).all():
                self._failed(method, job, "what is known here gives no finite forecast")
        return {job: one for job, one in forecasts.items() if np.isfinite(one).all()}

    def _gathered(self, found):
        features = self.data.values[0].shape[1]
        nothing = np.full((self.horizon, features), np.nan)
        return [
            np.array([found.get((i, origin), nothing) for origin in own]).reshape(
                len(own), self.horizon, features
            )
            for i, own in enumerate(self.origins)
        ]

    def _failed(self, method, job, reason, error=None):
        i, origin = job
        key = (ids_of(self.data)[i], origin)
        sentence = f"{method}: {reason}"
        before = self.failures.get(key)
        self.failures[key] = f"{before}; {sentence}" if before else sentence
        self.first_reason = self.first_reason or sentence
        self.first_error = self.first_error or error


def all_origins(data, horizon, start, stride):
    """The origins of each series, and the reasons of series that have none."""
    count = integer_or_none(start)
    if count == 0 or (count is None and data.times(0) is None):
        wanted = (
            "a positive integer, how many observations are known at the first origin, a negative "
            "one, counted from the end of each series, or a date of pandas series with dates"
        )
        raise wrong("start", wanted, start)
    origins, failures = [], {}
    for i, (values, name) in enumerate(zip(data.values, data.names, strict=True)):
        length = len(values)
        first = data.position(i, start, "start") if count is None else count + (count < 0) * length
        own = list(range(first, length - horizon + 1, stride)) if first >= 1 else []
        if not own:
            problem = (
                f"`{name}` must have an observed step before `start`"
                if first < 1
                else f"`{name}` must reach `horizon` steps beyond `start`"
            )
            failures[ids_of(data)[i], first] = (
                f"{problem}. Received: {length} steps, start={start!r}, horizon={horizon}"
            )
        origins.append(own)
    if not any(origins):
        raise ValueError(next(iter(failures.values())))
    return origins, failures


def ids_of(data):
    if data.single:
        return [None]
    return range(len(data.values)) if data.ids is None else data.ids


def in_kind(data, each):
    if data.single:
        return each[0]
    return list(each) if data.ids is None else dict(zip(data.ids, each, strict=True))


def each_of(data, value, name):
    """What belongs to each series, in the order of `data`."""
    if data.single:
        return [value]
    if data.ids is not None and isinstance(value, dict) and set(value) == set(data.ids):
        return [value[one] for one in data.ids]
    if not isinstance(value, (list, tuple)) or len(value) != len(data.values):
        raise wrong(name, f"for {len(data.values)} series, a list of as many", value)
    return list(value)


def one_line(error):
    line = (str(error) or type(error).__name__).splitlines()[0]
    return line if len(line) <= 300 else f"{line[:300]}..."
