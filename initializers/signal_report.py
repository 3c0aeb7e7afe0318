import textwrap
from typing import NamedTuple

import numpy as np

from .._pictures import import_pyplot

# Between these a deep network still learns with the usual optimizers and learning rates.
LOWEST, HIGHEST = 1e-3, 1e3


class Signal(NamedTuple):
    """One row: what one use of a layer does to the signal and to the gradient."""

    layer: str
    kind: str
    mean: float
    variance: float
    dead: float
    gradient_norm: float
    weight_norm: float
    weight_gradient_norm: float

    @property
    def mean_square(self):
        return self.variance + self.mean**2


class SignalReport:
    """How a signal and its gradient fare from layer to layer; `signal_propagation` makes one.

    Attributes:
        signals: List of rows, in the order of the forward pass, after the model's inputs.
            `layer`: name; `kind`: class; `mean`, `variance`, `mean_square`: of all entries of what
            the layer computes, before its fused activation if it has one; `dead`: share of units
            (last axis) whose output is 0 for the whole batch; `gradient_norm`: of the loss's
            gradient for that signal; `weight_norm`, `weight_gradient_norm`: of the layer's
            trainable weights, NaN where it has none.
        diagnosis: String, one line: what is wrong, where, and what to do about it.

    Example:

    >>> model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4, name="head")])
    >>> report = kerazoo.initializers.signal_propagation(model, np.ones((3, 8)))
    >>> [signal.layer for signal in report.signals]
    ['input', 'head']
    >>> report.diagnosis
    'healthy: ...'
    """

    def __init__(self, signals):
        self.signals = list(signals)
        self.diagnosis = _diagnosis(self.signals)

    def table(self):
        """The rows as text, and the diagnosis."""
        width = max(20, *(len(signal.layer) for signal in self.signals))
        head = ("mean", "variance", "dead", "|dL/dz|", "|weights|", "|dL/dweights|")
        lines = [f"{'layer':<{width}}" + "".join(f"{name:>14}" for name in head)]
        for s in self.signals:
            numbers = (s.gradient_norm, s.weight_norm, s.weight_gradient_norm)
            lines.append(
                f"{s.layer:<{width}}{s.mean:>14.3g}{s.variance:>14.3g}{s.dead:>14.0%}"
                + "".join(f"{'' if np.isnan(n) else f'{n:.3g}':>14}" for n in numbers)
            )
        return "\n".join([*lines, self.diagnosis])

    def plot(self, path):
        """Saves a picture of signal and gradient over depth, both logarithmic, as PNG.

        Args:
            path: Where to save it.

        Raises:
            ImportError: matplotlib is not installed.
        """
        plt = import_pyplot()
        figure, axes = plt.subplots(figsize=(10, 5), layout="constrained")
        depth = np.arange(len(self.signals))
        axes.axhspan(LOWEST, HIGHEST, color="C2", alpha=0.1, lw=0)
        styles = (("mean square of the signal", "mean_square", "C0", "-o"),)
        styles += (("norm of the gradient", "gradient_norm", "C3", "--s"),)
        for label, name, color, style in styles:
            values = np.array([getattr(signal, name) for signal in self.signals])
            shown = np.where((values > 0) & np.isfinite(values), values, np.nan)
            axes.plot(depth, shown, style, color=color, ms=3, label=label)
        axes.set(yscale="log", xlabel="depth (layers, in the order of the forward pass)")
        axes.set_title(_wrapped(self.diagnosis), fontsize=10, loc="left")
        if len(self.signals) <= 25:
            axes.set_xticks(depth, [s.layer for s in self.signals], rotation=45, ha="right")
        axes.legend()
        figure.savefig(path, dpi=120)
        plt.close(figure)


def _wrapped(text, width=110):
    return "\n".join(textwrap.wrap(text, width))


def _diagnosis(signals):
    for signal in signals:
        if not np.isfinite([signal.mean, signal.variance]).all():
            return (
                f"not finite from {signal.layer!r} on: look for a division, a log or a root there, "
                f"or for a signal that explodes before it. {_remedy(signals)}"
            )
    # The input's own scale is no matter of depth.
    computed = [s for s in signals if s.kind != "Input"] or signals
    moving = [s for s in computed if s.mean_square > 0] or computed
    first, last = moving[0], moving[-1]
    largest = max(moving, key=lambda s: s.mean_square)
    path = f"over {len(computed)} layers"
    if largest.mean_square > HIGHEST * first.mean_square:
        times = largest.mean_square / first.mean_square
        return (
            f"exploding: the mean square grows {times:.1e} times {path}, most at "
            f"{largest.layer!r}. {_remedy(signals)}"
        )
    if last.mean_square < LOWEST * first.mean_square:
        times = last.mean_square / first.mean_square
        return f"vanishing: the mean square falls to {times:.1e} {path}. {_remedy(signals)}"
    gradients = [s.gradient_norm for s in computed]
    if not np.isfinite(gradients).all():
        return f"gradients are not finite. {_remedy(signals)}"
    if gradients[-1] > 0 and gradients[0] == 0:
        stop = max(i for i, g in enumerate(gradients) if g == 0)
        return (
            f"no gradient comes through {computed[stop + 1].layer!r}. Where its weights are zero "
            "by design, as in a zeroed head, that ends with the first step; otherwise units are "
            "dead or an operation has no gradient."
        )
    ratio = gradients[0] / gradients[-1] if gradients[-1] > 0 else 1.0
    if ratio > HIGHEST:
        return (
            f"gradients explode: {ratio:.1e} times larger at the first {path}. {_remedy(signals)}"
        )
    if ratio < LOWEST:
        return f"gradients vanish: {ratio:.1e} of the last at the first {path}. {_remedy(signals)}"
    dead = max(moving, key=lambda s: s.dead)
    if dead.dead > 0.6:
        return (
            f"dead units: {dead.dead:.0%} of {dead.layer!r} give 0 for every example. Lower the "
            "learning rate or the biases' size; layers.PReLU cannot die."
        )
    return (
        f"healthy: the mean square goes from {first.mean_square:.2g} to {last.mean_square:.2g} "
        f"{path}, the gradient from {gradients[-1]:.2g} back to {gradients[0]:.2g}."
    )


def _remedy(signals):
    kinds = {signal.kind for signal in signals}
    if kinds & {"Add", "Average", "Subtract"}:
        return (
            "Residual additions are invisible to initializers: end each branch with "
            "layers.SkipInit(), or start its last kernel with initializers.ResidualNormal(blocks)."
        )
    if kinds & {"Maxout", "MaxoutDense", "MaxoutConv2D"}:
        return "Start the kernels with initializers.MaxoutNormal(pieces), or call lsuv."
    return (
        "Start the kernels with initializers.ActivationNormal(activation), or call "
        "initializers.lsuv(model, inputs); beyond some tens of layers add residual blocks."
    )
