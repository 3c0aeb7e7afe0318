import math
from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from .._arguments import boolean, number, positive_integer, wrong
from .._layer_calls import intercepted
from ._batches import inputs_of
from ._layer_signals import is_signal, kernel_of, outputs_and_signal, watched_layers
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

    It counts a kernel that is used several times, by one layer or by layers that share it, by the
    variance over all its uses. In a residual
    network it makes every branch as large as the first layer, so the sum grows with the number of
    blocks: there take `layers.SkipInit` or `ResidualNormal`. Needless beside normalization layers.

    Works for functional, sequential and subclassed models, in one forward pass and one more for
    each round that shared kernels need. It scales dense, einsum and convolution kernels, depthwise,
    separable (the pointwise part) and transposed ones too, `MaxoutDense`, `MaxoutConv2D`, every
    layer that has a `kernel`, and such a layer in `TimeDistributed`; frozen layers, biases, and
    what recurrent layers run inside stay as they are. Dropout is off. Nothing else in the model
    changes, except that one which is not built yet is built.

    Args:
        model: A Keras model.
        inputs: A batch, as the model takes it, standardized as for training; or a
            `tf.data.Dataset`, a `keras.utils.PyDataset` or a PyTorch `DataLoader`, of which the
            first batch is read (of one that is not batched the first 512 examples).
        target_variance: Number above 0. Default 1.
        tolerance: Number above 0, the relative error allowed. Default 0.02.
        max_iterations: Positive integer, how often one layer is scaled before it is given up.
            Default 10. Without biases one is enough.
        orthogonal: Boolean, whether to begin from random orthogonal kernels. Default `True`;
            `False` scales the kernels that are there.
        seed: Integer, `keras.random.SeedGenerator` or `None` (default), for the orthogonal kernels;
            not with `orthogonal=False`.

    Returns:
        A list with a row `(layer, uses, factor, variance)` for each scaled kernel, in order of
        first use, by the name of the layer that used it first.

    Raises:
        ValueError: an argument is out of range, the model has no trainable kernel, a kernel is in a
            `SpectralNormalization`, which sets its scale anew at every step, or a layer cannot be
            brought to the target: its input is zero or not finite, or its bias alone varies more.
            The model is then what it was before.

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
    if not isinstance(model, keras.Model):
        raise wrong("model", "a Keras model", model)
    target_variance = number("target_variance", target_variance, above=0)
    tolerance = number("tolerance", tolerance, above=0)
    max_iterations = positive_integer("max_iterations", max_iterations)
    seed = read_seed(seed)
    if not boolean("orthogonal", orthogonal) and seed is not None:
        raise ValueError(
            "`seed` is for `orthogonal=True`: without orthogonal kernels nothing is drawn. "
            f"Received: orthogonal=False, seed={seed!r}"
        )
    inputs = inputs_of(model, inputs)
    if not model.built:
        model(inputs, training=False)
    kernels = _used_kernels(model, inputs)
    if orthogonal:
        _draw_orthogonal(kernels, seed)
    scaling = _Scaling(kernels, target_variance, tolerance, max_iterations)
    with keras.StatelessScope():  # Until all has come out well the model is only read.
        scaling.run(model, inputs)
    for kernel in kernels:
        kernel.assign()
    return [
        LayerVariance(kernel.name, kernel.uses, math.exp(kernel.log_factor), kernel.variance)
        for kernel in kernels
    ]


class _Kernel:
    """A kernel, the layers that use it, and what one pass after another finds out about it."""

    def __init__(self, variable, name):
        self.variable = variable
        self.name = name  # of the layer that uses it first
        self.layers = []
        self.uses = 0
        self.start = _float64(variable)
        self.log_factor = 0.0
        self.moments = np.zeros(3)  # of its signals in this pass: entries, sum, sum of squares
        self.last = None  # where it is shared: its log factor and log variance a pass ago

    @property
    def variance(self):
        return _variance(*self.moments)

    def scale(self, log_factor):
        self.log_factor += log_factor
        self.assign()

    def assign(self):
        self.variable.assign(self.start * math.exp(self.log_factor))


