import keras

from .._arguments import positive_integer
from ._axis import axis_argument, axis_from_front
from ._pieces import largest_piece


@keras.saving.register_keras_serializable(package="kerazoo")
class Maxout(keras.layers.Layer):
    """Keeps the largest feature of each group.

    `output[..., u] = max over p of inputs[..., p * num_units + u]`

    After a `Dense` or convolution with `num_units * pieces` outputs this is the maxout unit of
    Goodfellow et al.: a learned, convex, piecewise linear activation. It needs `pieces` times the
    weights of a plain layer, so prefer ReLU where parameters are scarce. Arguments and grouping
    are those of `tfa.layers.Maxout`, which it replaces.

    Where several pieces tie, they share the gradient equally, in graph mode and under XLA, as in
    `tf.reduce_max`.

    Args:
        num_units: Positive integer. Features that remain on `axis`; must divide the number that
            comes in.
        axis: Integer, the axis of the features. It cannot be the batch axis, 0. Default -1.
        **kwargs: `name`, `dtype` and the other arguments of `keras.layers.Layer`.

    Input shape: any with at least two axes, e.g. `(batch, ..., features)`. Dimensions may be
    unknown; a number of features that `num_units` does not divide is then found when data comes.

    Output shape: the same with `num_units` on `axis`.

    Mask: passes through unchanged. Where `axis` is one that the mask marks, e.g. the time axis,
    the output has none: its groups would mix padding and data.

    Raises:
        ValueError: `num_units` is not a positive integer, `axis` is 0 or outside the input's rank,
            or `axis` holds a number of features that `num_units` does not divide.

    Example:

    >>> x = np.array([[1.0, 5.0, 2.0, 4.0]])
    >>> keras.ops.convert_to_numpy(kerazoo.layers.Maxout(2)(x))  # groups (1, 2) and (5, 4)
    array([[2., 5.]], dtype=float32)

    References:
        Goodfellow et al., 2013, Maxout Networks, https://arxiv.org/abs/1302.4389
    """

    def __init__(self, num_units, axis=-1, **kwargs):
        super().__init__(**kwargs)
        self.num_units = positive_integer("num_units", num_units)
        self.axis = axis_argument(axis)
        self.supports_masking = True

    def build(self, input_shape):
        self._feature_axis(input_shape)

    def call(self, inputs):
        return largest_piece(inputs, self.num_units, self._feature_axis(inputs.shape))

    def compute_mask(self, inputs, previous_mask):
        if previous_mask is None or self._feature_axis(inputs.shape) < len(previous_mask.shape):
            return None
        return previous_mask

    def compute_output_shape(self, input_shape):
        axis = self._feature_axis(input_shape)
        return (*input_shape[:axis], self.num_units, *input_shape[axis + 1 :])

    def get_config(self):
        return {**super().get_config(), "num_units": self.num_units, "axis": self.axis}

    def _feature_axis(self, input_shape):
        """The feature axis counted from the front, once the shape is known to fit."""
        axis = axis_from_front(self.axis, input_shape)
        features = input_shape[axis]
        if features is not None and (features == 0 or features % self.num_units):
            raise ValueError(
                "`num_units` must divide the number of features on `axis`. "
                f"Received: num_units={self.num_units}, axis={self.axis}, "
                f"input_shape={tuple(input_shape)}"
            )
        return axis
