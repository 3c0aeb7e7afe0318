"""Chunks of series for training and evaluation, made one at a time while Keras asks for them."""

import numpy as np
import tensorflow as tf

from ._array_library import numpy_library
from ._row_queues import cut, fill_rows
from .codec import Units


class Chunks:
    """Series laid into rows, each chunk read off the series when its turn comes.

    So what is held beside the series is a few chunks, however many series there are. Each chunk is
    `({"x", "reset", "scale"}, y, weight)`: `x` is what the codec makes of each step, and with the
    network's output `o` the loss compares `y = (value - anchor) / unit` with `scale * o`, where
    `scale` is the codec's in the same unit, one constant a series.

    All series have the same weight in the loss, and so have all observed values of a series.

    Args:
        codec: See `codec`.
        values: List of arrays `(time, features)`, NaN where missing.
        units: List of the series' `Units`.
        rows, steps: Integers.
        shuffle: Whether the order of the series is drawn anew each time.
        last: Integer; only the last targets of each series count, the others warm up the state.
            None: all count.
    """

    def __init__(self, codec, values, units, rows, steps, shuffle=False, last=None):
        self._codec = codec
        # What precedes a series' first observed value is not part of it.
        self._values = [_from_first_observed(one) for one in values]
        self._filled = [codec.fill(one) for one in self._values]
        self._shuffle = shuffle
        self._last = last
        lengths = [len(one) - 1 for one in self._values]
        # No chunk needs to be longer than the longest series.
        self.steps = max(1, min(steps, max(lengths) - codec.first))
        self.rows = rows
        self._segments = cut(lengths, codec.first, rows, self.steps)
        # As many each time, whatever the order.
        self.num_chunks, _ = fill_rows(self._segments, rows, self.steps)
        # (series, features) each: few bytes a series, filled in place for the same reason
        shape = (len(values), codec.num_features)
        self._location, self._scale, self._unit = (np.empty(shape) for _ in range(3))
        self._begins, self._count = (np.empty(shape, "int64") for _ in range(2))
        for i, one in enumerate(self._values):
            self._location[i], self._scale[i] = units[i]
            # The first observed value of each feature has no past that could predict it.
            self._begins[i] = np.isfinite(one).argmax(axis=0)
            self._count[i] = self._counts(i, 0, len(one)).sum(axis=0)
            self._unit[i] = self._loss_unit(i)

    @property
    def num_targets(self):
        """The observed values that count."""
        return int(self._count.sum())

    def dataset(self, endless=True):
        """The chunks again and again, `num_chunks` each time, or once if not `endless`.

        Endless, since TensorFlow takes as long as for several chunks to begin anew each epoch.
        """
        # Seeded by `keras.utils.set_random_seed`, and here: the thread that reads ahead draws as
        # often as chance has it.
        rng = np.random.default_rng(np.random.randint(2**31)) if self._shuffle else None
        features = self._codec.num_features
        chunk = (self.rows, self.steps, features)
        inputs = {
            "x": tf.TensorSpec((self.rows, self.steps, self._codec.num_inputs), "float64"),
            "reset": tf.TensorSpec((self.rows,), "bool"),
            "scale": tf.TensorSpec(chunk, "float64"),
        }
        specs = (inputs, tf.TensorSpec(chunk, "float64"), tf.TensorSpec(chunk, "float32"))
        data = tf.data.Dataset.from_generator(
            lambda: map(self._encode, self._read(rng)), output_signature=specs
        )
        once = tf.data.experimental.assert_cardinality(self.num_chunks)
        data = data.repeat() if endless else data.apply(once)
        return data.prefetch(2)

    def _encode(self, read):
        known = (read[name] for name in ("window", "count", "location", "scale"))
        unit = read["unit"][:, None]
        with np.errstate(all="ignore"):  # as in TensorFlow, what is too large is infinite
            encoded = self._codec.encode(*known, numpy_library)
            error = (read["y"] - encoded.anchor) / unit
            y = np.where(np.isfinite(read["y"]), error, 0.0)
            inputs = {"x": encoded.inputs, "reset": read["reset"], "scale": encoded.scale / unit}
        return inputs, y, read["weight"]

    def _read(self, rng=None):
        """One epoch of chunks in NumPy."""
        chunks, parts = fill_rows(self._segments, self.rows, self.steps, rng)
        # Keras averages over all entries of a chunk and then over chunks. With weights whose mean
        # is one, that is the average over all series.
        entries = chunks * self.rows * self.steps * self._codec.num_features
        factor = entries / (self._count > 0).sum()
        for chunk, row_parts in enumerate(parts):
            yield self._chunk(row_parts, chunk == 0, factor)

    def _chunk(self, parts, first, factor):
        codec, rows, steps = self._codec, self.rows, self.steps
        before = codec.outlook + codec.lookback
        window = np.zeros((rows, before + steps, codec.num_features))
        y = np.full((rows, steps, codec.num_features), np.nan)
        weight = np.zeros(y.shape, "float32")
        count = np.zeros(rows, "int32")
        reset = np.full(rows, first)
        location, scale, unit = (np.ones((rows, codec.num_features)) for _ in range(3))
        for row, part in enumerate(parts):
            if part is None:
                window[row] = 1.0
                continue
            i, start, stop = part.series, part.start, part.stop
            known = self._filled[i][max(0, start - before) : stop]
            begin = before + stop - start - len(known)
            window[row, begin : begin + len(known)] = known
            # Before its start a series has its first value; what follows on it has no weight.
            window[row, :begin] = known[0]
            window[row, begin + len(known) :] = known[-1]
            y[row, : stop - start] = self._values[i][start + 1 : stop + 1]
            counts = self._counts(i, start + 1, stop + 1)
            weight[row, : stop - start] = counts * (factor / np.maximum(self._count[i], 1))
            count[row] = start + steps
            reset[row] |= part.begins
            location[row], scale[row], unit[row] = self._location[i], self._scale[i], self._unit[i]
        transform = codec.transform.apply
        return {
            "window": codec.clean(transform(window), count),
            "count": count,
            "reset": reset,
            "y": transform(y),
            "weight": weight,
            "location": location,
            "scale": scale,
            "unit": unit,
        }

    def _counts(self, i, start, stop):
        """Which values from `start` to `stop` are compared with predictions."""
        values = self._values[i]
        held_out = 0 if self._last is None else len(values) - self._last
        first = np.maximum(self._begins[i], max(self._codec.first, held_out - 1)) + 1
        return np.isfinite(values[start:stop]) & (np.arange(start, stop)[:, None] >= first)

    def _loss_unit(self, i):
        """One unit of the loss, from what is not held out."""
        values = self._values[i]
        known = 0 if self._last is None else len(values) - self._last
        values = self._codec.transform.apply(values[:known] if known > 1 else values)
        return self._codec.loss_unit(values, Units(self._location[i], self._scale[i]))


def _from_first_observed(values):
    """`values` themselves where nothing is missing at their beginning, else the part after it."""
    first = np.isfinite(values).any(axis=1).argmax()
    return values[first:] if first else values
