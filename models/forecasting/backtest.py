import keras
import numpy as np

from ..._arguments import file_path, integer_or_none, integers, positive_integer, text, wrong
from ..._pictures import import_pyplot
from .._fit_arguments import checked
from ._read_series import read_series, read_values
from .linear_autoregression import LinearAutoregression
from .mase import mase
from .rmse import rmse
from .seasonal_naive import SeasonalNaive


class Backtest:
    """Forecasts of a known series from many origins, and their errors beside two baselines'.

    `StatefulLSTMForecaster.backtest` makes one. The baselines see the same data: the seasonal
    naive forecast, and a linear autoregression over one season and one step, fitted anew at each
    origin after the forecaster's own transform. A baseline that cannot be had from what is known
    at an origin is NaN there, and so is MASE where the known values never change.

    Attributes:
        series: Array `(time, features)`.
        origins: List of integers, how many observations each forecast knew.
        horizon: Integer.
        season_length: Integer.
        forecasts: Array `(origins, horizon, features)`, the forecaster's.
        by_method: Dict of such arrays by the name of the method, the forecaster's first.

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

    def __init__(self, series, origins, horizon, season_length, by_method):
        self.series = read_values(series, "series")
        self.origins = list(integers("origins", origins, minimum=1, maximum=len(self.series)))
        self.horizon = positive_integer("horizon", horizon)
        self.season_length = positive_integer("season_length", season_length)
        self.by_method = by_method
        shape = (len(self.origins), self.horizon, self.series.shape[1])
        if not isinstance(by_method, dict) or {np.shape(f) for f in by_method.values()} != {shape}:
            raise wrong(
                "by_method", f"a dictionary of arrays of shape {shape} by method", by_method
            )
        self.forecasts = next(iter(by_method.values()))

    def scores(self):
        """`{method: {"mase": (origins,), "rmse": (origins,)}}`, NaN where nothing is observed."""
        return {
            method: {
                "mase": np.array([self._mase(i, f) for i, f in enumerate(forecasts)]),
                "rmse": np.array([self._rmse(i, f) for i, f in enumerate(forecasts)]),
            }
            for method, forecasts in self.by_method.items()
        }

    def table(self):
        """The mean of each method's errors over the origins, with the best and the worst."""
        head = f"{len(self.origins)} origins, horizon {self.horizon}"
        rows = [f"{head:<32}{'MASE':>10}{'[min, max]':>22}{'RMSE':>12}"]
        for method, score in self.scores().items():
            known = score["mase"][np.isfinite(score["mase"])]
            spread = f"[{known.min():.3f}, {known.max():.3f}]" if len(known) else ""
            rows.append(
                f"{method:<32}{_mean(score['mase']):>10.3f}{spread:>22}"
                f"{_mean(score['rmse']):>12.4g}"
            )
        return "\n".join(rows)

    def plot(self, path, xlabel="time (steps)", ylabel="value", x=None):
        """Saves a picture of the truth and of every forecast, the first feature, as PNG.

        Args:
            path: Where to save it.
            xlabel: String, what the time axis shows, with its unit.
            ylabel: String, what the values are, with their unit.
            x: Array `(time,)`, the time of each value. Default 0, 1, 2, ...

        Raises:
            ImportError: matplotlib is not installed.
        """
        file_path("path", path)
        text("xlabel", xlabel)
        text("ylabel", ylabel)
        x = np.arange(len(self.series)) if x is None else np.asarray(x)
        if x.shape != (len(self.series),):
            raise wrong("x", f"an array of {len(self.series)} times, one a value", x)
        plt = import_pyplot()
        first = max(0, self.origins[0] - 3 * self.horizon)
        figure, axes = plt.subplots(figsize=(10, 4.5), layout="constrained")
        axes.plot(x[first:], self.series[first:, 0], color="black", lw=1.2, label="observed")
        styles = {"seasonal naive": ("C7", ":"), "linear autoregression": ("C0", "--")}
        for method, forecasts in self.by_method.items():
            color, style = styles.get(method, ("C3", "-"))
            for i, (origin, forecast) in enumerate(zip(self.origins, forecasts, strict=True)):
                axes.plot(
                    # From the last known value on: a forecast continues its context.
                    x[origin - 1 : origin + self.horizon],
                    np.concatenate([self.series[origin - 1, :1], forecast[:, 0]]),
                    color=color,
                    ls=style,
                    label=method if i == 0 else None,
                )
        for i, origin in enumerate(self.origins):
            axes.axvline(x[origin - 1], color="0.8", lw=0.8, label=None if i else "forecast origin")
        axes.set(xlabel=xlabel, ylabel=ylabel)
        axes.legend(loc="upper left")
        figure.savefig(path, dpi=120)
        plt.close(figure)

    def _truth(self, i):
        return self.series[self.origins[i] : self.origins[i] + self.horizon]

    def _mase(self, i, forecast):
        known = self.series[: self.origins[i]]
        return _or_nan(mase, self._truth(i), forecast, known, self.season_length)

    def _rmse(self, i, forecast):
        return _or_nan(rmse, self._truth(i), forecast)


