"""The picture of a fitted curve."""

import numpy as np

from ..._pictures import import_pyplot

_DECADES_FOR_LOGARITHM = 2


def draw_curve_fit(path, fit, x, y, sigma):
    """Saves data, curve and 95 % bands as PNG.

    Args:
        path: Where to save it.
        fit: The `CurveFit`.
        x, y: Arrays (n,).
        sigma: Standard deviations of y, a number or (n,).
    """
    plt = import_pyplot()
    low, high = x.min(), x.max()
    logarithmic = low > 0 and np.log10(high / low) >= _DECADES_FOR_LOGARITHM
    grid = np.geomspace(low, high, 400) if logarithmic else np.linspace(low, high, 400)
    bands = fit.bands(grid)
    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    if np.isfinite(bands.observation_lower).all():
        axes.fill_between(
            grid,
            bands.observation_lower,
            bands.observation_upper,
            color="C0",
            alpha=0.12,
            lw=0,
            label="95 % of new observations",
        )
    if np.isfinite(bands.mean_lower).all():
        axes.fill_between(
            grid,
            bands.mean_lower,
            bands.mean_upper,
            color="C0",
            alpha=0.4,
            lw=0,
            label="95 % band of the curve",
        )
    axes.plot(grid, bands.prediction, color="C0", label="curve")
    if sigma.ndim:
        error = sigma * fit.covariance.sigma
        axes.errorbar(x, y, error, fmt=".", color="black", lw=0.8, label="data, with sigma")
    else:
        axes.plot(x, y, ".", color="black", label="data")
    if logarithmic:
        axes.set_xscale("log")
    axes.set(xlabel="x", ylabel="y")
    axes.legend()
    figure.savefig(path, dpi=120)
    plt.close(figure)
