"""Forecasts from where series stand, in their own units; a live state, and the errors expected."""

import contextlib
import warnings

import numpy as np

from ..._arguments import wrong
from ._series_reading import Read, SeriesReading
from .codec import Units
from .forecaster_state import ForecasterState

# From so many origins, at most, the errors by horizon are measured.
_MOST_ORIGINS = 256
_MOST_STEPS = 5000


class Reader(SeriesReading):
    """What a forecaster is asked for once it is trained.

    Args:
        codec, network, global_units: As of `SeriesReading`.
        record: The model's `FitRecord`, whose `variance` undoing a transform needs.
    """

    def __init__(self, codec, network, record, global_units):
        super().__init__(codec, network, global_units)
        self._record = record

    def predict(self, found):
        """For each series the predictions of its own steps, NaN where there are none."""
        arrays = []
        for group in self._groups(found.values, found.names):
            _, predictions, scales = self._begin(*group)
            for values, z, scale in zip(group[0], predictions, scales, strict=True):
                seen = np.isfinite(values).cumsum(axis=0)[:-1] > 0
                if not np.isfinite(z[-1]).all():
                    raise _diverged()
                array = np.full(values.shape, np.nan)
                steps = len(z) - 1
                inverse = self._invert(z[:-1], scale[:-1], 0)
                array[len(array) - steps :] = inverse
                array[1:][~seen] = np.nan
                arrays.append(array)
        return arrays

    def forecast(self, found, horizon, jit_compile):
        """For each series its next `horizon` values."""
        arrays = []
        for group in self._groups(found.values, found.names):
            read, *_ = self._begin(*group)
            arrays += list(self.forecast_from(read, horizon, jit_compile))
        return arrays

    def forecast_from(self, read, horizon, jit_compile=False):
        """`(series, horizon, features)` in the series' own units."""
        z = self._rollout(read, horizon, jit_compile)
        if not np.isfinite(z).all():
            raise _diverged()
        return self._invert(z, read.spread[:, None], slice(horizon))

    def forecast_origins(self, values, origins, horizon):
        """Forecasts of each series from each of its origins, NaN where there is none."""
        arrays = [np.full((len(one), horizon, self._codec.num_features), np.nan) for one in origins]
        for where, read in self._reads(values, origins):
            z = self._rollout(read, horizon)
            for (i, k), one, spread in zip(where, z, read.spread, strict=True):
                if np.isfinite(one).all():
                    # NaN too where undoing the transform leaves float64
                    with contextlib.suppress(ValueError):
                        arrays[i][k] = self._invert(one, spread[None], slice(horizon))
        return arrays

    # A live state

    def warm_up(self, found, state):
        if state is None:
            units = self.units(found.values, found.names)
            read, *_ = self._begin(found.values, units)
            return self._state(read, found.single)
        read = self.resume(state)
        if len(found.values) != len(read.count):
            wanted = f"a state of as many series as `context`, {len(found.values)}"
            raise wrong("state", wanted, state)
        read, *_ = self._read_on(found.values, read, found.names)
        return self._state(read, state.single)

    def step(self, x, state):
        read = self.resume(state)
        x = self._read_step(x, len(read.count))
        read, *_ = self._read_on(list(x[:, None]), read, ["x"] * len(x))
        return self._state(read, state.single)

    def resume(self, state):
        if not isinstance(state, ForecasterState):
            raise wrong("state", "what `warm_up` or `step` returned", state)
        codec = self._codec
        window = (len(state.count), codec.outlook + codec.lookback + 1, codec.num_features)
        widths = [np.shape(one)[1:] for one in state.recurrent]
        expected = [(width,) for width in self._state_widths]
        if np.shape(state.window) != window or widths != expected:
            raise wrong("state", "a state of this model, not of another one", state)
        units = Units(state.location, state.scale)
        return Read(state.recurrent, state.window, state.count, units, state.expected, state.spread)

    def _state(self, read, single):
        if not np.isfinite(read.expected).all():
            raise _diverged()
        prediction = self._invert(read.expected, read.spread, 0)
        recurrent = [np.asarray(one) for one in read.recurrent]
        _, window, count, units, expected, spread = read
        return ForecasterState(
            prediction, recurrent, window, count, *units, expected, spread, single
        )

    def _read_step(self, x, series):
        """One observation of each series as `(series, features)`."""
        features = self._codec.num_features
        expected = (series, features)
        shapes = [expected]
        if series == 1:
            shapes.append((features,))
        if features == 1:
            shapes.append((series,))
        if expected == (1, 1):
            shapes.append(())
        wanted = (
            f"a finite number, or NaN where it is missing, for each of {series} series and "
            f"{features} features, as an array {expected}"
        )
        try:
            array = np.asarray(x)
        except ValueError as error:
            raise wrong("x", wanted, x) from error
        if array.dtype.kind not in "iuf" or array.shape not in shapes or np.isinf(array).any():
            raise wrong("x", wanted, x)
        return array.astype("float64").reshape(expected)

    # The variance of forecasts

    def horizon_variance(self, values):
        """Mean squares of the errors of each step ahead, in the codec's scale.

        `(horizon, features)`, over some origins in the later half of the series. An error beyond
        four robust standard deviations counts as that, so that one outlier does not set them.
        """
        values = [one for one in values if len(one) > 1]
        longest = max(len(one) for one in values)
        horizon = max(1, min(max(2 * self._codec.season, 24), longest // 4))
        values = [one[-_MOST_STEPS:] for one in values[:: max(1, len(values) // _MOST_ORIGINS)]]
        each = _MOST_ORIGINS // len(values) + 1
        origins = [
            np.unique(np.linspace(max(1, len(one) // 2), len(one) - 1, each, dtype=int))
            for one in values
        ]
        errors = []
        for where, read in self._reads(values, origins):
            z = self._rollout(read, horizon)
            # A scale of zero says nothing of the errors.
            spreads = np.where(read.spread > 0, read.spread, np.nan)
            for (i, k), one, spread in zip(where, z, spreads, strict=True):
                start = origins[i][k]
                truth = self._codec.transform.apply(values[i][start : start + horizon])
                error = np.full(one.shape, np.nan)
                error[: len(truth)] = (truth - one[: len(truth)]) / spread
                errors.append(error)
        return _robust_mean_square(np.stack(errors)) if errors else None

    def _rollout(self, read, horizon, jit_compile=False):
        window = self._codec.clean(read.window, read.count)
        return self._inference.rollout(
            read.expected, window, read.count, read.units, read.recurrent, horizon, jit_compile
        )

    def _invert(self, z, spread, steps):
        """In the series' own units; `steps` says how far ahead, beginning with 0."""
        variance = self._record.variance
        if variance is not None:
            last = np.arange(steps.stop) if isinstance(steps, slice) else steps
            growth = np.maximum(1, (np.asarray(last) + 1) / len(variance))[..., None]
            variance = variance[np.minimum(last, len(variance) - 1)] * growth * spread**2
        return self._codec.transform.invert(z, variance)


def _robust_mean_square(errors):
    """Of `(origins, horizon, features)`, NaN where unknown, over the origins."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of a step that was never known
        deviation = 1.4826 * np.nanmedian(np.abs(errors), axis=0)
        limit = np.where(deviation > 0, 4 * deviation, np.inf)
        found = np.nanmean(np.clip(errors, -limit, limit) ** 2, axis=0)
    known = np.isfinite(found).all(axis=1)
    if not known[0]:
        return None
    return found[: known.argmin()] if not known.all() else found


def _diverged():
    """NaN must not pass for a forecast."""
    return ValueError(
        "The model's predictions are not finite. Its weights have diverged: train again with a "
        "smaller learning rate or with `clipnorm`."
    )
