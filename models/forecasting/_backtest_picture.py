"""The picture of a backtest."""

import numpy as np

from ..._pictures import import_pyplot

_STYLES = {"seasonal naive": ("C7", ":"), "linear autoregression": ("C0", "--")}


def draw_backtest(path, x, values, origins, by_method, intervals, level, labels):
    """Saves the truth and the forecasts of one feature of one series as PNG.

    Args:
        path: Where to save it.
        x, values: Arrays `(time,)`.
        origins: List of integers.
        by_method: Dictionary of arrays `(origins, horizon, features)`; the first feature is drawn.
        intervals: Pair of such arrays around the first method's forecasts, or None.
        level: Their level.
        labels: Dictionary of `xlabel` and `ylabel`.
    """
    plt = import_pyplot()
    horizon = next(iter(by_method.values())).shape[1]
    shown = []
    for k, origin in enumerate(origins):
        if not shown or origin >= origins[shown[-1]] + horizon:
            shown.append(k)
    first = max(0, origins[0] - 3 * horizon) if origins else 0
    figure, axes = plt.subplots(figsize=(10, 4.5), layout="constrained")
    axes.plot(x[first:], values[first:], color="black", lw=1.2, label="observed")
    for method, found in by_method.items():
        color, style = _STYLES.get(method, ("C3", "-"))
        for k in shown:
            # From the last known value on: a forecast continues its context.
            line = np.concatenate([values[origins[k] - 1 : origins[k]], found[k, :, 0]])
            at = x[origins[k] - 1 : origins[k] + horizon]
            label = method if k == shown[0] else None
            axes.plot(at, line, color=color, ls=style, label=label)
    for k in shown if intervals else []:
        at = x[origins[k] : origins[k] + horizon]
        lower, upper = (end[k, :, 0] for end in intervals)
        label = f"{level:.0%} interval" if k == shown[0] else None
        axes.fill_between(at, lower, upper, color="C3", alpha=0.15, lw=0, label=label)
    for k in shown:
        label = "forecast origin" if k == shown[0] else None
        axes.axvline(x[origins[k] - 1], color="0.8", lw=0.8, label=label)
    axes.set(**labels)
    axes.legend(loc="upper left")
    figure.savefig(path, dpi=120)
    plt.close(figure)
