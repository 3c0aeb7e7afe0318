import keras

from .._arguments import positive_integer
from ._variance_scaling import VarianceScaling


@keras.saving.register_keras_serializable(package="kerazoo")
class ResidualNormal(VarianceScaling):
    """He's normal divided by the root of the number of blocks, for the last kernel of a branch.

    `W ~ N(0, 2 / (fan_in * num_blocks))`

    An initializer sees one kernel, never the additions: with `he_normal` each block
    `x + W2 relu(W1 relu(x))` doubles the mean square, 5.8e14 after 50 blocks. With this one on
    each W2, and `he_normal` on the kernels before it, the whole net multiplies it by about e, for
    any number of blocks. No layer and no normalization is needed; `layers.SkipInit` does it with
    one learned scalar a block.

    Args:
        num_blocks: Positive integer. All residual additions of the network, one after the other;
            a transformer block has two.
        seed: Integer, `keras.random.SeedGenerator`, or `None` (default). Without a seed every
            weight gets values of its own; with an integer every call gives the same.
        input_axes: As in `ActivationNormal`.
        output_axes: As in `ActivationNormal`.

    Raises:
        ValueError: `num_blocks` is not a positive integer.

    Example:

    >>> initializer = kerazoo.initializers.ResidualNormal(num_blocks=50, seed=0)
    >>> round(float(keras.ops.std(initializer((100, 300)))), 2)  # sqrt(2 / 100 / 50)
    0.02

    References:
        Radford et al., 2019, Language Models are Unsupervised Multitask Learners, section 2.3;
        Zhang et al., 2019, Fixup Initialization, https://arxiv.org/abs/1901.09321
    """

    def __init__(self, num_blocks, seed=None, input_axes=None, output_axes=None):
        self.num_blocks = positive_integer("num_blocks", num_blocks)
        scale = 2 / self.num_blocks
        super().__init__(scale, "fan_in", "untruncated_normal", seed, input_axes, output_axes)

    def get_config(self):
        return {**super().get_config(), "num_blocks": self.num_blocks}
