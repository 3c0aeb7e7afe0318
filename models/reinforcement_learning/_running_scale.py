import keras
import numpy as np
from keras import ops

_LARGEST = 10.0


@keras.saving.register_keras_serializable(package="kerazoo")
class RunningScale(keras.layers.Layer):
    """Scales by the mean and the standard deviation of everything shown to `update`."""

    def build(self, input_shape):
        if len(input_shape) > 1:  # Others would be broadcast.
            self.input_spec = keras.layers.InputSpec(axes={-1: input_shape[-1]})
        arguments = {"trainable": False, "dtype": "float64", "autocast": False}
        self.mean = self.add_weight(input_shape[1:], "zeros", name="mean", **arguments)
        self.variance = self.add_weight(input_shape[1:], "ones", name="variance", **arguments)
        self.count = self.add_weight((), "zeros", name="count", **arguments)

    def call(self, x):
        std = ops.sqrt(self.variance + 1e-8)
        scaled = (ops.cast(x, "float64") - self.mean) / std
        return ops.cast(ops.clip(scaled, -_LARGEST, _LARGEST), self.compute_dtype)

    def update(self, values):
        """Takes the rows of `values` (rows, ...) in, exactly, whatever came before."""
        values = np.asarray(values, "float64")
        # `.value`, the bare variable: this runs at every training step.
        mean, variance, count = (w.value for w in (self.mean, self.variance, self.count))
        share = len(values) / (len(values) + count.numpy())
        difference = values.mean(0) - mean.numpy()
        within = (1 - share) * variance.numpy() + share * values.var(0)
        arguments = {"read_value": False}
        variance.assign(within + share * (1 - share) * difference**2, **arguments)
        mean.assign_add(share * difference, **arguments)
        count.assign_add(len(values), **arguments)
