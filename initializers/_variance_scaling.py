import keras

from ._seeds import fresh_seed, read_seed


class VarianceScaling(keras.initializers.VarianceScaling):
    """Keras's, with a fresh draw for each weight and only its axes and its seed in the config.

    Being one of Keras's own kind, it is told by `EinsumDense` and `MultiHeadAttention` which axes
    of their kernels are inputs; a shape alone does not say.
    """

    def __init__(self, scale, mode, distribution, seed, input_axes, output_axes):
        super().__init__(scale, mode, distribution, input_axes=input_axes, output_axes=output_axes)
        self.seed = read_seed(seed)

    def __call__(self, shape, dtype=None):
        draw = keras.initializers.VarianceScaling(
            self.scale,
            self.mode,
            self.distribution,
            seed=fresh_seed(self.seed),
            input_axes=self.input_axes,
            output_axes=self.output_axes,
        )
        return draw(shape, dtype)

    def get_config(self):
        return {
            "seed": keras.saving.serialize_keras_object(self.seed),
            "input_axes": self.input_axes,
            "output_axes": self.output_axes,
        }
