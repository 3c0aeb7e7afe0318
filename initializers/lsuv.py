import math
from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from .._arguments import positive_integer
from ._layer_calls import intercepted, is_signal, kernel_of, outputs_and_signal, watched_layers
from ._seeds import fresh_seed, read_seed


class LayerVariance(NamedTuple):
    """A row of the report: how often a layer is used, its kernel's factor, its variance now."""

    layer: str
    uses: int
    factor: float
    variance: float


def lsuv(
    model,
    inputs,
    target_variance=1.0,
    tolerance=0.02,
    max_iterations=10,
    orthogonal=True,
    seed=None,
):
    """Scales each kernel of a built model until its layer's pre-activations have unit variance.

    Layer-sequential unit variance: orthogonal kernels first, then layer by layer, in the order in
    which `inputs` pass, `kernel *= sqrt(target_variance / variance)`; the variance is that of all
    entries, before the activation, a fused one too. The one start that is right for any activation
    and any depth without residuals or normalization: a plain ReLU net of 100 layers is within
    5 % of 1, where `he_normal` wanders between 0.04 and 4. It looks at data but not at targets;
    some hundred examples are enough.

    It counts a layer that is used several times by the variance over all its uses. In a residual
    network it makes every branch as large as the first layer, so the sum grows with the number of
    blocks: there take `layers.SkipInit` or `ResidualNormal`. Needless beside normalization layers.

    Works for functional, sequential and subclassed models, in one forward pass and one more for
    each round that shared layers need. It scales dense, einsum and convolution kernels, depthwise,
    separable (the pointwise part) and transposed ones too, `MaxoutDense`, `MaxoutConv2D`, and every
    layer that has a `kernel`; frozen layers, biases, and what recurrent or `TimeDistributed` layers
    run inside stay as they are. Dropout is off.

    Args:
        model: A Keras model.
        inputs: A batch, as the model takes it. Standardized, as for training.
        target_variance: Number above 0. Default 1.
        tolerance: Number above 0, the relative error allowed. Default 0.02.
        max_iterations: Positive integer, how often one layer is scaled before it is given up.
            Default 10. Without biases one is enough.
        orthogonal: Boolean, whether to begin from random orthogonal kernels. Default `True`;
            `False` scales the kernels that are there.
        seed: Integer, `keras.random.SeedGenerator` or `None` (default), for the orthogonal kernels.

    Returns:
        A list with a row `(layer, uses, factor, variance)` for each scaled layer, in order of
        first use.

    Raises:
        ValueError: an argument is out of range, the model has no trainable kernel, or a layer
            cannot be brought to the target: its input is zero or not finite, or its bias alone
            varies more. The model is then what it was before.

    Example:

    >>> layers = [keras.layers.Dense(64, "gelu") for _ in range(30)]
    >>> model = keras.Sequential([keras.Input((20,)), *layers])
    >>> x = np.random.default_rng(0).normal(size=(200, 20))
    >>> report = kerazoo.initializers.lsuv(model, x)
    >>> all(abs(row.variance - 1) < 0.02 for row in report)
    True

    References:
        Mishkin and Matas, 2016, All you need is a good init, https://arxiv.org/abs/1511.06422
    """
    for name, value in (("target_variance", target_variance), ("tolerance", tolerance)):
        if isinstance(value, bool) or not np.isscalar(value) or not 0 < value < math.inf:
            raise ValueError(
                f"`{name}` must be a finite number above 0. Received: {name}={value!r}"
            )
    positive_integer("max_iterations", max_iterations)
    seed = read_seed(seed)
    uses = _uses(model, inputs)
    if not uses:
        raise ValueError(
            "`model` must have a trainable layer with a `kernel`. Received: "
            f"model={model.name} with layers {[layer.name for layer in watched_layers(model)]}"
        )
    before = {layer: kernel_of(layer).numpy() for layer in uses}
    try:
        if orthogonal:
            _make_orthogonal(uses, seed)
        start = {layer: np.linalg.norm(kernel_of(layer)) for layer in uses}
        variances = _Scaling(uses, target_variance, tolerance, max_iterations).run(model, inputs)
    except BaseException:
        for layer, kernel in before.items():
            kernel_of(layer).assign(kernel)
        raise
    return [
        LayerVariance(
            layer.name,
            uses[layer],
            float(np.linalg.norm(kernel_of(layer)) / start[layer]),
            variances[layer],
        )
        for layer in uses
    ]


