import keras
import numpy as np

from ...layers._arguments import positive_integer
from ._read_series import read_series
from .linear_autoregression import LinearAutoregression
from .mase import mase
from .rmse import rmse
from .seasonal_naive import SeasonalNaive


class Backtest:
    """Forecasts of a known series from many origins, and their errors beside two baselines'.

    `StatefulLSTMForecaster.backtest` makes one. The baselines see the same data: the seasonal
    naive forecast, and a linear autoregression over one season and one step, fitted anew at each
    origin after the forecaster's own transform.

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
    >>> result = model.backtest(series, horizon=6, start=40, stride=7, verbose=0)
    >>> result.origins, result.forecasts.shape
    ([40, 47, 54], (3, 6, 1))
    >>> sorted(result.scores()["seasonal naive"])
    ['mase', 'rmse']
    """

    def __init__(self, series, origins, horizon, season_length, by_method):
        self.series = series
        self.origins = origins
        self.horizon = horizon
        self.season_length = season_length
        self.by_method = by_method
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
        rows = [f"{head:<32}{'MASE':>8}{'[min, max]':>18}{'RMSE':>12}"]
        for method, score in self.scores().items():
            low, high = np.nanmin(score["mase"]), np.nanmax(score["mase"])
            spread = f"[{low:.3f}, {high:.3f}]"
            rows.append(
                f"{method:<32}{np.nanmean(score['mase']):>8.3f}{spread:>18}"
                f"{np.nanmean(score['rmse']):>12.4g}"
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
        plt = import_pyplot()
        x = np.arange(len(self.series)) if x is None else np.asarray(x)
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
        if not self._is_observed(i):
            return np.nan
        known = self.series[: self.origins[i]]
        return mase(self._truth(i), forecast, known, self.season_length)

    def _rmse(self, i, forecast):
        return rmse(self._truth(i), forecast) if self._is_observed(i) else np.nan

    def _is_observed(self, i):
        return np.isfinite(self._truth(i)).any(axis=0).all()


def import_pyplot():
    """matplotlib.pyplot, or one sentence with what to install."""
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError("Pictures need matplotlib: pip install 'kerazoo[plot]'") from error
    return pyplot


def roll_origin(model, series, horizon, start, stride, fit_arguments, season_length, verbose):
    """Forecasts `series` from each origin with `model`, or with a copy trained anew there."""
    for name, value in (
        ("horizon", horizon),
        ("start", start),
        ("stride", stride),
        ("season_length", season_length),
    ):
        positive_integer(name, value)
    arrays, single = read_series(series, model.num_features)
    if not single:
        raise ValueError(
            f"`series` must be one series, not a list. Received: a list of {len(arrays)}"
        )
    values = arrays["series"]
    lags = season_length + 1
    if start < 2 * lags + 1:
        raise ValueError(
            f"`start` must be at least {2 * lags + 1}, so that the linear autoregression beside "
            f"has an equation for each of its coefficients. Received: start={start}, "
            f"season_length={season_length}"
        )
    origins = list(range(start, len(values) - horizon + 1, stride))
    if not origins:
        raise ValueError(
            "`series` must reach `horizon` steps beyond `start`. "
            f"Received: {len(values)} steps, start={start}, horizon={horizon}"
        )
    known = [values[:origin] for origin in origins]
    refit = None if fit_arguments is None else _Refit(model, fit_arguments)
    naive = SeasonalNaive(season_length)
    by_method = {"forecaster": [], "seasonal naive": [], "linear autoregression": []}
    verbose = 1 if verbose == "auto" else verbose
    progress = keras.utils.Progbar(len(origins), verbose=verbose, unit_name="origin")
    for context in known:
        forecaster = model if refit is None else refit.on(context)
        linear = LinearAutoregression(lags, model.transform).fit(context)
        for found, method in zip(by_method.values(), (forecaster, naive, linear), strict=True):
            found.append(method.forecast(horizon, context))
        progress.add(1)
    by_method = {name: np.stack(found) for name, found in by_method.items()}
    return Backtest(values, origins, horizon, season_length, by_method)


class _Refit:
    """A fresh model of the same configuration, trained from the same first weights each time.

    It is one model with its weights put back, not a new one for each origin, because that would
    trace its graphs anew each time.
    """

    def __init__(self, model, fit_arguments):
        if not model.compiled:
            raise ValueError("`refit` needs a compiled model: call `compile` first.")
        self.model = type(model).from_config(model.get_config())
        self.model.compile_from_config(model.get_compile_config())
        self.fit_arguments = fit_arguments
        self.variables = [*self.model.variables, *self.model.optimizer.variables]
        self.first = [variable.numpy() for variable in self.variables]

    def on(self, series):
        for variable, value in zip(self.variables, self.first, strict=True):
            variable.assign(value)
        self.model.fit(series, **{"verbose": 0, **self.fit_arguments})
        return self.model
