import keras

from ._variance_scaling import VarianceScaling


@keras.saving.register_keras_serializable(package="kerazoo")
class EfficientNetDenseKernel(VarianceScaling):
    """The uniform distribution that EfficientNet starts its classifier from.

    `W ~ U(-limit, limit)`, `limit = 1 / sqrt(fan_out)`

    For building EfficientNet and its relatives as published. For a head of your own
    `initialize_output_bias` does more: it begins at the base rate.

    Args:
        seed: Integer, `keras.random.SeedGenerator`, or `None` (default). Without a seed every
            weight gets values of its own; with an integer every call gives the same.
        input_axes: As in `ActivationNormal`.
        output_axes: As in `ActivationNormal`.

    Example:

    >>> initializer = kerazoo.initializers.EfficientNetDenseKernel(seed=0)
    >>> float(keras.ops.max(initializer((1280, 100))))  # 1 / sqrt(100)
    0.099...

    References:
        Tan and Le, 2019, EfficientNet, https://arxiv.org/abs/1905.11946, and its public code
    """

    def __init__(self, seed=None, input_axes=None, output_axes=None):
        super().__init__(1 / 3, "fan_out", "uniform", seed, input_axes, output_axes)
