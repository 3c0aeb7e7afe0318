import warnings
from functools import cached_property

import numpy as np

from ..._arguments import file_path, integers, number, positive_integer, text, wrong
from .._fit_arguments import checked
from ._backtest_picture import draw_backtest
from ._naive_scale import naive_scale
from ._refit import Refit
from ._rolled_forecasts import RolledForecasts, all_origins, each_of, ids_of, in_kind, one_line
from ._score_functions import score_functions
from ._series_set import SeriesSet, read_series
from .baselines import LinearAutoregression, SeasonalNaive
from .conformal_intervals import ConformalIntervals

_DIGITS = {"mase": ".3f", "rmsse": ".3f", "smape": ".2f"}
_TITLES = {"mase": "MASE", "rmse": "RMSE", "rmsse": "RMSSE", "smape": "sMAPE"}
# Fits times coefficients squared: some seconds.
_MOST_BASELINE_WORK = 5e6


class Backtest:
    """Forecasts of known series from many origins, and their errors beside two baselines'.

    `StatefulLSTMForecaster.backtest` makes one. The baselines see the same data: the seasonal
    naive forecast, and a linear autoregression over one season and one step, fitted anew to each
    series at each origin after the forecaster's own transform. What cannot be forecast, or scored,
    at one origin is NaN there and left out of the means; the table says of how many origins.

    What belongs to a series comes as the series did: by itself for one series, in a list for a
    list, in a dictionary by id for a dictionary or a long frame.

    Args:
        series: One series or several, in any form that `StatefulLSTMForecaster.fit` takes.
        origins: List of integers, how many observations each forecast knew; such a list a series
            for several.
        horizon: Positive integer.
        season_length: Positive integer, of the scaled metrics' naive forecast.
        by_method: Dictionary of forecasts `(origins, horizon, features)` by the name of the
            method; of several series, one such array a series.
        metrics: None for `mase` and `rmse`; or "mase", "rmse", "rmsse", "smape", a function
            `f(y_true, y_pred)` or `f(y_true, y_pred, y_train, season_length)`, or a list of such,
            or a dictionary of them by name. Functions get arrays `(horizon, features)`, NaN where
            a value is missing, and `y_train` `(origin, features)`.
        failures: Dictionary of the reasons why there is no forecast, by `(id, origin)`; the id of
            a single series is None, in a list it is the position.

    Attributes:
        forecasts: The first method's, `(origins, horizon, features)`.
        origins, horizon, season_length, by_method, failures: As above.

    Example:

    >>> series = np.sin(np.arange(60) * np.pi / 6)
    >>> model = kerazoo.models.StatefulLSTMForecaster(units=(4,))
    >>> model.compile("adam")
    >>> history = model.fit(series[:40], verbose=0)
    >>> result = model.backtest(series, horizon=6, start=40, stride=7, verbose=0)
    >>> result.origins, result.forecasts.shape
    ([40, 47, 54], (3, 6, 1))
    >>> sorted(result.scores()["seasonal naive"])
    ['mase', 'rmse']
    """

    def __init__(
        self, series, origins, horizon, season_length, by_method, metrics=None, failures=None
    ):
        data = series if isinstance(series, SeriesSet) else read_series(series, min_observed=1)
        self._data = data
        self._values = [np.asarray(values, "float64") for values in data.values]
        self.horizon = positive_integer("horizon", horizon)
        self.season_length = positive_integer("season_length", season_length)
        self._metrics = score_functions(metrics)
        self._origins = [
            self._read_origins(own, len(values))
            for own, values in zip(each_of(data, origins, "origins"), self._values, strict=True)
        ]
        if not isinstance(by_method, dict) or not by_method:
            raise wrong("by_method", "a dictionary of forecasts by method", by_method)
        self._by_method = {
            method: each_of(data, found, "by_method") for method, found in by_method.items()
        }
        for found in self._by_method.values():
            for forecasts, own, values in zip(found, self._origins, self._values, strict=True):
                shape = (len(own), self.horizon, values.shape[1])
                if np.shape(forecasts) != shape:
                    wanted = f"a dictionary of arrays of shape {shape} by method"
                    raise wrong("by_method", wanted, by_method)
        self.origins = in_kind(data, self._origins)
        self.by_method = {name: in_kind(data, found) for name, found in self._by_method.items()}
        self.forecasts = next(iter(self.by_method.values()))
        if failures is not None and not isinstance(failures, dict):
            raise wrong("failures", "a dictionary of reasons by (id, origin), or None", failures)
        self.failures = dict(failures or {})
        self._lowest = None  # that intervals reach
        self._left_out = []  # methods that did not run, and why: a sentence each

    def scores(self):
        """The errors at each origin, NaN where they are not defined.

        Returns:
            `{method: {metric: array (origins,)}}`; of several series, such a dictionary for each
            id, in a list the position.
        """
        by_series = [self._scores_of(i) for i in range(len(self._values))]
        if self._data.single:
            return by_series[0]
        return dict(zip(ids_of(self._data), by_series, strict=True))

    def table(self):
        """The mean of each method's errors over the origins, with the best and the worst.

        Of several series, the mean over the series of each one's mean, so that they count alike.
        """
        origins = sum(map(len, self._origins))
        head = f"{origins} origins, horizon {self.horizon}"
        if not self._data.single:
            head = f"{sum(map(bool, self._origins))} series, {head}"
        first, *others = self._metrics
        title = f"{_title(first):>10}{'[min, max]':>22}"
        rows = [f"{head:<36}{title}" + "".join(f"{_title(name):>12}" for name in others)]
        undefined = []
        for method in self._by_method:
            means = {name: self._means(method, name) for name in self._metrics}
            known = means[first]
            low_high = [format(v, _DIGITS.get(first, ".4g")) for v in _extremes(known)]
            spread = f"[{', '.join(low_high)}]" if low_high else ""
            row = f"{method:<36}{_cell(first, known):>10}{spread:>22}"
            rows.append(row + "".join(f"{_cell(name, means[name]):>12}" for name in others))
            undefined += self._undefined(method, origins)
        return "\n".join(rows + undefined + self._left_out)

    def to_frame(self):
        """All forecasts as a long pandas table, one row a forecast step.

        Returns:
            `pandas.DataFrame` with the columns `unique_id` (of several series), `cutoff` (the time
            of the last known value), `ds` (the time of the step), `feature` (of several features),
            `y` and one for each method. Times are positions where no dates came.

        Raises:
            ImportError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise ImportError("`to_frame` needs pandas: pip install pandas") from error
        parts = []
        for i, (name, origins) in enumerate(zip(ids_of(self._data), self._origins, strict=True)):
            times = self._times(i)
            features = self._values[i].shape[1]
            for k, origin in enumerate(origins):
                steps = np.repeat(np.arange(origin, origin + self.horizon), features)
                columns = {} if self._data.single else {"unique_id": name}
                columns["cutoff"] = times[origin - 1]
                columns["ds"] = times[steps]
                if features > 1:
                    labels = self._data.columns or range(features)
                    columns["feature"] = list(labels) * self.horizon
                columns["y"] = self._truth(i, origin).ravel()
                columns |= {m: found[i][k].ravel() for m, found in self._by_method.items()}
                parts.append(pandas.DataFrame(columns))
        return pandas.concat(parts, ignore_index=True)

    def scale(self, series=None):
        """The unit of errors that `conformal` pools: each series' own naive error.

        The mean of `|y[t] - y[t - m]|` over all that is known, with `m` the season, or 1 where
        that is unknown or 0.

        Args:
            series: The same number of series with what was observed since; None for those of
                this backtest.

        Returns:
            Array `(features,)`, or `(series, features)` for several; NaN where a series has fewer
            than two observed values.
        """
        data = self._data if series is None else read_series(series, min_observed=1)
        scales = [naive_scale(v, self.season_length, [len(v)])[0] for v in data.values]
        return scales[0] if data.single else np.stack(scales)

    def conformal(self, level=0.8):
        """Intervals for new forecasts of these series, from the first method's errors here.

        The errors of all series and origins are pooled, each in units of its series' naive error
        before the origin (see `scale`). New forecasts, `(horizon, features)` or one of them a
        series, get theirs by `result.conformal().interval(forecasts, scale=result.scale())`.

        Args:
            level: Float in (0, 1), the share of values that shall lie within.

        Returns:
            A fitted `ConformalIntervals`.

        Raises:
            ValueError: there are too few errors for `level`.
        """
        found = next(iter(self._by_method.values()))
        truth = [self._truth(i, o) for i, own in enumerate(self._origins) for o in own]
        scale = [
            naive_scale(values, self.season_length, own)
            for values, own in zip(self._values, self._origins, strict=True)
        ]
        return ConformalIntervals(level, self._lowest).fit(
            np.stack(truth), np.concatenate(found), np.concatenate(scale)
        )

    def plot(self, path, xlabel=None, ylabel="value", x=None, series=None, level=None):
        """Saves a picture of the truth and of the forecasts, the first feature, as PNG.

        Of forecasts that overlap only some are shown: each begins where the one before it ended.

        Args:
            path: Where to save it.
            xlabel: String, what the time axis shows, with its unit. Default "time".
            ylabel: String, what the values are, with their unit.
            x: Array `(time,)`, the time of each value. Default: the dates of a pandas series, else
                0, 1, 2, ...
            series: Of several series the one to show: its id, in a list its position.
            level: Float in (0, 1) to show conformal intervals of that level around the forecasts
                of the first method, as new ones would have; they are learned from these errors.

        Raises:
            ImportError: matplotlib is not installed.
        """
        file_path("path", path)
        text("xlabel", xlabel, also=(None,))
        text("ylabel", ylabel)
        number("level", level, above=0, below=1, also=(None,))
        i = self._position(series)
        values, origins = self._values[i][:, 0], self._origins[i]
        if x is None:
            x = self._times(i)
            x = x.to_timestamp() if hasattr(x, "to_timestamp") else x
            xlabel = xlabel or ("time" if self._data.times(i) is not None else "time (steps)")
        x = np.asarray(x)
        if x.shape != (len(values),):
            raise wrong("x", f"an array of {len(values)} times, one a value", x)
        intervals = None
        if level is not None:
            scale = naive_scale(self._values[i], self.season_length, origins)
            found = next(iter(self._by_method.values()))[i]
            intervals = self.conformal(level).interval(found, scale)
        found = {method: forecasts[i] for method, forecasts in self._by_method.items()}
        labels = {"xlabel": xlabel or "time", "ylabel": ylabel}
        draw_backtest(path, x, values, origins, found, intervals, level, labels)

    def _read_origins(self, origins, length):
        if not self._data.single and isinstance(origins, (list, tuple)) and not origins:
            return []  # of a series that is too short
        return list(integers("origins", origins, minimum=1, maximum=length - self.horizon))

    def _truth(self, i, origin):
        return self._values[i][origin : origin + self.horizon]

    def _times(self, i):
        times = self._data.times(i)
        return np.arange(len(self._values[i])) if times is None else times

    def _position(self, series):
        if self._data.single:
            if series is not None:
                raise wrong("series", "None: there is only one series", series)
            return 0
        ids = list(ids_of(self._data))
        if series not in ids:
            known = ", ".join(map(repr, ids[:5])) + (", ..." if len(ids) > 5 else "")
            raise wrong("series", f"the id of the series to show, one of {known}", series)
        return ids.index(series)

    @cached_property
    def _all_scores(self):
        """`{(method, metric): (one array (origins,) a series, the first reason of a NaN)}`"""
        return {
            (method, name): self._score(found, function)
            for method, found in self._by_method.items()
            for name, function in self._metrics.items()
        }

    def _score(self, found, function):
        scores, reason = [], None
        for i, (forecasts, origins) in enumerate(zip(found, self._origins, strict=True)):
            own = np.full(len(origins), np.nan)
            for k, origin in enumerate(origins):
                if np.isnan(forecasts[k]).any():
                    reason = reason or "no forecast, see `failures`"
                    continue
                known = self._values[i][:origin]
                try:
                    own[k] = function(
                        self._truth(i, origin), forecasts[k], known, self.season_length
                    )
                except ValueError as error:
                    reason = reason or one_line(error).partition(". Received:")[0]
            scores.append(own)
        return scores, reason

    def _scores_of(self, i):
        return {
            method: {name: self._all_scores[method, name][0][i].copy() for name in self._metrics}
            for method in self._by_method
        }

    def _means(self, method, name):
        """The defined scores at the origins of one series, or each series' mean of them."""
        scores, _ = self._all_scores[method, name]
        if self._data.single:
            return scores[0][np.isfinite(scores[0])]
        known = [own[np.isfinite(own)] for own in scores]
        return np.array([own.mean() for own in known if len(own)])

    def _undefined(self, method, origins):
        """Sentences about the metrics that some origins do not define."""
        why = {}
        for name in self._metrics:
            scores, reason = self._all_scores[method, name]
            count = origins - sum(int(np.isfinite(own).sum()) for own in scores)
            if count:
                reason = f": {reason}" if reason else ""
                what = f"undefined at {count} of {origins} origins{reason}"
                why.setdefault(what, []).append(_title(name))
        return [f"{method}: {', '.join(names)} {what}" for what, names in why.items()]


