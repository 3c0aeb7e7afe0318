"""The part of the Jacobian's rows that belongs to the weights of one layer.

A row of J is `c^T dz/dw` for one example and one combination c of the outputs. A unit turns what
went into a layer, and the derivatives of the rows in what came out, into its part of the rows.

| unit            | layers                                | its part of a row                     |
|-----------------|---------------------------------------|---------------------------------------|
| `OuterProducts` | Dense, EinsumDense, Conv1D, Conv2D    | kernel `sum_t a_t delta_t^T`,         |
|                 |                                       | bias `sum_t delta_t`                  |
| `Lookup`        | Embedding                             | delta_t in the row looked up          |
| `WrittenOut`    | these where inner products of sums    | written out, (rows, weights)          |
|                 | cost more                             |                                       |
| `Backward`      | all other layers                      | written out, by a backward pass of    |
|                 |                                       | the layer alone for each row          |

The first two never write their rows out: the inner product of two of them is
`sum_tu (a_t . a'_u) (delta_t . delta'_u)`, which costs inputs + outputs of the layer in place of
inputs x outputs. t runs over the positions of a sequence or an image, and over the repeated calls
of a shared layer.
"""

import math

import keras
import tensorflow as tf

from ..._layers_inside import layers_of
from .layer_calls import holds_batch, tensors_of

layers = keras.layers

# Inner products of sums over positions run example by example, at a fraction of matmul speed.
_PRICE_OF_SUMS = 4


class Unit:
    """A part of J. `data` is whatever tensors `data()` returned, one example a row or more.

    Attributes:
        variables: Positions of its variables in the `FlatWeights`.
        calls: Positions of the calls that use them.
        product_cost: Multiplications that the inner product of two rows takes.
        numbers_a_row: That `data` holds.
    """

    def deltas_of(self, call):
        """The tensors of a call in which `data` wants the derivatives of the rows."""
        return [t for t in call.outputs if t.dtype.is_floating]

    def data(self, calls, deltas, values):
        """What to keep of some examples.

        Args:
            calls: The `LayerCall`s, run on each example as often as it has rows.
            deltas: For each of them the derivatives in the tensors of `deltas_of`.
            values: The values of the variables.
        """
        raise NotImplementedError

    def squares(self, data):
        """For each variable the sum of squares over all rows."""
        raise NotImplementedError

    def gram(self, data, others, factors):
        """Inner products of all rows with all others: a matrix for each variable, times factor."""
        raise NotImplementedError

    def product(self, data, values):
        """J times a value of each variable: for each variable (rows,)."""
        raise NotImplementedError

    def combination(self, data, alpha):
        """`J^T alpha` for alpha (examples, rows): for each variable its shape or flat."""
        raise NotImplementedError

    def written_out(self, data):
        """The rows themselves, for each variable (rows, weights)."""
        raise NotImplementedError

    def columns(self, data):
        """The same turned, (weights, rows)."""
        return [tf.transpose(J) for J in self.written_out(data)]