def _uses(model, inputs):
    """How often the pass uses each layer to be scaled, in order of first use. Builds the model."""
    uses = {}

    def count(layer, call, args, kwargs):
        outputs, signal = outputs_and_signal(layer, call, args, kwargs)
        kernel = kernel_of(layer)
        if kernel is not None and kernel.trainable and layer.trainable and is_signal(signal):
            uses[layer] = uses.get(layer, 0) + 1
        return outputs

    if not model.built:
        model(inputs, training=False)
    with intercepted(watched_layers(model), count):
        model(inputs, training=False)
    return uses


def _make_orthogonal(layers, seed):
    if isinstance(seed, int):
        seed = keras.random.SeedGenerator(seed)
    for layer in layers:
        kernel = kernel_of(layer)
        draw = keras.initializers.Orthogonal(seed=fresh_seed(seed))
        kernel.assign(ops.cast(draw(kernel.shape, dtype="float32"), kernel.dtype))


class _Scaling:
    """Passes over the model in which each kernel is scaled as soon as its layer is reached."""

    def __init__(self, uses, target, tolerance, max_iterations):
        self.uses = uses
        self.target = target
        self.tolerance = tolerance
        self.max_iterations = max_iterations
        self.log_factor = dict.fromkeys(uses, 0.0)
        self.moments = {}  # of each layer's signals in this pass: entries, sum, sum of squares
        self.last = {}  # of each shared layer: its log factor and log variance a pass ago
        self.failure = None

    def run(self, model, inputs):
        for i in range(self.max_iterations):
            self.moments = {layer: np.zeros(3) for layer in self.uses}
            with intercepted(self.uses, self._visit):
                model(inputs, training=False)
            if self.failure:
                raise ValueError(self.failure)
            variances = {layer: self._variance(layer) for layer in self.uses}
            off = [layer for layer in self.uses if not self._is_near(variances[layer])]
            if not off:
                return variances
            if i < self.max_iterations - 1:
                for layer in off:
                    self._follow_secant(layer, variances[layer])
        raise ValueError(_not_reached(off[0], variances[off[0]], self.target, self.max_iterations))

    def _visit(self, layer, call, args, kwargs):
        outputs, signal = outputs_and_signal(layer, call, args, kwargs)
        if self.failure or not is_signal(signal):
            return outputs
        # What several places share is set right for the first in the first pass, as a start.
        alone = self.uses[layer] == 1
        if alone or (layer not in self.last and not self.moments[layer].any()):
            for _ in range(self.max_iterations):
                variance = _variance(*_moments(signal))
                if self._is_near(variance):
                    break
                if not 0 < variance < math.inf:
                    self.failure = _not_scalable(layer, variance)
                    return outputs
                self._scale(layer, 0.5 * math.log(self.target / variance))
                outputs, signal = outputs_and_signal(layer, call, args, kwargs)
            else:
                variance = _variance(*_moments(signal))
                if alone and not self._is_near(variance):
                    self.failure = _not_reached(layer, variance, self.target, self.max_iterations)
        self.moments[layer] += _moments(signal)
        return outputs

    def _follow_secant(self, layer, variance):
        """log variance grows by 2 for each log factor, or more where the layer feeds itself."""
        if not 0 < variance < math.inf:
            raise ValueError(_not_scalable(layer, variance))
        slope, here = 2.0, (self.log_factor[layer], math.log(variance))
        if layer in self.last and here[0] != self.last[layer][0]:
            before = self.last[layer]
            slope = (here[1] - before[1]) / (here[0] - before[0])
        self.last[layer] = here
        slope = min(max(slope, 2.0), 2.0 * self.uses[layer])
        self._scale(layer, (math.log(self.target) - here[1]) / slope)

    def _scale(self, layer, log_factor):
        kernel_of(layer).assign(kernel_of(layer) * math.exp(log_factor))
        self.log_factor[layer] += log_factor

    def _variance(self, layer):
        return _variance(*self.moments[layer])

    def _is_near(self, variance):
        return abs(variance / self.target - 1) <= self.tolerance


def _moments(signal):
    values = np.asarray(ops.convert_to_numpy(ops.cast(signal, "float32")), "float64")
    return np.array([values.size, values.sum(), np.square(values).sum()])


def _variance(entries, total, squares):
    return float(squares / entries - (total / entries) ** 2) if entries else math.nan


def _not_scalable(layer, variance):
    return (
        f"Layer {layer.name!r} cannot be scaled: its pre-activations have a variance of {variance}."
        " Its inputs are constant or not finite. The model is as it was before."
    )


def _not_reached(layer, variance, target, max_iterations):
    return (
        f"Layer {layer.name!r} does not reach the variance {target} in {max_iterations} "
        f"iterations: it is at {variance:.4g}. Its bias may vary more than that by itself; else "
        "raise `max_iterations` or `tolerance`. The model is as it was before."
    )
