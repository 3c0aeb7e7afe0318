"""The picture of the command: the end of each series, its forecast and the interval."""

import numpy as np

from ..._pictures import import_pyplot

_MOST_PANELS = 12
_HISTORY = 3  # horizons of it are shown


def check_picture(path):
    """Says before a training what would go wrong after it."""
    pyplot = import_pyplot()
    suffixes = sorted(pyplot.figure().canvas.get_supported_filetypes())
    pyplot.close()
    if path.suffix.lstrip(".").lower() not in suffixes:
        raise ValueError(f"--plot must end in one of .{', .'.join(suffixes)}: it is {str(path)!r}")


def save_picture(path, observed, forecasts, xlabel, ylabel, level, season=0):
    """Draws each series in a panel of its own.

    Args:
        path: Where to save it.
        observed: Dict of pandas Series by name.
        forecasts: Dict of pandas DataFrames `forecast`, `lower`, `upper` by name.
        xlabel, ylabel: What the axes show.
        level: Float, the share of values that the intervals should hold.
        season: Integer; at least two seasons of history are shown.
    """
    pyplot = import_pyplot()
    names = list(observed)[:_MOST_PANELS]
    columns = min(len(names), 1 if len(names) <= 3 else 3 if len(names) > 4 else 2)
    rows = -(-len(names) // columns)
    figure, panels = pyplot.subplots(
        rows,
        columns,
        figsize=(10 if columns < 3 else 14, 4.5 if rows == 1 else 1 + 2.6 * rows),
        layout="constrained",
        squeeze=False,
        sharex=False,
    )
    for panel in panels.flat[len(names) :]:
        panel.axis("off")
    for name, panel in zip(names, panels.flat, strict=False):
        _draw(panel, observed[name], forecasts[name], level, season)
        if len(observed) > 1:
            panel.set_title(name, loc="left", fontsize="medium")
    figure.supxlabel(xlabel, fontsize="medium")
    figure.supylabel(ylabel, fontsize="medium")
    if len(observed) > len(names):
        figure.suptitle(f"the first {len(names)} of {len(observed)} series", fontsize="medium")
    panels[0, 0].legend(loc="upper left", frameon=False, ncols=3, fontsize="small")
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def _draw(panel, observed, forecast, level, season):
    from matplotlib import dates, ticker

    past = observed.iloc[-max(_HISTORY * len(forecast), 2 * season, 8) :]
    x_past, x_next = _axis(past.index), _axis(forecast.index)
    # Single values between missing ones would be no line.
    marker = "." if len(past) + len(forecast) <= 80 else None
    panel.plot(x_past, past, color="black", lw=1.2, marker=marker, ms=4, label="observed")
    known = past.dropna()
    # A forecast continues what is known.
    panel.plot(
        np.concatenate([_axis(known.index[-1:]), x_next]),
        np.concatenate([known.iloc[-1:], forecast["forecast"]]),
        color="C3",
        lw=1.5,
        marker=marker,
        ms=4,
        markevery=slice(1, None),
        label="forecast",
    )
    if np.isfinite(forecast["lower"]).any():
        panel.fill_between(
            x_next,
            forecast["lower"],
            forecast["upper"],
            color="C3",
            alpha=0.2,
            lw=0,
            label=f"{100 * level:g} % interval",
        )
    panel.margins(x=0.01)
    low, high = panel.get_ylim()
    panel.set_ylim(low, high + 0.15 * (high - low))  # room for the legend
    panel.grid(color="0.92")
    panel.spines[["top", "right"]].set_visible(False)
    if np.issubdtype(x_past.dtype, np.datetime64):
        locator = dates.AutoDateLocator(minticks=3, maxticks=9)
        panel.xaxis.set_major_locator(locator)
        formatter = dates.ConciseDateFormatter(locator)
        # The month beside each day, so that only the year is left for the end of the axis.
        formatter.formats[2] = formatter.zero_formats[2] = "%d %b"
        formatter.offset_formats[2] = "%Y"
        panel.xaxis.set_major_formatter(formatter)
    else:
        panel.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))


def _axis(index):
    """Times as matplotlib takes them; those with a UTC offset by their clock."""
    return (index.tz_localize(None) if getattr(index, "tz", None) else index).to_numpy()
