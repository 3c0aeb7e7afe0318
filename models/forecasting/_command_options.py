"""The arguments of the command, and what can be wrong with them."""

import argparse
import math
import os
import pathlib

from ._command_model import ORIGINS
from ._forecast_picture import check_picture


def parser(summary, example, method):
    """The command's `ArgumentParser`; the texts are what `--help` shows above the arguments."""
    found = _Parser(
        prog="python -m kerazoo.models.forecasting",
        usage="%(prog)s \\\n"
        "           FILE --time COLUMN --column COLUMN --horizon STEPS [options]",
        description=f"{summary}\n\nExample:\n\n{example}\n\n{method}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="TensorFlow writes messages of its own to stderr, where errors go too. The "
        "environment variable\nTF_CPP_MIN_LOG_LEVEL=3 leaves few of them.",
    )
    path = pathlib.Path
    found.add_argument(
        "file",
        metavar="FILE",
        type=path,
        help="CSV file in UTF-8 with a header, oldest times first",
    )

    add = found.add_argument_group("what to forecast").add_argument
    add("--time", required=True, metavar="COLUMN", help="the column of times")
    add("--column", required=True, metavar="COLUMN", help="the column of values")
    add("--id", metavar="COLUMN", help="the column that says whose value it is, for many series")
    add("--horizon", required=True, type=_positive, metavar="STEPS", help="values to forecast")
    season = (
        "steps after which the values repeat, 0 for none (default: by the times, 24 for hours, "
        "7 for days, 12 for months)"
    )
    add("--season", type=_whole, metavar="STEPS", help=season)
    level = "share of the values that intervals should hold (default: 0.8, or that of --model)"
    add("--level", type=_level, metavar="SHARE", help=level)

    add = found.add_argument_group(
        "what to write (an existing file only with --force)"
    ).add_argument
    output = "the forecast with its times and intervals (default: %(default)s)"
    add("--output", type=path, default="forecast.csv", metavar="CSV", help=output)
    add("--plot", type=path, metavar="PNG", help="a picture of it")
    model = "saves the trained model; if the file exists, it is loaded and nothing is trained"
    add("--model", type=path, metavar="KERAS", help=model)
    add("--force", action="store_true", help="overwrite --output and --plot")

    add = found.add_argument_group("how to train").add_argument
    backtest = (
        "points of the end to forecast from, 0 for none and no intervals (default: "
        f"{ORIGINS}, fewer for short series, more for a high --level; not with a loaded --model)"
    )
    add("--backtest", type=_whole, metavar="N", help=backtest)
    add("--transform", choices=("log", "log1p", "sqrt"), help="where changes grow with the values")
    add("--epochs", type=_positive, metavar="N", help="passes over the data (default: by its size)")
    add("--seed", type=_whole, metavar="N", help="of the first weights (default: 0)")

    add = found.add_argument_group("how the file is written").add_argument
    separator = 'between fields: "," (default), ";", tab'
    add("--separator", default=",", type=_separator, metavar="SIGN", help=separator)
    decimal = 'decimal sign; then 1.234,5 is read with "," too'
    add("--decimal", choices=(".", ","), metavar="SIGN", help=decimal)
    time_format = 'of other times than 2024-01-31: "%%d.%%m.%%Y"'
    add("--time-format", metavar="FORMAT", help=time_format)
    add("--utc", action="store_true", help="read times with several UTC offsets as UTC")
    return found


def check_paths(options):
    """Whatever would fail after the training fails before it.

    Raises:
        ValueError: a file to write cannot be written, exists, or is another one too.
    """
    flags = {"--output": options.output, "--plot": options.plot, "--model": options.model}
    seen = {options.file.resolve(): "the CSV file"}
    for flag, path in flags.items():
        if path is None:
            continue
        other = seen.setdefault(path.resolve(), flag)
        if other != flag:
            raise ValueError(f"{flag} {str(path)!r} is {other} too: give it another name")
        if path.is_dir():
            raise ValueError(f"{flag} {str(path)!r} is a folder: give the name of a file")
        if not path.parent.is_dir():
            raise ValueError(f"the folder of {flag} does not exist: {str(path.parent)!r}")
        if flag == "--model" and path.exists():
            continue  # it is read
        if not os.access(path if path.exists() else path.parent, os.W_OK):
            raise ValueError(f"{flag} {str(path)!r} cannot be written: no permission")
        if path.exists() and not options.force:
            raise ValueError(f"{flag} {str(path)!r} exists: pass --force to overwrite it")
    if options.model and options.model.suffix != ".keras":
        raise ValueError(f"--model must end in .keras: it is {str(options.model)!r}")
    if options.plot:
        check_picture(options.plot)


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        """One line, where argparse would put the usage above it."""
        self.exit(2, f"error: {message}; see --help\n")


def _whole(text):
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least 0")
    return int(text)


def _positive(text):
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least 1")
    return int(text)


def _level(text):
    try:
        level = float(text)
    except ValueError:
        level = math.nan
    if not 0 < level < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number between 0 and 1, such as 0.8")
    return level


def _separator(text):
    separator = {"tab": "\t", "\\t": "\t"}.get(text, text)
    if len(separator) != 1 or separator in '"\r\n':
        raise argparse.ArgumentTypeError(f"{text!r} is no single character, nor the word tab")
    return separator