def _used_kernels(model, inputs):
    """The kernels to be scaled, each once, in the order in which the pass first uses them."""
    kernels = {}

    def count(layer, call, args, kwargs):
        variable = kernel_of(layer)
        before = uses(variable)
        outputs, signal = outputs_and_signal(layer, call, args, kwargs, _touch)
        # A wrapper may hold the kernel of the layer that it has just called.
        counted = variable is None or uses(variable) > before
        if signal is not None and not counted and variable.trainable and layer.trainable:
            kernel = kernels.setdefault(id(variable), _Kernel(variable, layer.name))
            kernel.uses += 1
            if layer not in kernel.layers:
                kernel.layers.append(layer)
        return outputs

    def uses(variable):
        return kernels[id(variable)].uses if id(variable) in kernels else 0

    with keras.StatelessScope(), intercepted(watched_layers(model), "call", count):
        model(inputs, training=False)
    if not kernels:
        raise ValueError(
            "`model` must have a trainable layer with a `kernel`. Received: "
            f"model={model.name} with layers {[layer.name for layer in watched_layers(model)]}"
        )
    for layer in watched_layers(model):
        is_normalized = isinstance(layer, keras.layers.SpectralNormalization)
        if is_normalized and id(kernel_of(layer)) in kernels:
            raise ValueError(
                f"Layer {layer.name!r} is a `SpectralNormalization`, which sets the scale of its "
                "kernel anew at every training step: a scale found here would be lost. To scale "
                "the other layers, set its `trainable` to False for the call."
            )
    return list(kernels.values())


def _touch(tensor):
    return tensor if is_signal(tensor) else None


def _draw_orthogonal(kernels, seed):
    if isinstance(seed, int):
        seed = keras.random.SeedGenerator(seed)
    for kernel in kernels:
        draw = keras.initializers.Orthogonal(seed=fresh_seed(seed))
        kernel.start = _float64(draw(kernel.variable.shape, dtype="float32"))


class _Scaling:
    """Passes over the model in which each kernel is scaled as soon as its layer is reached."""

    def __init__(self, kernels, target, tolerance, max_iterations):
        self.by_layer = {layer: kernel for kernel in kernels for layer in kernel.layers}
        self.kernels = kernels
        self.target = target
        self.tolerance = tolerance
        self.max_iterations = max_iterations

    def run(self, model, inputs):
        for kernel in self.kernels:
            kernel.assign()
        for i in range(self.max_iterations):
            for kernel in self.kernels:
                kernel.moments = np.zeros(3)
            with intercepted(self.by_layer, "call", self._visit):
                model(inputs, training=False)
            off = [kernel for kernel in self.kernels if not self._is_near(kernel.variance)]
            if not off:
                return
            if i < self.max_iterations - 1:
                for kernel in off:
                    self._follow_secant(kernel)
        raise ValueError(self._not_reached(off[0].name, off[0].variance))

    def _visit(self, layer, call, args, kwargs):
        outputs, signal = outputs_and_signal(layer, call, args, kwargs, _touch)
        if signal is None:
            return outputs
        kernel = self.by_layer[layer]
        # What several places share is set right for the first in the first pass, as a start.
        alone = kernel.uses == 1
        if alone or (kernel.last is None and not kernel.moments.any()):
            for _ in range(self.max_iterations):
                variance = _variance(*_moments(signal))
                if self._is_near(variance):
                    break
                if not 0 < variance < math.inf:
                    raise ValueError(_not_scalable(layer.name, variance))
                kernel.scale(0.5 * math.log(self.target / variance))
                outputs, signal = outputs_and_signal(layer, call, args, kwargs, _touch)
            else:
                variance = _variance(*_moments(signal))
                if alone and not self._is_near(variance):
                    raise ValueError(self._not_reached(layer.name, variance))
        kernel.moments += _moments(signal)
        return outputs

    def _follow_secant(self, kernel):
        """log variance grows by 2 for each log factor, or more where the layer feeds itself."""
        if not 0 < kernel.variance < math.inf:
            raise ValueError(_not_scalable(kernel.name, kernel.variance))
        slope, here = 2.0, (kernel.log_factor, math.log(kernel.variance))
        if kernel.last is not None and here[0] != kernel.last[0]:
            slope = (here[1] - kernel.last[1]) / (here[0] - kernel.last[0])
        kernel.last = here
        slope = min(max(slope, 2.0), 2.0 * kernel.uses)
        kernel.scale((math.log(self.target) - here[1]) / slope)

    def _is_near(self, variance):
        return abs(variance / self.target - 1) <= self.tolerance

    def _not_reached(self, name, variance):
        return (
            f"Layer {name!r} does not reach the variance {self.target} in {self.max_iterations} "
            f"iterations: it is at {variance:.4g}. Its bias may vary more than that by itself; "
            "else raise `max_iterations` or `tolerance`. The model is as it was before."
        )


def _moments(signal):
    values = _float64(signal)
    return np.array([values.size, values.sum(), np.square(values).sum()])


def _variance(entries, total, squares):
    return float(squares / entries - (total / entries) ** 2) if entries else math.nan


def _not_scalable(name, variance):
    return (
        f"Layer {name!r} cannot be scaled: its pre-activations have a variance of {variance}."
        " Its inputs are constant or not finite. The model is as it was before."
    )


def _float64(tensor):
    return np.asarray(ops.convert_to_numpy(tensor), "float64")