class OuterProducts(Unit):
    """Kernel and bias of a layer that multiplies: `h_t = a_t W + b`."""

    def __init__(self, usage, weights, form, rows, positions):
        self.variables, self.calls = usage
        self.form = form
        self.rows = rows
        outputs = form.size_of_outputs()
        inputs = math.prod(form.layer.kernel.shape) // outputs
        price = 1 if positions == 1 else _PRICE_OF_SUMS
        self.product_cost = price * positions**2 * (outputs + inputs / rows**2)
        self.numbers_a_row = positions * (outputs + inputs / rows)
        place = {id(weights.variables[i]): k for k, i in enumerate(self.variables)}
        self.kernel = place.get(id(form.layer.kernel))
        self.bias = place.get(id(form.layer.bias))

    def deltas_of(self, call):
        h = call.before_activation
        return [call.outputs[0] if h is None else h]

    def data(self, calls, deltas, values):
        # Keras multiplies integers too, such as the one-hot rows of a lookup.
        x = [tf.cast(_first_argument(call), self.form.layer.kernel.dtype) for call in calls]
        a = [self.form.inputs(of_call[:: self.rows]) for of_call in x]
        delta = [self.form.outputs(h_bar) for (h_bar,) in deltas]
        return tf.concat(a, axis=1), _by_example(tf.concat(delta, axis=1), self.rows)

    def squares(self, data):
        a, delta = data

        def of_kernel():
            AA = tf.matmul(a, a, transpose_b=True)[:, None]  # (examples, 1, t, u)
            return tf.reduce_sum(AA * tf.matmul(delta, delta, transpose_b=True))

        return self._in_order(of_kernel, lambda: tf.reduce_sum(tf.reduce_sum(delta, axis=2) ** 2))

    def gram(self, data, others, factors):
        (a, delta), (b, epsilon) = data, others
        if a.shape[1] == 1:
            DD = tf.matmul(_flat(delta), _flat(epsilon), transpose_b=True)

            def of_kernel():
                AA = tf.matmul(factors[self.kernel] * _flat(a), _flat(b), transpose_b=True)
                if self.rows == 1:
                    return AA * DD
                blocks = [tf.shape(a)[0], self.rows, tf.shape(b)[0], self.rows]
                return tf.reshape(AA[:, None, :, None] * tf.reshape(DD, blocks), tf.shape(DD))

            return self._in_order(of_kernel, lambda: factors[self.bias] * DD)

        def of_kernel():
            flat_b = _flat(b)
            return factors[self.kernel] * _gram_of_sums(
                lambda a: tf.matmul(a, flat_b, transpose_b=True), a, delta, epsilon
            )

        def of_bias():
            sums = [_flat(tf.reduce_sum(d, axis=2)) for d in (delta, epsilon)]
            return factors[self.bias] * tf.matmul(*sums, transpose_b=True)

        return self._in_order(of_kernel, of_bias)

    def product(self, data, values):
        a, delta = data

        def of_kernel():
            V = self.form.matrix(values[self.kernel])
            aV = tf.matmul(a, V)[:, None]
            return tf.reshape(tf.reduce_sum(aV * delta, axis=[2, 3]), [-1])

        def of_bias():
            b = tf.reshape(values[self.bias], [-1, 1])
            return tf.reshape(tf.matmul(tf.reduce_sum(delta, axis=2), b), [-1])

        return self._in_order(of_kernel, of_bias)

    def combination(self, data, alpha):
        a, delta = data
        delta = _combined(alpha, delta)

        def of_kernel():
            return self.form.kernels(tf.matmul(_flat(a), _flat(delta), transpose_a=True)[None])

        return self._in_order(of_kernel, lambda: tf.reduce_sum(delta, axis=[0, 1]))

    def written_out(self, data):
        a, delta = data

        def of_kernel():
            if a.shape[1] == 1:  # no sum to make, and thousands of tiny products are slow
                products = a[:, :, :, None] * delta
            else:
                products = tf.einsum("btp,brtq->brpq", a, delta)
            return _flat_rows(self.form.kernels(tf.reshape(products, [-1, *products.shape[2:]])))

        return self._in_order(of_kernel, lambda: _flat(tf.reduce_sum(delta, axis=2)))

    def columns(self, data):
        a, delta = data
        if a.shape[1] != 1 or type(self.form) is not DenseForm:
            return super().columns(data)
        a, delta = tf.transpose(a[:, 0]), tf.transpose(_flat(delta))
        of_rows = tf.repeat(a, self.rows, axis=1) if self.rows > 1 else a
        products = of_rows[:, None] * delta  # (inputs, outputs, rows)
        size = math.prod(products.shape[:2])
        return self._in_order(lambda: tf.reshape(products, [size, -1]), lambda: delta)

    def _in_order(self, of_kernel, of_bias):
        """Both results in the order of `variables`; one of the two may be frozen."""
        results = {self.kernel: of_kernel, self.bias: of_bias}
        return [results[place]() for place in range(len(self.variables))]


