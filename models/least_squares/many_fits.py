import keras
import numpy as np
import tensorflow as tf

from ..._arguments import one_dtype, positive_integer, wrong
from ...optimizers.levenberg_marquardt.method import StopCode
from .data_checks import check_arrays
from .side_by_side.networks import Networks
from .side_by_side.outcome import Outcome, errors_of, shortened


class ManyFits(Outcome):
    """A model fitted to many data sets; `LeastSquares.fit_many` makes it.

    Each array has the data sets along its first axis.

    Attributes:
        weights: Array (datasets, weights), the trainable weights one after the other.
        standard_errors: Array (datasets, weights): infinite where the data do not determine a
            weight, NaN where a bound holds it or the fit has failed.
        losses: Array (datasets,), what `evaluate` gives; NaN where no finite one was found.
        converged: Booleans (datasets,).
        stop_codes: Integers (datasets,), as `history["stop_code"]` has them.
        steps: Integers (datasets,), steps taken.
        starts: Integers (datasets,), which of the starts gave the best fit.
        degrees_of_freedom: Integers (datasets,), numbers that count minus determined weights.
        sigma: Array (datasets,), standard deviation of a residual of weight 1: estimated, or 1
            with `absolute_sigma=True`.

    Example:

    >>> model = kerazoo.models.LeastSquares(
    ...     keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    ... )
    >>> model.compile()
    >>> x = np.arange(4.0)[:, None]
    >>> fits = model.fit_many(x, np.stack([2 * x, 1 - x]), verbose=0)
    >>> bool(np.abs(fits.weights - [[2, 0], [-1, 1]]).max() < 1e-5)
    True
    >>> fits.predict(np.array([[10.0]])).round(2).ravel()
    array([20., -9.], dtype=float32)
    >>> model.set_weights(fits.weights_of(1))
    """

    def __init__(self, model, sets, ends, absolute_sigma):
        sigma = np.ones_like(ends.sigma) if absolute_sigma else ends.sigma
        super().__init__(ends, ends.losses, errors_of(ends, sigma))
        self.weights = ends.weights
        self.standard_errors = self._errors
        self.sigma = sigma
        self._network = model.model
        self._all_weights = self._network.get_weights()
        # A view of the inputs' structure and ranks, not of the data.
        axes = 1 if sets.shared else 2
        self._ranks = keras.tree.map_structure(lambda leaf: leaf.ndim - axes, sets.x)
        self._networks = {}

    def weights_of(self, i):
        """The weights of data set i, a list for `set_weights` of the model.

        Args:
            i: Integer, from 0 to the number of data sets minus 1.
        """
        place = self._place(i)
        trainable = self._network.trainable_variables
        shapes = [tuple(v.shape) for v in trainable]
        ends = np.cumsum([int(np.prod(shape)) for shape in shapes])
        parts = np.split(self.weights[place], ends[:-1])
        fitted = {id(v): part.reshape(v.shape) for v, part in zip(trainable, parts, strict=True)}
        return [
            fitted.get(id(v), value)
            for v, value in zip(self._network.weights, self._all_weights, strict=True)
        ]

    def predict(self, x):
        """The outputs for each data set, an array (datasets, points, ...).

        Args:
            x: Inputs like those of the fit, (points, ...), the same for all data sets, or
                (datasets, points, ...); which, is known from their number of axes.
        """
        x = keras.tree.map_structure(one_dtype, x)
        check_arrays(x)
        leaves, ranks = keras.tree.flatten(x), keras.tree.flatten(self._ranks)
        wanted = "inputs like those of the fit, (points, ...) or (datasets, points, ...)"
        if len(leaves) != len(ranks) or not all(hasattr(leaf, "__array__") for leaf in leaves):
            raise wrong("x", wanted, x)
        leaves = [np.asarray(leaf) for leaf in leaves]
        axes = {leaf.ndim - rank for leaf, rank in zip(leaves, ranks, strict=True)}
        numeric = all(leaf.dtype.kind in "biuf" for leaf in leaves)
        lengths = {leaf.shape[0] for leaf in leaves} if axes == {2} else {len(self)}
        if axes not in ({1}, {2}) or not numeric or lengths != {len(self)}:
            raise wrong("x", wanted, x)
        shared = axes == {1}
        if shared not in self._networks:
            self._networks[shared] = Networks(self._network, shared)
        networks = self._networks[shared]
        dtype = networks.weights.dtype
        tensors = [
            tf.convert_to_tensor(leaf, dtype if leaf.dtype.kind == "f" else None) for leaf in leaves
        ]
        tensors = keras.tree.pack_sequence_as(x, tensors)
        z = networks.outputs(tf.constant(self.weights, dtype), tensors).numpy()
        return z.reshape(len(self), -1, *self._ends.point_shape)

    def summary(self, rows=20):
        """A table of the fits, as text.

        Args:
            rows: Positive integer, data sets shown. None: all.
        """
        rows = positive_integer("rows", rows, also=(None,))
        lines = [
            f"{i:>8}{self.losses[i]:>14.6g}{self.steps[i]:>7}   "
            f"{StopCode(int(self.stop_codes[i])).name.lower()}"
            for i in range(len(self))
        ]
        head = f"{'data set':>8}{'loss':>14}{'steps':>7}   ended by"
        return "\n".join([head, *shortened(lines, rows, len(self)), self._totals()])
