"""What the command trains, tries out, saves and loads."""

import json
import math
import sys
import warnings
import zipfile
from typing import NamedTuple

import keras
import numpy as np

from ._naive_scale import naive_scale
from .stateful_lstm_forecaster import StatefulLSTMForecaster

# Steps after which values of this period repeat, most often.
_SEASONS = {
    "15 minutes": 96,
    "30 minutes": 48,
    "hour": 24,
    "day": 7,
    "weekday": 5,
    "week": 52,
    "month": 12,
    "quarter": 4,
}
LEVEL = 0.8
ORIGINS = 10  # of a backtest, unless the level or the length of the series wants another number
_NOTE = "kerazoo_command.json"  # in the model's file, beside what Keras puts there


class Plan(NamedTuple):
    """The season, and the part of the series that a model is tried out on."""

    season: int  # 0: none
    origins: int  # to forecast from, 0: no backtest
    stride: int  # steps from one origin to the next
    held_out: int  # steps at the end of each series that the backtest is on


class Intervals(NamedTuple):
    """Forecasts ± `radius` times the series' naive error; a model's file remembers them."""

    level: float
    radius: list  # a number for each step of the horizon
    period: str  # of the series that they are from


def new_model(season, transform, num_values):
    """A forecaster as wide as so many values can teach, and the epochs it should train.

    Settings that beat the seasonal naive forecast on monthly and yearly series of M3, sunspots and
    an hourly load. Of few values, more epochs learn the noise.
    """
    width = 32 if num_values < 5000 else 64
    model = StatefulLSTMForecaster((width,), transform=transform, seasonal_difference=season)
    model.compile(keras.optimizers.Adam(0.002, clipnorm=1.0))
    return model, max(10, min(40, num_values // 2, 200_000 // num_values))


def make_plan(lengths, period, horizon, level, season=None, origins=None):
    """The season and the backtest, those given or what suits the lengths of the series."""
    typical = sorted(lengths)[len(lengths) // 2]
    if season is None:
        season = _SEASONS.get(period, 0)
        season = 0 if typical < 3 * season else season
    if max(lengths) < season + 2:
        which = "there are" if len(lengths) == 1 else "the longest series has"
        raise ValueError(
            f"{which} {max(lengths)} values, and a season of {season} needs at least "
            f"{season + 2}: see --season"
        )
    enough = math.ceil(round(level / (1 - level), 9))  # errors for an interval
    if origins is None:
        # No more than half of the values are held out.
        origins = max(0, min(max(ORIGINS, enough), typical // 2 - horizon + 1))
    elif origins and horizon + origins - 1 > typical - season - 2:
        raise ValueError(
            f"--backtest {origins} with --horizon {horizon} needs at least "
            f"{horizon + origins + season + 1} values, and there are {typical}: give a smaller one "
            "of the two, or --backtest 0 for no intervals"
        )
    if 0 < origins * horizon * len(lengths) < enough:
        raise ValueError(
            f"--level {level:g} needs {enough} errors of a backtest, and {origins} points with "
            f"--horizon {horizon} give {origins * horizon * len(lengths)}: choose a lower level, "
            "or --backtest 0 for no intervals"
        )
    # Errors from far apart are worth more, but not at the price of the training.
    stride = max(1, min(horizon, (typical // 4 - horizon) // max(1, origins - 1)))
    return Plan(season, origins, stride, horizon + (origins - 1) * stride if origins else 0)


def fit(model, series, epochs, held_out=0):
    """Trains on all series without their last `held_out` steps, with one bar over all epochs."""
    known = {name: one.iloc[: max(0, len(one) - held_out)] for name, one in series.items()}
    known = {name: one for name, one in known.items() if one.notna().any()}
    model.fit(known, epochs=epochs, verbose=0, callbacks=[_TrainingBar()])


class _TrainingBar(keras.callbacks.Callback):
    """Keras's bar, over the batches of all epochs; in a file only its end."""

    def on_train_begin(self, logs=None):
        self.done = 0
        self.bar = keras.utils.Progbar(
            self.params["epochs"] * self.params["steps"],
            verbose=1 if sys.stdout.isatty() else 2,
            unit_name="batch",
            stateful_metrics=["loss"],
        )

    def on_train_batch_end(self, batch, logs=None):
        self.done += 1
        self.bar.update(self.done, values=[("loss", logs["loss"])])


def backtest(model, series, horizon, plan):
    """Forecasts what was held out."""
    (*others, last) = series.values()
    with warnings.catch_warnings():
        # What was held out can end as what was trained on did, where series repeat themselves.
        warnings.filterwarnings("ignore", "The model was fitted on values")
        return model.backtest(
            series if others else last,  # of one series the table shows the spread over origins
            horizon,
            start=-plan.held_out,
            stride=plan.stride,
            season_length=max(1, plan.season),
            verbose=0,
        )


def intervals_of(result, level, period):
    """The intervals that the errors of a backtest give new forecasts."""
    return Intervals(level, np.ravel(result.conformal(level).radius).tolist(), period)


def forecast(model, series, horizon, intervals):
    """Frames of the columns `forecast`, `lower`, `upper` by the name of the series."""
    import pandas

    frames = {}
    for name, one in model.forecast(horizon, series).items():
        middle = np.ravel(one)
        radius = np.full(horizon, np.nan)
        if intervals is not None:
            values = series[name].to_numpy()[:, None]
            season = max(1, model.seasonal_difference)
            radius = intervals.radius[:horizon] * naive_scale(values, season, [len(values)])[0]
        lower = middle - radius
        if model.transform:  # of values that are never below 0
            lower = np.maximum(lower, 0.0)
        columns = {"forecast": middle, "lower": lower, "upper": middle + radius}
        frames[name] = pandas.DataFrame(columns, index=one.index)
    return frames


def save_model(path, model, intervals):
    """Saves a model for `keras.saving.load_model`, and its intervals in the same file."""
    model.save(path)
    if intervals is not None:
        with zipfile.ZipFile(path, "a") as file:
            file.writestr(_NOTE, json.dumps(intervals._asdict()))


def load_model(path, transform=None, season=None):
    """A saved forecaster and its `Intervals`, None where its file has none.

    Raises:
        ValueError: it cannot be loaded, or has another transform or season than those given.
    """
    try:
        model = keras.saving.load_model(path)
        with zipfile.ZipFile(path) as file:
            note = json.loads(file.read(_NOTE)) if _NOTE in file.namelist() else None
    except Exception as error:  # whatever a damaged file leads to
        raise ValueError(f"--model {str(path)!r} cannot be loaded: {error}") from error
    if not isinstance(model, StatefulLSTMForecaster):
        raise ValueError(
            f"--model {str(path)!r} is a {type(model).__name__}, no StatefulLSTMForecaster"
        )
    if model.num_features != 1:
        raise ValueError(
            f"--model {str(path)!r} forecasts {model.num_features} values at a time, not one"
        )
    for flag, given, found in (
        ("transform", transform, model.transform),
        ("season", season, model.seasonal_difference),
    ):
        if given is not None and given != found:
            raise ValueError(
                f"--model {str(path)!r} has {flag} {found}, not {given}: leave --{flag} out, or "
                "give another name to train a new model"
            )
    return model, Intervals(**note) if note else None


def check_fits(path, intervals, horizon, level, period):
    """Whether a saved model's intervals are those of the request."""
    wrong = None
    if intervals.period != period:
        wrong = f"is of values one each {intervals.period}; here they are one each {period}"
    elif level not in (None, intervals.level):
        wrong = f"has intervals of --level {intervals.level:g}, not {level:g}"
    elif len(intervals.radius) < horizon:
        wrong = f"has intervals for a --horizon of at most {len(intervals.radius)}, not {horizon}"
    if wrong:
        raise ValueError(f"--model {str(path)!r} {wrong}: give another name to train a new model")