class Lookup(Unit):
    """The table of an embedding: `h_t = table[i_t]`."""

    def __init__(self, usage, table, rows, positions):
        self.variables, self.calls = usage
        self.table_length, outputs = table.shape
        self.rows = rows
        self.product_cost = _PRICE_OF_SUMS * positions**2 * outputs
        self.numbers_a_row = positions * outputs

    def data(self, calls, deltas, values):
        ids = [tf.cast(_first_argument(call)[:: self.rows], tf.int32) for call in calls]
        ids = [tf.reshape(i, [-1, _product(i.shape[1:])]) for i in ids]
        delta = [_positions(h_bar) for (h_bar,) in deltas]
        return tf.concat(ids, axis=1), _by_example(tf.concat(delta, axis=1), self.rows)

    def squares(self, data):
        ids, delta = data
        same = tf.cast(ids[:, None, :, None] == ids[:, None, None, :], delta.dtype)
        return [tf.reduce_sum(same * tf.matmul(delta, delta, transpose_b=True))]

    def gram(self, data, others, factors):
        (ids, delta), (other_ids, epsilon) = data, others
        flat = tf.reshape(other_ids, [-1])

        def same(ids):
            return tf.cast(ids[:, None] == flat, delta.dtype)

        return [factors[0] * _gram_of_sums(same, ids, delta, epsilon)]

    def product(self, data, values):
        ids, delta = data
        looked_up = tf.gather(values[0], ids)[:, None]
        return [tf.reshape(tf.reduce_sum(looked_up * delta, axis=[2, 3]), [-1])]

    def combination(self, data, alpha):
        ids, delta = data
        combined = _flat(_combined(alpha, delta))
        return [tf.math.unsorted_segment_sum(combined, tf.reshape(ids, [-1]), self.table_length)]

    def written_out(self, data):
        ids, delta = data
        chosen = tf.one_hot(ids, self.table_length, dtype=delta.dtype)
        rows = tf.einsum("btv,brtq->brvq", chosen, delta)
        return [tf.reshape(rows, [-1, self.table_length * delta.shape[3]])]


class _RowsOfWeights(Unit):
    """Rows written out: `data` is one matrix (rows, weights)."""

    def __init__(self, variables, calls, weights):
        self.variables, self.calls = variables, calls
        self.sizes = [weights.sizes[i] for i in variables]
        self.product_cost = self.numbers_a_row = sum(self.sizes)

    def squares(self, data):
        return [tf.reduce_sum(part**2) for part in self._parts(data)]

    def gram(self, data, others, factors):
        parts = zip(self._parts(data), self._parts(others), factors, strict=True)
        return [tf.matmul(factor * J, other, transpose_b=True) for J, other, factor in parts]

    def product(self, data, values):
        parts = zip(self._parts(data), values, strict=True)
        return [tf.linalg.matvec(J, tf.reshape(value, [-1])) for J, value in parts]

    def combination(self, data, alpha):
        flat = tf.reshape(alpha, [-1])
        return [tf.linalg.matvec(J, flat, transpose_a=True) for J in self._parts(data)]

    def written_out(self, data):
        return self._parts(data)

    def _parts(self, data):
        return tf.split(data[0], self.sizes, axis=1)


class WrittenOut(_RowsOfWeights):
    def __init__(self, factored, weights):
        super().__init__(factored.variables, factored.calls, weights)
        self.factored = factored
        self.numbers_a_row += factored.numbers_a_row

    def deltas_of(self, call):
        return self.factored.deltas_of(call)

    def data(self, calls, deltas, values):
        rows = self.factored.written_out(self.factored.data(calls, deltas, values))
        return (tf.concat(rows, axis=1),)