def _or_nan(measure, *arguments):
    """What cannot be measured at one origin must not cost the others."""
    try:
        return measure(*arguments)
    except ValueError:
        return np.nan


def _mean(values):
    known = values[np.isfinite(values)]
    return known.mean() if len(known) else np.nan


def roll_origin(model, series, horizon, start, stride, fit_arguments, season_length, verbose):
    """Forecasts `series` from each origin with `model`, or with a copy trained anew there."""
    horizon = positive_integer("horizon", horizon)
    if integer_or_none(start) is None:
        wanted = (
            "a positive integer, how many observations are known at the first origin: for a date "
            "of a pandas series, `series.index.get_loc(date)`"
        )
        raise wrong("start", wanted, start)
    start = positive_integer("start", start)
    stride = positive_integer("stride", stride)
    season_length = positive_integer("season_length", season_length)
    arrays, single = read_series(series, model.num_features)
    if not single:
        raise ValueError(
            f"`series` must be one series, not a list. Received: a list of {len(arrays)}"
        )
    values = arrays["series"]
    if start < model.seasonal_difference + 2:
        raise ValueError(
            f"`start` must be at least {model.seasonal_difference + 2}, so that there are two "
            f"differences to begin from. Received: start={start}"
        )
    origins = list(range(start, len(values) - horizon + 1, stride))
    if not origins:
        raise ValueError(
            "`series` must reach `horizon` steps beyond `start`. "
            f"Received: {len(values)} steps, start={start}, horizon={horizon}"
        )
    known = [values[:origin] for origin in origins]
    refit = None if fit_arguments is None else _Refit(model, fit_arguments)
    by_method = {"forecaster": [], "seasonal naive": [], "linear autoregression": []}
    verbose = checked(verbose=verbose)["verbose"]
    verbose = 1 if verbose == "auto" else verbose
    progress = keras.utils.Progbar(len(origins), verbose=verbose, unit_name="origin")
    for context in known:
        forecaster = model if refit is None else refit.on(context)
        by_method["forecaster"].append(forecaster.forecast(horizon, context))
        for name, baseline in (
            ("seasonal naive", SeasonalNaive(season_length)),
            ("linear autoregression", LinearAutoregression(season_length + 1, model.transform)),
        ):
            by_method[name].append(_forecast_or_nan(baseline, horizon, context))
        progress.add(1)
    by_method = {name: np.stack(found) for name, found in by_method.items()}
    return Backtest(values, origins, horizon, season_length, by_method)


def _forecast_or_nan(baseline, horizon, context):
    try:
        if isinstance(baseline, LinearAutoregression):
            baseline.fit(context)
        return baseline.forecast(horizon, context)
    except ValueError:
        return np.full((horizon, context.shape[1]), np.nan)


class _Refit:
    """A fresh model of the same configuration, trained from the same first weights each time.

    It is one model with its weights put back, not a new one for each origin, because that would
    trace its graphs anew each time.
    """

    def __init__(self, model, fit_arguments):
        if not model.compiled:
            raise ValueError(
                "`refit` needs a compiled model: call `compile` first. Received: refit of a model "
                "without optimizer and loss"
            )
        self.model = type(model).from_config(model.get_config())
        optimizer = type(model.optimizer).from_config(model.optimizer.get_config())
        model.compile_alike(self.model, optimizer)
        self.model.optimizer.build(self.model.trainable_variables)
        self.fit_arguments = fit_arguments
        self.variables = [*self.model.variables, *self.model.optimizer.variables]
        self.first = [variable.numpy() for variable in self.variables]

    def on(self, series):
        for variable, value in zip(self.variables, self.first, strict=True):
            variable.assign(value)
        self.model.fit(series, **{"verbose": 0, **self.fit_arguments})
        return self.model
