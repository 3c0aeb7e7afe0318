"""What becomes of a signal in 100 layers, and of its gradient? Each start beside the others.

    python scripts/show_signal_propagation.py

Networks of width 256 on a batch of 256 standard normal examples, one that `lsuv` has not seen.
q is the mean square of the last pre-activation, in residual networks of the sum after the last
block; 1 is where it began. Geometric mean [smallest, largest] over the seeds, and the same of the
gradient's norm at the first layer for a random direction of norm 1 at the outputs. The picture
shows the first seed.
"""

import argparse
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

from kerazoo.initializers import ActivationNormal, MaxoutNormal, lsuv, signal_propagation
from kerazoo.layers import MaxoutDense, PReLU
from kerazoo.models import ResidualNetwork

WIDTH = BATCH = 256
SEEDS = 5


def plain(depth, initializer, activation="relu"):
    """The first kernel reads inputs of mean square 1, the others activations."""
    layers = [keras.Input((WIDTH,))]
    for i in range(depth):
        kernel = "lecun_normal" if i == 0 else initializer
        layers.append(keras.layers.Dense(WIDTH, kernel_initializer=kernel, name=f"layer_{i + 1}"))
        layers.append(PReLU() if activation == "prelu" else keras.layers.Activation(activation))
    return keras.Sequential(layers[:-1])


def scaled_by_lsuv(depth):
    model = plain(depth, "he_normal")
    lsuv(model, batch())
    return model


def maxout(pieces, initializer):
    layers = [MaxoutDense(WIDTH, pieces, kernel_initializer=initializer) for _ in range(20)]
    return keras.Sequential([keras.Input((WIDTH,)), *layers])


def residual(blocks, kind):
    return ResidualNetwork((WIDTH,), 1, blocks, WIDTH, kind)


PLAIN = {
    "Glorot, Keras's default": lambda: plain(100, "glorot_uniform"),
    "He": lambda: plain(100, "he_normal"),
    "lsuv": lambda: scaled_by_lsuv(100),
}
PRELU = {
    "He": lambda: plain(100, "he_normal", "prelu"),
    'ActivationNormal("prelu")': lambda: plain(100, ActivationNormal("prelu"), "prelu"),
}
RESIDUAL = {
    "He, 50 blocks": lambda: residual(50, "he"),
    "He": lambda: residual(100, "he"),
    "depth-scaled": lambda: residual(100, "depth_scaled"),
    "SkipInit": lambda: residual(100, "skip_init"),
    "Fixup": lambda: residual(100, "fixup"),
}
MAXOUT = {
    f"{name}, {pieces} pieces": lambda pieces=pieces, make=make: maxout(pieces, make(pieces))
    for pieces in (2, 3, 4, 5)
    for name, make in (("He", lambda _: "he_normal"), ("MaxoutNormal", MaxoutNormal))
}
GROUPS = {
    "plain ReLU, 100 layers": PLAIN,
    "plain PReLU (0.25), 100 layers": PRELU,
    "residual, 100 blocks": RESIDUAL,
    "maxout, 20 layers (q / c)": MAXOUT,
}


def batch():
    return np.random.normal(size=(BATCH, WIDTH)).astype("float32")


def path(model):
    """Mean square and gradient norm of the signal, layer by layer or block by block."""
    signals = signal_propagation(model, batch()).signals
    if isinstance(model, ResidualNetwork):
        signals = [s for s in signals if s.kind == "Add"]
    else:
        signals = [s for s in signals if s.kind in ("Dense", "MaxoutDense")]
    return [s.mean_square for s in signals], [s.gradient_norm for s in signals]


def measure(make, seeds):
    paths = []
    for seed in range(seeds):
        keras.utils.set_random_seed(seed)
        paths.append(path(make()))
    return np.array(paths)  # (seeds, signal | gradient, depth)


def cell(values):
    if not values.all():
        return "0 (the last layer is 0)"
    mean = np.exp(np.mean(np.log(values)))
    return f"{mean:.3g} [{values.min():.2g}, {values.max():.2g}]"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("figures"))
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    picture = options.output / "signal_propagation.png"

    curves = {}
    bar = keras.utils.Progbar(sum(map(len, GROUPS.values())), unit_name="network")
    lines = []
    for group, starts in GROUPS.items():
        lines.append(f"\n{group:<34}{'q':<30}gradient")
        for name, make in starts.items():
            found = measure(make, options.seeds)
            if name.startswith("MaxoutNormal"):
                found[:, 0] /= make().layers[0].kernel_initializer.scale
            curves[group, name] = found[0]
            lines.append(f"  {name:<32}{cell(found[:, 0, -1]):<30}{cell(found[:, 1, 0])}")
            bar.add(1)
    print("\n".join(lines))
    plot(curves, picture)
    print(f"\nWrote {picture}")


def plot(curves, path):
    from matplotlib import pyplot as plt

    groups = list(GROUPS)[:3:2]
    figure, axes = plt.subplots(1, 2, figsize=(11, 4.2), sharey=True, layout="constrained")
    colors = {"Glorot, Keras's default": "C7", "He": "C3", "lsuv": "C0", "depth-scaled": "C1"}
    colors |= {"SkipInit": "C0", "Fixup": "C2"}
    for ax, group in zip(axes, groups, strict=True):
        ax.axhline(1, color="0.8", lw=1)
        for (of, name), (signal, _) in curves.items():
            if of == group and name in colors:
                style = "--" if name == "Fixup" else "-"
                depth = np.arange(1, len(signal) + 1)
                ax.plot(depth, signal, style, color=colors[name], lw=2, label=name)
        ax.set(yscale="log", title=group, xlabel="layer" if "plain" in group else "block")
        ax.legend()
    axes[0].set_ylabel("mean square of the signal")
    figure.savefig(path, dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    main()
