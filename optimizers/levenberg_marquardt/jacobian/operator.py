import itertools

import tensorflow as tf

from ..linear_algebra import symmetric


class Jacobian:
    """J of a whole batch at w: it multiplies, and is never held but for a chunk of its rows.

    Its rows are those of `S^T dz/dw`, `rows` for each example. `JacobianOperator` makes them all,
    `JacobianOfReplicas` those of some devices, and joins them with those of the others. Inner
    products of rows are here, for both.

    Args:
        layered: The `LayeredJacobian`.
        chunks: The `Chunks` of the batch.
    """

    def __init__(self, layered, chunks):
        self.layered = layered
        self.weights = layered.weights
        self.rows = layered.rows
        self.chunks = chunks

    def mv(self, v):
        """`J v`, (batch * rows,)."""
        raise NotImplementedError

    def mv_by_variable(self, v):
        """`J_i v_i` of each variable i, (variables, batch * rows)."""
        raise NotImplementedError

    def transpose_mv(self, alpha):
        """`J^T alpha`, (weights,), for alpha (batch * rows,)."""
        raise NotImplementedError

    def squares(self):
        """Sum of squares of each variable's columns, (variables,)."""
        raise NotImplementedError

    def system(self, solver, r=None):
        """What a solver of linear_algebra/ keeps of all rows, taken in chunk by chunk.

        Args:
            solver: `Cholesky` or `QR`.
            r: (batch, rows), where the solver wants residuals.
        """
        raise NotImplementedError

    def gram(self, factors, groups):
        """Inner products of all rows.

        Rows are made in chunks. With more than one, the rows of a chunk are made again for each
        pair of chunks, so that no more than two are ever held.

        Args:
            factors: (variables,), what each variable's products are multiplied with.
            groups: Number of sums to make: 1, or the number of variables for one each.

        Returns:
            The panels (symmetric.py) of (groups, rows, rows).
        """
        chunks = self.chunks
        if chunks.only_one:
            return self._gram_at_once(factors, groups)

        def strip(i):
            """Inner products of chunk i with itself and all later ones; zeros before."""
            data = self.data(i)

            def block(j):
                return tf.transpose(self._block(data, i, j, factors, groups), [2, 0, 1])

            blocks = tf.TensorArray(
                self.weights.dtype,
                chunks.count - i,
                infer_shape=False,
                element_shape=[None, groups, None],
            )
            _, blocks = tf.while_loop(
                lambda j, _: j < chunks.count,
                lambda j, blocks: (j + 1, blocks.write(j - i, block(j))),
                (i + 1, blocks.write(0, block(i))),
            )
            strip = tf.transpose(blocks.concat(), [2, 1, 0])
            before = chunks.batch * self.rows - tf.shape(strip)[2]
            return tf.pad(strip, [[0, 0], [0, 0], [before, 0]])  # (rows of i, groups, rows)

        (strips,) = chunks.fold(
            lambda i, strips: (strips.write(i, strip(i)),),
            chunks.array(self.weights.dtype, [None, groups, None]),
        )
        upper = tf.transpose(strips.concat(), [1, 0, 2])
        panels = symmetric.in_panels(tf.linalg.matrix_transpose(upper))
        return [self._summed(panel) for panel in panels]

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
        columns = self.columns(sample, examples * self.rows, factors)
        return columns, self.layered.gram(sample, sample, factors, 1)[0]

    def columns(self, sample, count, factors):
        """Inner products of all rows with those of some examples, (rows, count).

        Args:
            sample: What the layers keep of these examples.
            count: Of their rows.
            factors: (variables,).
        """
        raise NotImplementedError

    def _gram_at_once(self, factors, groups):
        """The panels of the inner products of all rows with all, where they are held at once."""
        data, batch = self.data(0), self.chunks.static_batch
        count = min(symmetric.count_of_panels(batch * self.rows), batch)
        ends = [batch * k // count for k in range(count + 1)]
        return [
            self._panel(data, start, stop, factors, groups)
            for start, stop in itertools.pairwise(ends)
        ]

    def data(self, i):
        """What the layers keep of chunk i."""
        raise NotImplementedError

    def _data_of_examples(self, places):
        """What they keep of examples at these places in the batch."""
        raise NotImplementedError

    def _panel(self, data, start, stop, factors, groups):
        """Inner products of all rows of examples from start on with those up to stop."""
        raise NotImplementedError

    def _block(self, data, i, j, factors, groups):
        """Inner products of chunk i, of which data is given, with chunk j, (groups, i, j).

        Those that other workers make are zero, until they are `_summed`.
        """
        raise NotImplementedError

    def _summed(self, products):
        raise NotImplementedError


class JacobianOperator(Jacobian):
    """J by one device.

    Args:
        layered: The `LayeredJacobian`.
        chunks: The `Chunks` of the batch.
        data: Function of a chunk's number to what the layers keep of it.
        data_of_examples: Function of places in the batch to what they keep of these examples.
        pullback: Function of (batch, rows) to `J^T` times it, by one backward pass.
    """

    def __init__(self, layered, chunks, data, data_of_examples, pullback):
        super().__init__(layered, chunks)
        self._pullback = pullback
        self._data_of = data_of_examples
        self._data_of_chunk = data
        if chunks.only_one:
            only = data(0)
            self._data_of_chunk = lambda i: only

    def mv(self, v):
        values = self.weights.split(v)

        def of_chunk(i):
            return tf.reduce_sum(self.layered.mv(self.data(i), values), axis=0)

        return self.chunks.concatenated(of_chunk, v.dtype, [])

    def mv_by_variable(self, v):
        values = self.weights.split(v)

        def of_chunk(i):
            return tf.transpose(self.layered.mv(self.data(i), values))

        by_row = self.chunks.concatenated(of_chunk, v.dtype, [len(values)])
        return tf.transpose(by_row)

    def transpose_mv(self, alpha):
        alpha = tf.reshape(alpha, [-1, self.rows])
        if self.chunks.only_one:
            return self.layered.transpose_mv(self.data(0), alpha)
        return self._pullback(alpha)

    def squares(self):
        (squares,) = self.chunks.fold(
            lambda i, total: (total + self.layered.squares(self.data(i)),),
            tf.zeros([len(self.weights.sizes)], self.weights.dtype),
        )
        return squares

    def system(self, solver, r=None):
        dtype = self.weights.dtype

        def of_chunk(i):
            columns = self.layered.columns(self.data(i))
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

    def columns(self, sample, count, factors):
        def of_chunk(i):
            return tf.reshape(self.layered.gram(self.data(i), sample, factors, 1)[0], [-1])

        # Flat, as the size of a matrix without any rows would be unknown.
        flat = self.chunks.concatenated(of_chunk, self.weights.dtype, [])
        return tf.reshape(flat, [-1, count])

    def data(self, i):
        return self._data_of_chunk(i)

    def _data_of_examples(self, places):
        return self._data_of(places)

    def _panel(self, data, start, stop, factors, groups):
        layered, batch = self.layered, self.chunks.static_batch
        return layered.gram(
            layered.slice(data, start, batch, batch),
            layered.slice(data, start, stop, batch),
            factors,
            groups,
        )

    def _block(self, data, i, j, factors, groups):
        return self.layered.gram(data, data if j is i else self.data(j), factors, groups)

    def _summed(self, products):
        return products
