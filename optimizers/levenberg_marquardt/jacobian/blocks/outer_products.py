import math

import tensorflow as tf

from ..layer_calls import first_argument
from .block import JacobianBlock
from .explicit import Explicit
from .linear_forms import DenseForm, linear_form
from .positions import (
    PRICE_OF_SUMS,
    as_matrix,
    by_example,
    flat_rows,
    gram_of_sums,
    values_of,
    weighted_sum,
)


class OuterProducts(JacobianBlock):
    """Kernel and bias of a layer that multiplies: `h_t = a_t W + b`."""

    def __init__(self, usage, weights, form, rows, positions):
        self.variables, self.calls = usage
        self.form = form
        self.rows = rows
        outputs = form.size_of_outputs()
        inputs = math.prod(form.layer.kernel.shape) // outputs
        price = 1 if positions == 1 else PRICE_OF_SUMS
        self.product_cost = price * positions**2 * (outputs + inputs / rows**2)
        self.floats_per_row = positions * (outputs + inputs / rows)
        place = {id(weights.variables[i]): k for k, i in enumerate(self.variables)}
        self.kernel = place.get(id(form.layer.kernel))
        self.bias = place.get(id(form.layer.bias))

    @classmethod
    def of(cls, usage, calls, weights, rows):
        """An `Explicit` block where inner products of sums would cost more."""
        layer = calls[0].layer
        form = linear_form(layer)
        if form is None:
            return None
        own, values = {id(weights.variables[i]) for i in usage.variables}, values_of(calls)
        if not own <= {id(layer.kernel), id(layer.bias)} or values is None:
            return None
        positions = values // form.size_of_outputs()
        block = cls(usage, weights, form, rows, positions)
        pays = positions == 1 or block.product_cost < math.prod(layer.kernel.shape)
        return block if pays else Explicit(block, weights)

    def deltas_of(self, call):
        h = call.before_activation
        return [call.outputs[0] if h is None else h]

    def data(self, calls, deltas, values):
        # Keras multiplies integers too, such as the one-hot rows of a lookup.
        x = [tf.cast(first_argument(call), self.form.layer.kernel.dtype) for call in calls]
        a = [self.form.inputs(of_call[:: self.rows]) for of_call in x]
        delta = [self.form.outputs(h_bar) for (h_bar,) in deltas]
        return tf.concat(a, axis=1), by_example(tf.concat(delta, axis=1), self.rows)

    def squares(self, data):
        a, delta = data

        def of_kernel():
            AA = tf.matmul(a, a, transpose_b=True)[:, None]  # (examples, 1, t, u)
            return tf.reduce_sum(AA * tf.matmul(delta, delta, transpose_b=True))

        return self._in_order(of_kernel, lambda: tf.reduce_sum(tf.reduce_sum(delta, axis=2) ** 2))

    def gram(self, data, others, factors):
        (a, delta), (b, epsilon) = data, others
        if a.shape[1] == 1:
            DD = tf.matmul(as_matrix(delta), as_matrix(epsilon), transpose_b=True)

            def of_kernel():
                AA = tf.matmul(factors[self.kernel] * as_matrix(a), as_matrix(b), transpose_b=True)
                if self.rows == 1:
                    return AA * DD
                blocks = [tf.shape(a)[0], self.rows, tf.shape(b)[0], self.rows]
                return tf.reshape(AA[:, None, :, None] * tf.reshape(DD, blocks), tf.shape(DD))

            return self._in_order(of_kernel, lambda: factors[self.bias] * DD)

        def of_kernel():
            flat_b = as_matrix(b)
            return factors[self.kernel] * gram_of_sums(
                lambda a: tf.matmul(a, flat_b, transpose_b=True), a, delta, epsilon
            )

        def of_bias():
            sums = [as_matrix(tf.reduce_sum(d, axis=2)) for d in (delta, epsilon)]
            return factors[self.bias] * tf.matmul(*sums, transpose_b=True)

        return self._in_order(of_kernel, of_bias)

    def mv(self, data, values):
        a, delta = data

        def of_kernel():
            V = self.form.matrix(values[self.kernel])
            aV = tf.matmul(a, V)[:, None]
            return tf.reshape(tf.reduce_sum(aV * delta, axis=[2, 3]), [-1])

        def of_bias():
            b = tf.reshape(values[self.bias], [-1, 1])
            return tf.reshape(tf.matmul(tf.reduce_sum(delta, axis=2), b), [-1])

        return self._in_order(of_kernel, of_bias)

    def transpose_mv(self, data, alpha):
        a, delta = data
        delta = weighted_sum(alpha, delta)

        def of_kernel():
            return self.form.kernels(
                tf.matmul(as_matrix(a), as_matrix(delta), transpose_a=True)[None]
            )

        return self._in_order(of_kernel, lambda: tf.reduce_sum(delta, axis=[0, 1]))

    def explicit_rows(self, data):
        a, delta = data

        def of_kernel():
            if a.shape[1] == 1:  # no sum to make, and thousands of tiny products are slow
                products = a[:, :, :, None] * delta
            else:
                products = tf.einsum("btp,brtq->brpq", a, delta)
            return flat_rows(self.form.kernels(tf.reshape(products, [-1, *products.shape[2:]])))

        return self._in_order(of_kernel, lambda: as_matrix(tf.reduce_sum(delta, axis=2)))

    def columns(self, data):
        a, delta = data
        if a.shape[1] != 1 or type(self.form) is not DenseForm:
            return super().columns(data)
        a, delta = tf.transpose(a[:, 0]), tf.transpose(as_matrix(delta))
        of_rows = tf.repeat(a, self.rows, axis=1) if self.rows > 1 else a
        products = of_rows[:, None] * delta  # (inputs, outputs, rows)
        size = math.prod(products.shape[:2])
        return self._in_order(lambda: tf.reshape(products, [size, -1]), lambda: delta)

    def _in_order(self, of_kernel, of_bias):
        """Both results in the order of `variables`; one of the two may be frozen."""
        results = {self.kernel: of_kernel, self.bias: of_bias}
        return [results[place]() for place in range(len(self.variables))]
