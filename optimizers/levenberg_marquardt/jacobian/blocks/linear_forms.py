"""Layers that multiply by a kernel, as `h_t = a_t W + b` at each position t."""

import math

import keras
import tensorflow as tf

from .positions import by_position, static_product


class DenseForm:
    def __init__(self, layer):
        self.layer = layer

    @classmethod
    def of(cls, layer):
        return cls(layer)

    def size_of_outputs(self):
        return self.layer.kernel.shape[-1]

    def inputs(self, x):
        """a: (examples, positions, inputs)."""
        return by_position(x)

    def outputs(self, h):
        """(rows, positions, outputs)."""
        return by_position(h)

    def matrix(self, kernel):
        """W: (inputs, outputs)."""
        return tf.reshape(kernel, [-1, kernel.shape[-1]])

    def kernels(self, matrices):
        """(rows, inputs, outputs) in the axes of the kernel."""
        return matrices


class ConvForm(DenseForm):
    """A convolution is a dense layer on patches."""

    @classmethod
    def of(cls, layer):
        plain = layer.groups == 1 and layer.data_format == "channels_last"
        # TensorFlow has no dilated patches of volumes.
        plain = plain and (len(layer.kernel_size) < 3 or set(layer.dilation_rate) == {1})
        return cls(layer) if plain else None

    def inputs(self, x):
        layer = self.layer
        size, strides = list(layer.kernel_size), list(layer.strides)
        dilation, padding = list(layer.dilation_rate), layer.padding
        if len(size) == 1:
            if padding == "causal":
                x, padding = tf.pad(x, [[0, 0], [dilation[0] * (size[0] - 1), 0], [0, 0]]), "valid"
            x = x[:, None]
            size, strides, dilation = [1, *size], [1, *strides], [1, *dilation]
        if len(size) == 3:
            sizes = [1, *size, 1], [1, *strides, 1]
            return by_position(tf.extract_volume_patches(x, *sizes, padding.upper()))
        patches = tf.image.extract_patches(
            x, [1, *size, 1], [1, *strides, 1], [1, *dilation, 1], padding.upper()
        )
        return by_position(patches)


class EinsumForm(DenseForm):
    """`EinsumDense` whose labels are positions, inputs and outputs, each in two of the three."""

    @classmethod
    def of(cls, layer):
        if "." in layer.equation:
            return None
        form = cls(layer)
        x, (k, h) = form._x, (form._k, form._h)
        middle, inputs, outputs = form._labels
        plain = (
            x[0] == h[0]
            and sorted(x[1:]) == sorted(middle + inputs)
            and sorted(k) == sorted(inputs + outputs)
            and sorted(h[1:]) == sorted(middle + outputs)
        )
        biased = layer.bias is not None
        return form if plain and not (biased and set(layer.bias_axes) != set(outputs)) else None

    def __init__(self, layer):
        super().__init__(layer)
        terms, self._h = layer.equation.replace(" ", "").split("->")
        self._x, self._k = terms.split(",")
        middle = [i for i in self._h[1:] if i in self._x]
        inputs = [i for i in self._k if i in self._x and i not in self._h]
        self._labels = middle, inputs, [i for i in self._h[1:] if i not in middle]

    def size_of_outputs(self):
        return self._size(self._labels[2])

    def inputs(self, x):
        middle, inputs, _ = self._labels
        return self._arranged(x, self._x, middle, inputs)

    def outputs(self, h):
        middle, _, outputs = self._labels
        return self._arranged(h, self._h, middle, outputs)

    def matrix(self, kernel):
        _, inputs, outputs = self._labels
        kernel = tf.transpose(kernel, [self._k.index(i) for i in inputs + outputs])
        return tf.reshape(kernel, [self._size(inputs), -1])

    def kernels(self, matrices):
        _, inputs, outputs = self._labels
        arranged = inputs + outputs
        split = tf.reshape(matrices, [-1, *(self._size(i) for i in arranged)])
        return tf.transpose(split, [0, *(1 + arranged.index(i) for i in self._k)])

    def _arranged(self, tensor, labels, middle, last):
        order = [labels[0], *middle, *last]
        tensor = tf.transpose(tensor, [labels.index(i) for i in order])
        size = tensor.shape[1 + len(middle) :].num_elements()
        return tf.reshape(tensor, [-1, static_product(tensor.shape[1 : 1 + len(middle)]), size])

    def _size(self, labels):
        return math.prod(self.layer.kernel.shape[self._k.index(i)] for i in labels)


_FORMS = {
    keras.layers.Dense: DenseForm,
    keras.layers.EinsumDense: EinsumForm,
    keras.layers.Conv1D: ConvForm,
    keras.layers.Conv2D: ConvForm,
    keras.layers.Conv3D: ConvForm,
}


def linear_form(layer):
    """How a layer of exactly these classes is `h_t = a_t W + b`; None for others."""
    for kind, form in _FORMS.items():
        # An adapter (LoRA) makes the kernel a sum of variables.
        if type(layer) is kind and isinstance(layer.kernel, keras.Variable):
            return form.of(layer)
    return None
