"""Where series stand in the network: read from their beginning, and on from there."""

from typing import NamedTuple

import numpy as np

from ._inference import Inference, groups
from .codec import Units

# Inputs beyond would overflow, squared in the loss or as they are.
_LARGEST = {"float16": 6.5e4, "float32": 1e18, "float64": 1e150}
# Rows of one rollout.
_MOST_ROLLED = 1024


class Read(NamedTuple):
    """Where a group of series stands; arrays have one row a series, in transformed units."""

    recurrent: list
    window: np.ndarray  # (series, outlook + lookback + 1, features), filled
    count: np.ndarray
    units: Units
    expected: np.ndarray  # (series, features), the next value
    spread: np.ndarray  # (series, features), the codec's scale there

    def rows(self, rows):
        return Read(
            [np.asarray(one)[rows] for one in self.recurrent],
            *(one[rows] for one in self[1:3]),
            Units(*(one[rows] for one in self.units)),
            *(one[rows] for one in self[4:]),
        )


class SeriesReading:
    """Reads series through a codec with a network that is not being trained.

    Args:
        codec, network: See there.
        global_units: Function that gives the learned `Units`, for scaling="global".
    """

    def __init__(self, codec, network, global_units):
        self._codec = codec
        self._inference = Inference(network, codec)
        self._global_units = global_units
        self._dtype = network.compute_dtype
        self._state_widths = network.state_widths

    # Units

    def learn_units(self, values, names):
        """The units of scaling="global", from all series."""
        pairs = zip(values, names, strict=True)
        return self._codec.units_of([self._differences(one, name) for one, name in pairs])

    def units(self, values, names, learned=None):
        """The `Units` of each series, once its values are known to be in range."""
        return [self._units(one, name, learned) for one, name in zip(values, names, strict=True)]

    def _units(self, values, name, learned):
        codec, values = self._codec, _as_float64(values)
        if codec.scaling == "running":
            self._check_range(np.nanmax(np.abs(values)), _LARGEST["float64"], name)
            first = codec.fill(values)[:1]
            codec.transform.apply(values, name)
            return codec.units(codec.transform.apply(first))
        differences = self._differences(values, name)
        if codec.scaling == "whole_series":
            units = codec.units_of([differences])
        elif codec.scaling is None:
            units = Units(np.zeros(codec.num_features), np.ones(codec.num_features))
        else:
            units = learned or self._global_units()
        z = (differences - units.location) / units.scale
        largest = _LARGEST.get(self._dtype, _LARGEST["float32"])
        self._check_range(np.nanmax(np.abs(z)), largest, name)
        return units

    def _differences(self, values, name):
        codec = self._codec
        differences = codec.difference(codec.transform.apply(_as_float64(values), name))
        if len(differences) == 0 or np.isfinite(differences).sum(axis=0).min() < 2:
            pairs = f" pairs of values that lie {codec.season} steps apart" if codec.season else ""
            raise ValueError(
                f"`{name}` must hold at least 2 observed{pairs or ' values'} in each feature with "
                f"scaling={codec.scaling!r}. Received: {name} of {len(values)} steps"
            )
        return differences

    def _check_range(self, largest, limit, name):
        if largest > limit:
            raise ValueError(
                f"`{name}` must stay within {limit:.3g} after scaling, for the sake of "
                f"{self._dtype}. Received: a value of {largest:.3g} with "
                f"scaling={self._codec.scaling!r}"
            )

    # Series

    def _groups(self, values, names):
        for group in groups([len(one) for one in values]):
            part = [values[i] for i in group]
            yield part, self.units(part, [names[i] for i in group])

    def _begin(self, values, units):
        """Reads series of observed values from their first one on.

        Returns:
            A `Read`, and for each series the predictions of the steps that follow on each and the
            codec's scale there, `(time, features)`, NaN where the network reads nothing yet.
        """
        codec = self._codec
        observed = [np.isfinite(one).any(axis=1).argmax() for one in values]
        filled = [
            codec.transform.apply(codec.fill(_as_float64(one[start:])))
            for one, start in zip(values, observed, strict=True)
        ]
        count = np.zeros(len(values), "int32")
        units = Units(*(np.stack(parts) for parts in zip(*units, strict=True)))
        states = self._inference.initial_states(len(values))
        return self._read(filled, [one[:0] for one in filled], count, units, states)

    def _read_on(self, values, read, names):
        """The same for values that follow on a `Read`."""
        new, past = self._fill_on(values, read, names)
        return self._read(new, past, read.count, read.units, read.recurrent)

    def _fill_on(self, values, read, names):
        """Values that follow, transformed and without gaps, and what precedes them."""
        new, past = [], []
        for one, window, count, name in zip(values, read.window, read.count, names, strict=True):
            known = window[max(0, len(window) - count) :]
            one = self._codec.transform.apply(_as_float64(one), name)
            new.append(self._codec.fill(np.concatenate([known, one]))[len(known) :])
            past.append(known)
        return new, past

    def _read(self, new, past, count, units, states):
        codec = self._codec
        steps = max(len(one) for one in new)
        window = np.empty((len(new), codec.outlook + codec.lookback + steps, codec.num_features))
        for row, *parts in zip(window, past, new, strict=True):
            whole = np.concatenate(parts)[-len(row) :]
            row[len(row) - len(whole) :] = whole
            # Before its start a series has its first value.
            row[: len(row) - len(whole)] = whole[0]
        lengths = np.array([len(one) for one in new], "int32")
        skipped = np.minimum(np.maximum(codec.first - count, 0), lengths)
        count = (count + lengths).astype("int32")
        predictions, scales, states = self._inference.read(
            codec.clean(window, count), count, units, states, lengths - skipped
        )
        after = Read(
            states, window[:, steps - 1 :], count, units, predictions[:, -1], scales[:, -1]
        )
        for array in (predictions, scales):
            array[np.arange(steps)[None] < (steps - lengths + skipped)[:, None]] = np.nan
        return (
            after,
            [one[steps - length :] for one, length in zip(predictions, lengths, strict=True)],
            [one[steps - length :] for one, length in zip(scales, lengths, strict=True)],
        )

    # Origins

    def _reads(self, values, origins):
        """Where series stand at their origins, `[(series, number of the origin), ...]` and `Read`.

        Each series is read once, unless the codec's units change with what is known. What cannot be
        read up to an origin, such as values all missing, is left out there.
        """
        for group in groups([len(one) for one in values]):
            pairs = [(i, k) for i in group for k in range(len(origins[i]))]
            if not self._codec.causal:
                for i, k in pairs:
                    if self._readable(values[i][: origins[i][k]]):
                        yield [(i, k)], self._begin_all([values[i][: origins[i][k]]])
                continue
            first = {}
            for i, k in pairs:
                # What is readable at an origin is so at all later ones.
                if i not in first and self._readable(values[i][: origins[i][k]]):
                    first[i] = k
            if first:
                read = self._begin_all([values[i][: origins[i][k]] for i, k in first.items()])
                yield from _in_parts(list(first.items()), read)
            more = [n for n, (i, k) in enumerate(first.items()) if k + 1 < len(origins[i])]
            if more:
                standing = [list(first.items())[n] for n in more]
                yield from _in_parts(*self._later(values, origins, standing, read.rows(more)))

    def _later(self, values, origins, standing, read):
        """The same for all further origins of series that stand at `standing`, in `read`."""
        codec, before = self._codec, self._codec.outlook + self._codec.lookback
        new = [values[i][origins[i][k] : origins[i][-1]] for i, k in standing]
        new, past = self._fill_on(new, read, ["series"] * len(new))
        steps = max(len(one) for one in new)
        window = np.empty((len(new), before + steps, codec.num_features))
        for row, known, one in zip(window, past, new, strict=True):
            known = known[-before:] if before else known[:0]
            row[before - len(known) : before] = known
            row[: before - len(known)] = known[:1]
            row[before : before + len(one)] = one
            row[before + len(one) :] = one[-1]
        count = read.count + np.int32(steps)
        predictions, scales, states = self._inference.read_each(
            codec.clean(window, count), count, read.units, read.recurrent
        )
        rows, where, ends = [], [], []
        for row, (i, first) in enumerate(standing):
            for k in range(first + 1, len(origins[i])):
                rows.append(row)
                where.append((i, k))
                ends.append(origins[i][k] - origins[i][first] - 1)
        rows, steps = np.array(rows), np.array(ends)
        return where, Read(
            [one[rows, steps] for one in states],
            window[rows[:, None], steps[:, None] + np.arange(before + 1)],
            read.count[rows] + (steps + 1).astype("int32"),
            Units(*(one[rows] for one in read.units)),
            predictions[rows, steps],
            scales[rows, steps],
        )

    def _begin_all(self, parts):
        names = [f"series {i}" for i in range(len(parts))]
        return self._begin(parts, self.units(parts, names))[0]

    def _readable(self, values):
        try:
            return bool(np.isfinite(values).any(axis=0).all() and self.units([values], ["series"]))
        except ValueError:
            return False


def _as_float64(values):
    """Of float32 a copy, made where it is used: thousands of series stay as they are."""
    return values.astype("float64", copy=False)


def _in_parts(where, read):
    """So many rows of a `Read` as are rolled out together."""
    for start in range(0, len(where), _MOST_ROLLED):
        part = slice(start, start + _MOST_ROLLED)
        yield where[part], read.rows(part)