def roll_origin(
    model,
    series,
    horizon,
    start,
    stride,
    fit_arguments,
    season_length,
    metrics=None,
    verbose="auto",
):
    """Forecasts `series` from each origin with `model`, or with a copy trained anew there.

    Args:
        model: The forecaster.
        series: One series or several.
        horizon: Positive integer.
        start: The first origin. A positive integer is the number of observations known there, a
            negative one counts from the end of each series (`-horizon`: the last `horizon` values
            are forecast), and a date of pandas series is the last one known.
        stride: Positive integer, the steps from one origin to the next.
        fit_arguments: None, or a dictionary of arguments of `fit` with which a fresh copy is
            trained at each origin: at the k-th one, on all series that have one, each cut there.
        season_length: Positive integer, or None for the model's own season, else 1.
        metrics: As in `Backtest`.
        verbose: "auto", 0, 1 or 2.
    """
    horizon = positive_integer("horizon", horizon)
    stride = positive_integer("stride", stride)
    season_length = positive_integer("season_length", season_length, also=(None,))
    season_length = season_length or model.seasonal_difference or 1
    score_functions(metrics)
    verbose = checked(verbose=verbose)["verbose"]
    columns = getattr(model, "_columns", None)
    data = read_series(series, model.num_features, columns=columns, min_observed=1)
    origins, failures = all_origins(data, horizon, start, stride)
    without_origin = len(failures)
    rolled = RolledForecasts(data, origins, horizon, failures)
    if fit_arguments is None:
        _warn_if_fitted(model, data, origins)
        forecasts = rolled.forecast("forecaster", model)
    else:
        forecasts = rolled.refit(Refit(model, fit_arguments), verbose)
    missing = [k for own in forecasts for k in np.isnan(own).any(axis=(1, 2))]
    if all(missing):
        raise ValueError(
            f"No origin could be forecast. The first reason: {rolled.first_reason}"
        ) from rolled.first_error
    if any(missing) or without_origin:
        _warn_of_failures(sum(missing), len(missing), without_origin, failures)
    by_method = {"forecaster": forecasts}
    naive = SeasonalNaive(season_length)
    by_method["seasonal naive"] = rolled.forecast("seasonal naive", naive)
    linear = LinearAutoregression(season_length + 1, model.transform)
    left_out = []
    if len(missing) * (season_length + 3) ** 2 <= _MOST_BASELINE_WORK:
        by_method["linear autoregression"] = rolled.forecast("linear autoregression", linear)
    else:
        left_out = [f"linear autoregression: left out, {len(missing)} fits would take too long"]
    result = Backtest(
        data,
        in_kind(data, origins),
        horizon,
        season_length,
        {name: in_kind(data, found) for name, found in by_method.items()},
        metrics,
        failures,
    )
    result._left_out = left_out
    # What has a transform is never below 0.
    result._lowest = 0.0 if model.transform else None
    return result


def _warn_if_fitted(model, data, origins):
    seen = sum(
        model._fitted_until(values) > own[0]
        for values, own in zip(data.values, origins, strict=True)
        if own
    )
    if seen:
        which = "the series" if data.single else f"{seen} of {len(data.values)} series"
        warnings.warn(
            f"The model was fitted on values that this backtest forecasts, in {which}: the scores "
            "are too good. Pass `refit=True`, or fit the model on what precedes `start`.",
            UserWarning,
            stacklevel=4,
        )


def _warn_of_failures(missing, origins, without_origin, failures):
    what = [f"{missing} of {origins} origins have no forecast"] if missing else []
    what += [f"there is no origin in {without_origin} of the series"] if without_origin else []
    warnings.warn(
        f"{' and '.join(what)}: these are left out of the scores. The result's "
        f"`failures` holds the reasons; the first: {next(iter(failures.values()))}",
        UserWarning,
        stacklevel=4,
    )


def _title(metric):
    return _TITLES.get(metric, metric)


def _cell(metric, known):
    return format(known.mean(), _DIGITS.get(metric, ".4g")) if len(known) else "nan"


def _extremes(known):
    return (known.min(), known.max()) if len(known) else ()
