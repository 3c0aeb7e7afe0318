"""Forecasts the time series of a CSV file.

    python -m kerazoo.models.forecasting data.csv --time ds --column load --horizon 48 \\
        --season 24 --output forecast.csv --plot forecast.png

This trains a stateful LSTM on the column `load`, whose times are in the column `ds`, and writes
the next 48 values. First it trains on the beginning of the file and forecasts from several points
of its end: the table shows how far off that was, beside a seasonal naive forecast, and the errors
give the intervals.
"""

import csv
import math
import sys
import warnings

import keras

from . import _command_model as models
from ._command_options import check_paths, parser
from ._csv import read_csv
from ._forecast_picture import save_picture


def main(arguments=None):
    """Runs the command; returns its exit status."""
    options = parser(*__doc__.split("\n\n")).parse_args(arguments)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_: print(f"note: {_one_line(message)}")
            _run(options)
    except (ValueError, ImportError, OSError) as error:
        print(f"error: {_one_line(error)}", file=sys.stderr)
        return 2
    return 0


def _one_line(message):
    return " ".join(str(message).split())


def _run(options):
    check_paths(options)
    table = _read(options)
    reused = options.model is not None and options.model.exists()
    model, intervals = (_load if reused else _train)(options, table)
    forecasts = models.forecast(model, table.series, options.horizon, intervals)
    _write(options, table, forecasts)
    if options.plot:
        level = intervals and intervals.level
        season = model.seasonal_difference
        labels = options.time, options.column
        save_picture(options.plot, table.series, forecasts, *labels, level, season)
        print(f"wrote {options.plot}")
    if options.model and not reused:
        models.save_model(options.model, model, intervals)
        print(f"wrote {options.model}")


def _read(options):
    try:
        import pandas  # noqa: F401
    except ImportError:
        raise ImportError("Reading a CSV needs pandas: pip install 'kerazoo[pandas]'") from None
    return read_csv(
        options.file,
        options.time,
        options.column,
        options.id,
        separator=options.separator,
        decimal=options.decimal,
        time_format=options.time_format,
        utc=options.utc,
    )


def _train(options, table):
    """A model trained on all values, and the intervals from a backtest before that."""
    level = options.level or models.LEVEL
    lengths = list(map(len, table.series.values()))
    plan = models.make_plan(
        lengths, table.period, options.horizon, level, options.season, options.backtest
    )
    _describe(options, table, plan.season)
    if not plan.origins and options.backtest is None:
        print("note: there are too few values for a backtest, so the forecast has no intervals")
    keras.utils.set_random_seed(options.seed or 0)
    model, epochs = models.new_model(plan.season, options.transform, sum(lengths))
    epochs = options.epochs or epochs
    if not plan.origins:
        print("\nTraining on all values:", flush=True)
        models.fit(model, table.series, epochs)
        return model, None
    each = " of each series" if len(lengths) > 1 else ""
    print(f"\nTraining on all but the last {plan.held_out} values{each}:", flush=True)
    models.fit(model, table.series, epochs, plan.held_out)
    print(f"\nForecasting from {plan.origins} points of these:", flush=True)
    result = models.backtest(model, table.series, options.horizon, plan)
    print(result.table())
    intervals = models.intervals_of(result, level, table.period)
    print("\nTraining on all values:", flush=True)
    models.fit(model, table.series, max(1, epochs // 4))
    return model, intervals


def _load(options, table):
    """The saved model and its intervals, if they are what is asked for."""
    for flag in ("epochs", "seed", "backtest"):
        if getattr(options, flag) is not None:
            raise ValueError(
                f"--{flag} has no effect: --model {str(options.model)!r} exists and is not trained "
                "again. Give another name to train a new model"
            )
    model, intervals = models.load_model(options.model, options.transform, options.season)
    _describe(options, table, model.seasonal_difference)
    if intervals is None:
        print(f"note: {options.model} holds no intervals, so the forecast has none")
    else:
        models.check_fits(options.model, intervals, options.horizon, options.level, table.period)
    return model, intervals


def _describe(options, table, season):
    series = table.series.values()
    first = min((one.index[:1] for one in series), key=lambda index: index[0])
    last = max((one.index[-1:] for one in series), key=lambda index: index[0])
    start, end = (table.write_times(index)[0] for index in (first, last))
    several = f" in {len(series)} series" if options.id else ""
    print(
        f"{options.file}: {sum(map(len, series))} values of {options.column}{several}, one each "
        f"{table.period} from {start} to {end}"
    )
    for note in table.notes:
        print(f"note: {note}")
    print(f"season: {season or 'none'}")


def _write(options, table, forecasts):
    ids = [options.id] if options.id else []
    with open(options.output, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*ids, options.time, "forecast", "lower", "upper"])
        for name, frame in forecasts.items():
            ids = [name] if options.id else []
            for time, numbers in zip(table.write_times(frame.index), frame.to_numpy(), strict=True):
                texts = ["" if math.isnan(number) else f"{number:.10g}" for number in numbers]
                writer.writerow([*ids, time, *texts])
    print(f"\nwrote {options.output}")


if __name__ == "__main__":
    sys.exit(main())
