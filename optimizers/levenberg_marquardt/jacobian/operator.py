import itertools

import tensorflow as tf

from ..linear_algebra import symmetric


class JacobianOperator:
    """J of a whole batch at w: it multiplies, and is never held but for a chunk of its rows.

    Its rows are those of `S^T dz/dw`, `rows` for each example.

    Args:
        layered: The `LayeredJacobian`.
        chunks: The `Chunks` of the batch.
        data: Function of a chunk's number to what the layers keep of it.
        data_of_examples: Function of places in the batch to what they keep of these examples.
        pullback: Function of (batch, rows) to `J^T` times it, by one backward pass.
    """

    def __init__(self, layered, chunks, data, data_of_examples, pullback):
        self.layered = layered
        self.weights = layered.weights
        self.rows = layered.rows
        self.chunks = chunks
        self._data_of_examples = data_of_examples
        self._pullback = pullback
        self._data = data
        if chunks.only_one:
            only = data(0)
            self._data = lambda i: only

    def mv(self, v):
        """`J v`, (batch * rows,)."""
        values = self.weights.split(v)

        def of_chunk(i):
            return tf.reduce_sum(self.layered.mv(self._data(i), values), axis=0)

        return self.chunks.concatenated(of_chunk, v.dtype, [])

    def transpose_mv(self, alpha):
        """`J^T alpha`, (weights,), for alpha (batch * rows,)."""
        alpha = tf.reshape(alpha, [-1, self.rows])
        if self.chunks.only_one:
            return self.layered.transpose_mv(self._data(0), alpha)
        return self._pullback(alpha)

    def squares(self):
        """Sum of squares of each variable's columns, (variables,)."""
        (squares,) = self.chunks.fold(
            lambda i, total: (total + self.layered.squares(self._data(i)),),
            tf.zeros([len(self.weights.sizes)], self.weights.dtype),
        )
        return squares

    def system(self, solver, r=None):
        """What a solver of linear_algebra/ keeps of all rows, taken in chunk by chunk.

        Args:
            solver: `Cholesky` or `QR`.
            r: (batch, rows), where the solver wants residuals.
        """
        dtype = self.weights.dtype

        def of_chunk(i):
            columns = self.layered.columns(self._data(i))
            r_chunk = tf.zeros(tf.shape(columns)[1:], dtype)
            if r is not None:
                r_chunk = tf.reshape(self.chunks.slice(r, i), [-1])
            return solver.of_rows(columns, r_chunk)

        if self.chunks.only_one:
            return of_chunk(0)
        (system,) = self.chunks.fold(
            lambda i, system: (solver.joined([system, of_chunk(i)]),),
            solver.empty(self.weights.size, dtype),
        )
        return system

    def gram(self, factors, groups, v=None):
        """Inner products of all rows, and `factor_i J_i v_i` of each variable i.

        Rows are made in chunks. With more than one, the rows of a chunk are made again for each
        pair of chunks, so that no more than two are ever held.

        Args:
            factors: (variables,), what each variable's products are multiplied with.
            groups: Number of sums to make: 1, or the number of variables for one each.
            v: (weights,). Default None: no products are made with it.

        Returns:
            The panels (symmetric.py) of (groups, rows, rows), and (variables, rows) or None.
        """
        values = None if v is None else self.weights.split(v * self.weights.spread(factors))

        def times_v(data):
            return None if values is None else self.layered.mv(data, values)

        chunks = self.chunks
        if chunks.only_one:
            data = self._data(0)
            return self._gram_at_once(data, factors, groups), times_v(data)

        def strip(i):
            """Inner products of chunk i with itself and all later ones; zeros before."""
            data = self._data(i)

            def add_block(j, blocks):
                block = self.layered.gram(data, self._data(j), factors, groups)
                return j + 1, blocks.write(j - i, tf.transpose(block, [2, 0, 1]))

            blocks = tf.TensorArray(
                self.weights.dtype,
                chunks.count - i,
                infer_shape=False,
                element_shape=[None, groups, None],
            )
            own = self.layered.gram(data, data, factors, groups)
            blocks = blocks.write(0, tf.transpose(own, [2, 0, 1]))
            _, blocks = tf.while_loop(lambda j, _: j < chunks.count, add_block, (i + 1, blocks))
            strip = tf.transpose(blocks.concat(), [2, 1, 0])  # (rows, groups, rows from i on)
            before = chunks.batch * self.rows - tf.shape(strip)[2]
            return tf.pad(strip, [[0, 0], [0, 0], [before, 0]]), times_v(data)

        def add_strip(i, strips, products):
            of_chunk, product = strip(i)
            if product is not None:
                products = products.write(i, tf.transpose(product))
            return strips.write(i, of_chunk), products

        strips, products = chunks.fold(
            add_strip,
            chunks.array(self.weights.dtype, [None, groups, None]),
            chunks.array(self.weights.dtype, [None, len(self.weights.sizes)]),
        )
        upper = tf.transpose(strips.concat(), [1, 0, 2])
        K = symmetric.in_panels(tf.linalg.matrix_transpose(upper))
        return K, None if v is None else tf.transpose(products.concat())

    def sampled_gram(self, factors, count):
        """Columns of `gram(factors, 1)`, for some of the rows.

        Args:
            factors: (variables,).
            count: About how many rows to sample, all rows of examples throughout the batch.

        Returns:
            These columns, (rows, sampled), and their entries in the sampled rows.
        """
        batch = self.chunks.batch
        examples = tf.minimum(batch, max(1, count // self.rows))
        sample = self._data_of_examples(tf.range(examples) * batch // examples)
        columns = self.chunks.concatenated(
            lambda i: self.layered.gram(self._data(i), sample, factors, 1)[0],
            self.weights.dtype,
            [None],
        )
        return columns, self.layered.gram(sample, sample, factors, 1)[0]

    def _gram_at_once(self, data, factors, groups):
        """The panels of the inner products of all rows with all, where they are held at once."""
        layered, batch = self.layered, self.chunks.static_batch
        count = min(symmetric.count_of_panels(batch * self.rows), batch)
        ends = [batch * k // count for k in range(count + 1)]
        return [
            layered.gram(
                layered.slice(data, start, batch, batch),
                layered.slice(data, start, stop, batch),
                factors,
                groups,
            )
            for start, stop in itertools.pairwise(ends)
        ]


class JacobianOfReplicas:
    """J of a batch whose rows several replicas share: each makes those of its own.

    Args:
        operators: The `JacobianOperator` of each device of this process.
        replicas: The `Replicas`.
    """

    def __init__(self, operators, replicas):
        self.operators = operators
        self.replicas = replicas

    def system(self, solver, r=None):
        """What a solver keeps of the rows of all replicas."""
        shares = [None] * len(self.operators) if r is None else self.replicas.shares(r)
        systems = []
        for device, operator, share in zip(
            self.replicas.devices, self.operators, shares, strict=True
        ):
            with tf.device(device):
                systems.append(operator.system(solver, share))
        if solver.systems_add_up:
            return tf.nest.map_structure(self.replicas.sum, solver.joined(systems))
        return solver.joined(tf.unstack(self.replicas.stack(systems), self.replicas.num_replicas))
