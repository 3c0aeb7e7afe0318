import math

import keras

from .._arguments import integers
from ._seeds import fresh_seed, read_seed


class VarianceScaling(keras.initializers.VarianceScaling):
    """Keras's, with a fresh draw for each weight and only its axes and its seed in the config.

    Because it is one of Keras's own kind, `EinsumDense` and `MultiHeadAttention` of Keras 3.15 tell
    it which axes of their kernels are inputs; the shape alone does not say. Keras's own class has
    known such axes only since then, so the fans are computed here.
    """

    def __init__(self, scale, mode, distribution, seed, input_axes, output_axes):
        super().__init__(scale, mode, distribution)
        self.seed = read_seed(seed)
        if (input_axes is None) != (output_axes is None):
            raise ValueError(
                "`input_axes` and `output_axes` are needed both, or neither. "
                f"Received: input_axes={input_axes!r}, output_axes={output_axes!r}"
            )
        given = input_axes is not None
        self.input_axes = list(integers("input_axes", input_axes)) if given else None
        self.output_axes = list(integers("output_axes", output_axes)) if given else None

    def __call__(self, shape, dtype=None):
        variance = self.scale / self._fan(tuple(shape))
        seed = fresh_seed(self.seed)
        if self.distribution == "uniform":
            limit = math.sqrt(3 * variance)
            return keras.random.uniform(shape, -limit, limit, dtype=dtype, seed=seed)
        return keras.random.normal(shape, stddev=math.sqrt(variance), dtype=dtype, seed=seed)

    def _fan(self, shape):
        axes = self.input_axes if self.mode == "fan_in" else self.output_axes
        if axes is not None:
            if not all(-len(shape) <= axis < len(shape) for axis in axes):
                raise ValueError(
                    "`input_axes` and `output_axes` must be axes of the kernel. Received: "
                    f"{self.input_axes} and {self.output_axes} for a kernel of shape {shape}"
                )
            fan = math.prod(shape[axis] for axis in axes)
        elif len(shape) < 2:
            fan = math.prod(shape)
        else:  # (..., inputs, outputs): each output sums over the taps of each input
            fan = math.prod(shape[:-2]) * shape[-2 if self.mode == "fan_in" else -1]
        return max(1, fan)

    def get_config(self):
        return {
            "seed": keras.saving.serialize_keras_object(self.seed),
            "input_axes": self.input_axes,
            "output_axes": self.output_axes,
        }
