"""What a fitted forecaster remembers of its training, saved with its weights."""

import hashlib
import json
import zlib

import numpy as np
from keras import ops

# So many values at the end of a series tell it from others, unless they are nearly all alike.
_TAIL, _DISTINCT = 32, 3
_KEY = "fit_record"


class FitRecord:
    """Whether, with what and on what a model was fitted.

    Attributes:
        first_weights: Digest of the weights as they were drawn; None once they were trained.
        arguments: Dict, the arguments of the last `fit`, or None.
        columns: The features' names, where `fit` was given some.
        tails: Dict, by a digest of the last values of each series that was fitted its length.
        variance: Array `(horizon, features)` or None, see `horizon_variance`.
    """

    def __init__(self, weights):
        self._weights = weights
        self.first_weights = self._digest()
        self.arguments = None
        self.columns = None
        self.tails = {}
        self.variance = None

    @property
    def fitted(self):
        """Weights that are still the ones drawn at the beginning forecast nothing."""
        return self.first_weights is None or self.first_weights != self._digest()

    def fitted_until(self, values):
        """How many leading steps of `values`, `(time, features)`, were seen in `fit`."""
        for end in range(len(values), 1, -1) if self.tails else ():
            if self.tails.get(_tail(values[:end])) is not None:
                return end
        return 0

    def remember(self, values, arguments, columns):
        self.first_weights = None
        self.arguments = arguments
        self.columns = columns
        self.tails = {_tail(one): len(one) for one in values if _is_telling(one)}
        self.variance = None

    def save(self, store):
        record = {
            "first_weights": self.first_weights,
            "arguments": self.arguments,
            "columns": self.columns,
            "tails": list(self.tails.items()),
            "variance": None if self.variance is None else self.variance.tolist(),
        }
        store[_KEY] = np.frombuffer(json.dumps(record).encode(), "uint8")

    def load(self, store):
        """Older files hold none: what was loaded counts as fitted there."""
        if _KEY not in list(store.keys()):  # Keras's store has no `in`
            return
        record = json.loads(np.asarray(store[_KEY]).tobytes().decode())
        self.first_weights = record["first_weights"]
        self.arguments = record["arguments"]
        self.columns = record["columns"] and tuple(record["columns"])
        self.tails = dict(record["tails"])
        self.variance = record["variance"] and np.array(record["variance"])

    def _digest(self):
        weights = (np.ascontiguousarray(ops.convert_to_numpy(w)) for w in self._weights)
        return hashlib.sha256(b"".join(weight.tobytes() for weight in weights)).hexdigest()


def _is_telling(values):
    return len(np.unique(values[-_TAIL:])) >= _DISTINCT


def _tail(values):
    last = np.ascontiguousarray(values[-_TAIL:], "float64")
    return zlib.crc32(last.tobytes())
