import copy

import tensorflow as tf


class Chunks:
    """A batch in pieces of as many examples as are looked at at a time.

    Args:
        batch: Scalar tensor, the examples.
        static_batch: The same as a number, or None where the graph does not know it.
        examples: Of a chunk.
    """

    def __init__(self, batch, static_batch, examples):
        self.batch = batch
        self.static_batch = static_batch
        self.examples = examples
        self.count = -(-batch // examples)
        # Known when the graph is made, it needs no loop. Of no examples there is no chunk at all.
        self.only_one = static_batch is not None and 0 < static_batch <= examples
        self._turns_at_once = 10  # TensorFlow's own

    def one_by_one(self):
        """The same chunks, where one is not begun before that before it is done."""
        chunks = copy.copy(self)
        chunks._turns_at_once = 1
        return chunks

    def slice(self, tensors, i):
        """The part of chunk i of tensors (batch, ...)."""
        if self.only_one:
            return tensors
        start = i * self.examples
        return tf.nest.map_structure(lambda t: t[start : start + self.examples], tensors)

    def fold(self, add_chunk, *totals):
        """Goes over all chunks: `add_chunk(i, *totals)` gives the next totals."""
        if self.only_one:
            return add_chunk(0, *totals)
        return tf.while_loop(
            lambda i, *_: i < self.count,
            lambda i, *totals: (i + 1, *add_chunk(i, *totals)),
            (0, *totals),
            parallel_iterations=self._turns_at_once,
        )[1:]

    def concatenated(self, of_chunk, dtype, inner_shape):
        """What a function of a chunk's number gives for all chunks, row below row."""
        if self.only_one:
            return of_chunk(0)
        arrays = self.array(dtype, [None, *inner_shape])
        (arrays,) = self.fold(lambda i, arrays: (arrays.write(i, of_chunk(i)),), arrays)
        return arrays.concat()

    def array(self, dtype, element_shape):
        """A `tf.TensorArray` with a place for each chunk."""
        return tf.TensorArray(dtype, self.count, infer_shape=False, element_shape=element_shape)
