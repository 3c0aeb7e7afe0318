import math
import textwrap
from typing import NamedTuple

import numpy as np

from .._arguments import file_path
from .._pictures import import_pyplot

# Between these a deep network still learns with the usual optimizers and learning rates.
LOWEST, HIGHEST = 1e-3, 1e3
_ACTIVATIONS = ("Activation", "ReLU")
MOST_NAMES = 25  # on the axis of a picture; of more layers every second or third is named


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
    mean_square_without_bias: float = math.nan

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
            trainable weights, NaN where it has none; `mean_square_without_bias`: of an output layer
            (NaN elsewhere), whose bias may be at the scale of the targets by design.
        loss: Float, what `fit` would minimise, or None without targets.
        diagnosis: String, one line: what is wrong, where, and what to do about it.

    Example:

    >>> model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4, name="head")])
    >>> report = kerazoo.initializers.signal_propagation(model, np.ones((3, 8)))
    >>> [signal.layer for signal in report.signals]
    ['input', 'head']
    >>> report.diagnosis
    'healthy: ...'
    """

    def __init__(self, signals, loss=None):
        self.signals = list(signals)
        self.loss = loss
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

        In the green band both are well; what is zero or not finite is marked at the lower or the
        upper edge.

        Args:
            path: Where to save it.

        Raises:
            ImportError: matplotlib is not installed.
        """
        file_path("path", path)
        plt = import_pyplot()
        figure, axes = plt.subplots(figsize=(10, 5), layout="constrained")
        depth = np.arange(len(self.signals))
        axes.axhspan(LOWEST, HIGHEST, color="C2", alpha=0.1, lw=0)
        axes.set_yscale("log")
        for label, name, color, style in (
            ("mean square of the signal", "mean_square", "C0", "-o"),
            ("norm of the gradient", "gradient_norm", "C3", "--s"),
        ):
            values = np.array([getattr(signal, name) for signal in self.signals])
            finite = np.isfinite(values)
            shown = np.where(finite & (values > 0), values, np.nan)
            axes.plot(depth, shown, style, color=color, ms=3, label=label)
            # What a logarithm cannot show stands at the edge of the picture.
            for what, where, edge, marker in (
                ("zero", finite & (values == 0), 0.02, "v"),
                ("not finite", ~finite, 0.98, "^"),
            ):
                if where.any():
                    axes.plot(
                        depth[where],
                        np.full(where.sum(), edge),
                        marker,
                        color=color,
                        ms=5,
                        fillstyle="none" if name == "gradient_norm" else "full",
                        transform=axes.get_xaxis_transform(),
                        label=f"{what}: {label}",
                    )
        axes.set_xlabel("layers in the order of the forward pass")
        axes.set_title(_wrapped(self.diagnosis), fontsize=10, loc="left")
        shown = depth[:: -(-len(depth) // MOST_NAMES)]
        names = [_shortened(self.signals[i].layer) for i in shown]
        axes.set_xticks(shown, names, rotation=45, ha="right", rotation_mode="anchor", fontsize=8)
        axes.legend(fontsize=8)
        figure.savefig(path, dpi=120)
        plt.close(figure)


def _shortened(name, longest=20):
    return name if len(name) <= longest else f"…{name[1 - longest :]}"


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
    moving = [s for s in computed if _strength(s) > 0] or computed
    first, last = moving[0], moving[-1]
    gradients = [s.gradient_norm for s in computed]
    if gradients[-1] > 0 and gradients[0] == 0:
        for signal in computed:
            if signal.dead == 1 and (signal.mean_square > 0 or signal.kind in _ACTIVATIONS):
                return (
                    f"dead: every unit of {signal.layer!r} gives 0 for every example, and no "
                    "gradient comes through. Look at its biases and at the scale of its inputs; "
                    "kerazoo.layers.PReLU cannot die."
                )
    largest = max(moving, key=_strength)
    path = f"over {len(computed)} layers"
    if _strength(largest) > HIGHEST * _strength(first):
        times = _strength(largest) / _strength(first)
        return (
            f"exploding: the mean square grows {times:.1e} times {path}, most at "
            f"{largest.layer!r}. {_remedy(signals)}"
        )
    if _strength(last) < LOWEST * _strength(first):
        times = _strength(last) / _strength(first)
        return f"vanishing: the mean square falls to {times:.1e} {path}. {_remedy(signals)}"
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
            "learning rate or the biases' size; kerazoo.layers.PReLU cannot die."
        )
    of_bias = ""
    if last.mean_square > 2 * _strength(last):
        of_bias = f" (with the bias of {last.layer!r}: {last.mean_square:.2g})"
    return (
        f"healthy: the mean square goes from {_strength(first):.2g} to {_strength(last):.2g}"
        f"{of_bias} {path}, the gradient from {gradients[-1]:.2g} back to {gradients[0]:.2g}."
    )


def _strength(signal):
    """The mean square; of an output layer without its bias, which depth has no part in."""
    without_bias = signal.mean_square_without_bias
    return signal.mean_square if math.isnan(without_bias) else without_bias


def _remedy(signals):
    kinds = {signal.kind for signal in signals}
    if kinds & {"Add", "Average", "Subtract"}:
        return (
            "Residual additions are invisible to initializers: end each branch with "
            "kerazoo.layers.SkipInit(), or start its last kernel with "
            "kerazoo.initializers.ResidualNormal(blocks)."
        )
    if kinds & {"Maxout", "MaxoutDense", "MaxoutConv2D"}:
        return (
            "Start the kernels with kerazoo.initializers.MaxoutNormal(pieces), or call "
            "kerazoo.initializers.lsuv(model, inputs)."
        )
    return (
        "Start the kernels with kerazoo.initializers.ActivationNormal(activation), or call "
        "kerazoo.initializers.lsuv(model, inputs); beyond some tens of layers add residual blocks."
    )