class Backward(_RowsOfWeights):
    def __init__(self, usage, weights, recorder):
        super().__init__(*usage, weights)
        self.weights = weights
        recorded = [recorder.calls[i] for i in usage.calls]
        tensors = [tensors_of(call.arguments) for call in recorded]
        self.batched = [[holds_batch(t) for t in of_call] for of_call in tensors]
        # TensorFlow cannot run these side by side for many rows: a loop of unknown length, the
        # gradient of a branch, and the filter gradient of a convolution in groups.
        known = all(t.shape[1:].is_fully_defined() for of_call in tensors for t in of_call)
        within = [layer for call in recorded for layer in layers_of(call.layer)]
        loops = any(isinstance(layer, layers.RNN) for layer in within) and not known
        operations = recorder.graph.get_operations()
        kinds = {operations[place].type for call in recorded for place in call.operations}
        branches = not kinds.isdisjoint(("If", "StatelessIf", "Case", "StatelessCase"))
        grouped = any(getattr(layer, "groups", 1) not in (None, 1) for layer in within)
        self.side_by_side = not (loops or branches or grouped)

    def data(self, calls, deltas, values):
        sliced, calls_on = [], []
        for call, batched in zip(calls, self.batched, strict=True):
            tensors = tensors_of(call.arguments)
            sliced.append(_batched_with_masks(tensors, batched))
            calls_on.append(_with_tensors(call, tensors, batched))

        def row(of_row):
            examples, deltas = of_row
            with tf.GradientTape() as tape:
                tape.watch(values)
                with self.weights.scope_of(self.variables, values):
                    total = tf.zeros([], self.weights.dtype)
                    for run, example, delta in zip(calls_on, examples, deltas, strict=True):
                        outputs = [t for t in run(example) if t.dtype.is_floating]
                        for h, h_bar in zip(outputs, delta, strict=True):
                            total += tf.reduce_sum(tf.cast(h[0] * h_bar, total.dtype))
            gradients = tape.gradient(total, values, unconnected_gradients="zero")
            return tf.concat([tf.reshape(g, [-1]) for g in gradients], axis=0)

        rows = (sliced, deltas)
        if self.side_by_side:
            return (tf.vectorized_map(row, rows),)
        signature = tf.TensorSpec([sum(self.sizes)], self.weights.dtype)
        return (tf.map_fn(row, rows, fn_output_signature=signature),)


def make_unit(usage, recorder, rows):
    """The unit for a `Usage` of `find_usages`, with so many rows of J for each example."""
    weights = recorder.weights
    recorded = [recorder.calls[i] for i in usage.calls]
    layer = recorded[0].layer
    own = {id(weights.variables[i]) for i in usage.variables}
    if all(call.layer is layer for call in recorded):
        form = linear_form(layer)
        sizes = [call.outputs[0].shape[1:].num_elements() for call in recorded]
        if form is not None and own <= {id(layer.kernel), id(layer.bias)} and None not in sizes:
            positions = sum(sizes) // form.size_of_outputs()
            unit = OuterProducts(usage, weights, form, rows, positions)
            pays = positions == 1 or unit.product_cost < math.prod(layer.kernel.shape)
            return unit if pays else WrittenOut(unit, weights)
        if type(layer) is layers.Embedding and own == {id(layer.embeddings)} and None not in sizes:
            table = layer.embeddings
            return Lookup(usage, table, rows, sum(sizes) // table.shape[1])
    return Backward(usage, weights, recorder)


def linear_form(layer):
    """How a layer of exactly these classes is `h_t = a_t W + b`; None for others."""
    for kind, form in _FORMS.items():
        # An adapter (LoRA) makes the kernel a sum of variables.
        if type(layer) is kind and isinstance(layer.kernel, keras.Variable):
            return form.of(layer)
    return None


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
        return _positions(x)

    def outputs(self, h):
        """(rows, positions, outputs)."""
        return _positions(h)

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
        patches = tf.image.extract_patches(
            x, [1, *size, 1], [1, *strides, 1], [1, *dilation, 1], padding.upper()
        )
        return _positions(patches)


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
        return tf.reshape(tensor, [-1, _product(tensor.shape[1 : 1 + len(middle)]), size])

    def _size(self, labels):
        return math.prod(self.layer.kernel.shape[self._k.index(i)] for i in labels)


_FORMS = {
    layers.Dense: DenseForm,
    layers.EinsumDense: EinsumForm,
    layers.Conv1D: ConvForm,
    layers.Conv2D: ConvForm,
}


def _gram_of_sums(products, a, delta, epsilon):
    """`sum_tu (a_t . b_u) (delta_t . epsilon_u)` of all rows with all others.

    Args:
        products: Function of one example's a to its products with all b, (t, others * u).
        a: One example a row.
        delta: (examples, rows, t, outputs).
        epsilon: (others, rows, u, outputs).
    """
    rows, positions = tf.shape(epsilon)[1], tf.shape(epsilon)[2]
    flat_epsilon = _flat(epsilon)

    def of_example(example):
        a, delta = example
        t = tf.shape(delta)[1]
        AB = tf.reshape(products(a), [1, t, -1, 1, positions])
        DE = tf.matmul(_flat(delta), flat_epsilon, transpose_b=True)
        DE = tf.reshape(DE, [rows, t, -1, rows, positions])
        return tf.reshape(tf.reduce_sum(AB * DE, axis=[1, 4]), [rows, -1])

    gram = tf.map_fn(of_example, (a, delta), fn_output_signature=delta.dtype)
    return tf.reshape(gram, [-1, tf.shape(gram)[2]])


def _batched_with_masks(tensors, batched):
    own = [t for t, is_own in zip(tensors, batched, strict=True) if is_own]
    with_masks = [[t, getattr(t, "_keras_mask", None)] for t in own]
    return [t for pair in with_masks for t in pair if t is not None]


def _with_tensors(call, tensors, batched):
    """A function that runs the call for one example given its slices of the batched tensors."""

    def run(example):
        slices = iter(example)
        new = []
        for tensor, own in zip(tensors, batched, strict=True):
            value = next(slices)[None] if own else tensor
            mask = getattr(tensor, "_keras_mask", None)
            if own and mask is not None:
                value._keras_mask = next(slices)[None]
            new.append(value)
        left = iter(new)
        args, kwargs = tf.nest.map_structure(
            lambda leaf: next(left) if tf.is_tensor(leaf) else leaf, call.arguments
        )
        return tf.nest.flatten(call.layer(*args, **kwargs))

    return run


def _first_argument(call):
    args, kwargs = call.arguments
    return args[0] if args else next(iter(kwargs.values()))


def _positions(tensor):
    """(examples, positions, features) of (examples, ..., features)."""
    return tf.reshape(tensor, [-1, _product(tensor.shape[1:-1]), tensor.shape[-1]])


def _by_example(delta, rows):
    """(examples, rows, positions, outputs) of (examples * rows, positions, outputs)."""
    positions = tf.shape(delta)[1] if delta.shape[1] is None else delta.shape[1]
    return tf.reshape(delta, [-1, rows, positions, delta.shape[2]])


def _combined(alpha, delta):
    """`sum over rows of alpha_r delta_r`, (examples, positions, outputs)."""
    if delta.shape[1] == 1:
        return alpha[:, :, None] * delta[:, 0]
    return tf.einsum("br,brtq->btq", alpha, delta)


def _flat(tensor):
    return tf.reshape(tensor, [-1, tensor.shape[-1]])


def _flat_rows(tensor):
    return tf.reshape(tensor, [-1, math.prod(tensor.shape[1:])])


def _product(sizes):
    """Of static sizes; -1, for `tf.reshape`, where one is unknown."""
    return -1 if None in list(sizes) else math.prod(sizes)
