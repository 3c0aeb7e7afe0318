"""The statistics of a fit: what `LeastSquares` says about its weights and its predictions."""

import keras
import numpy as np

from ..._arguments import boolean, number, one_dtype, real_array, wrong
from ...optimizers import Covariance
from ...optimizers._estimate_covariance import check_weights, estimate_covariance
from ...optimizers._output_jacobian import OutputJacobian
from ...optimizers.levenberg_marquardt.flat_weights import FlatWeights
from ...optimizers.levenberg_marquardt.objective import family_of
from .bands import Bands, bands_around
from .data_checks import by_output, check_arrays, check_given, check_lengths
from .data_checks import check_weights as check_sample_weights
from .network_checks import check_examples_are_apart, check_precision


class Uncertainty:
    """Of one `LeastSquares` model; remembers its compiled Jacobian and its last covariance."""

    def __init__(self, model):
        self.model = model
        self._jacobian = None
        self._last = None  # covariance, and the weights that it belongs to

    def covariance(self, x, y, sample_weight, absolute_sigma, loss, loss_weights):
        absolute_sigma = boolean("absolute_sigma", absolute_sigma)
        x, y, sample_weight = keras.tree.map_structure(one_dtype, (x, y, sample_weight))
        _check_data(x, y, sample_weight)
        jacobian = self._jacobian_of_model()
        check_weights(jacobian.weights)
        check_precision(self.model)
        check_examples_are_apart(self.model)
        structure = jacobian.structure(x)

        def of_outputs(name, value):
            names = getattr(self.model, "output_names", None)
            return by_output(name, value, structure, names)

        losses = [_mean_squared_error(loss) for loss in of_outputs("loss", loss)]
        loss_weights = of_outputs("loss_weights", loss_weights)
        if len(losses) > 1 and not keras.tree.is_nested(y):
            raise wrong("y", f"a list or dictionary of {len(losses)} arrays, one an output", y)
        targets, weights = of_outputs("y", y), of_outputs("sample_weight", sample_weight)
        if any(t is None and one is not None for t, one in zip(targets, losses, strict=True)):
            raise wrong("y", "an array for each output that has a loss", y)
        targets = [
            None if loss is None else np.asarray(target)
            for loss, target in zip(losses, targets, strict=True)
        ]
        weights = [None if weight is None else np.asarray(weight) for weight in weights]

        def factors_of(rows):
            found = zip(rows, losses, loss_weights, strict=True)
            return [_factor(one, loss, weight) for one, loss, weight in found]

        found = estimate_covariance(jacobian, x, targets, weights, factors_of, absolute_sigma)
        self._last = found, jacobian.weights.vector().numpy()
        return found

    def standard_errors(self, covariance):
        """By the path of each variable, in its shape."""
        weights = self._jacobian_of_model().weights
        paths = [variable.path for variable in weights.variables]
        twice = sorted({path for path in paths if paths.count(path) > 1})
        if twice:
            raise ValueError(
                "`standard_errors` names weights by their paths, and each must have its own: give "
                f"the layers different names. Received: several weights with the paths {twice}"
            )
        parts = np.split(covariance.standard_errors, np.cumsum(weights.sizes)[:-1])
        shapes = [tuple(variable.shape) for variable in weights.variables]
        return {
            path: part.reshape(shape)
            for path, part, shape in zip(paths, parts, shapes, strict=True)
        }

    def bands(self, x, level, covariance):
        level = number("level", level, above=0, below=1)
        x = keras.tree.map_structure(one_dtype, x)
        check_arrays(x)
        _check_inputs(x)
        jacobian = self._jacobian_of_model()
        if covariance is None:
            covariance = self._known_covariance(jacobian.weights)
        elif not isinstance(covariance, Covariance):
            raise wrong("covariance", "what `covariance` of this model returned", covariance)
        elif len(covariance.paths) != jacobian.weights.size:
            wanted = f"of this model, which has {jacobian.weights.size} trainable weights"
            raise wrong("covariance", wanted, covariance)
        chunks = []
        for _, outputs, _, J in jacobian.chunks(x):
            ends = np.cumsum([z[0].size for z in outputs])
            chunks.append(
                [
                    bands_around(
                        z,
                        J[:, end - z[0].size : end].reshape(z.size, -1),
                        covariance,
                        level,
                    )
                    for z, end in zip(outputs, ends, strict=True)
                ]
            )
        by_output = [
            [np.concatenate(parts) for parts in zip(*of_output, strict=True)]
            for of_output in zip(*chunks, strict=True)
        ]
        return Bands(*(jacobian.structured(list(one)) for one in zip(*by_output, strict=True)))

    def _known_covariance(self, weights):
        if self._last is None:
            raise ValueError(
                "`prediction_bands` needs the covariance of the weights: call `covariance(x, y)` "
                "on the data of the fit first, or pass `covariance`. Received: covariance=None"
            )
        covariance, w = self._last
        if not np.array_equal(w, weights.vector().numpy()):
            raise ValueError(
                "The weights have changed since `covariance` was called: call it again, or pass "
                "`covariance`. Received: covariance=None"
            )
        return covariance

    def _jacobian_of_model(self):
        variables = self.model.trainable_variables
        known = self._jacobian.weights.variables if self._jacobian else []
        if len(known) != len(variables) or any(
            a is not b for a, b in zip(known, variables, strict=True)
        ):
            self._jacobian = OutputJacobian(self.model, FlatWeights(variables))
        return self._jacobian


def _check_data(x, y, sample_weight):
    check_arrays(x, y, sample_weight)
    _check_inputs(x)
    check_given(x, y)
    for leaf in keras.tree.flatten(y):
        if leaf is not None:
            real_array("y", leaf)
    for leaf in keras.tree.flatten(sample_weight):
        if leaf is not None:
            real_array("sample_weight", leaf)
    check_lengths(x, y, sample_weight)
    check_sample_weights(sample_weight)


def _check_inputs(x):
    leaves = keras.tree.flatten(x)
    if not leaves or not all(hasattr(leaf, "__array__") for leaf in leaves):
        raise wrong("x", "an array, or a structure of arrays like the model's inputs", x)
    for leaf in leaves:
        real_array("x", leaf)


def _mean_squared_error(loss):
    if loss is None:
        return None
    if not family_of(loss).quadratic:
        name = getattr(loss, "name", getattr(loss, "__name__", loss))
        raise ValueError(
            "A covariance needs the loss 'mse': what others minimize is not a sum of squares, and "
            f"`sigma^2 (J^T J)^-1` is not the covariance of their weights. Received: loss={name}"
        )
    return keras.losses.get(loss)


def _factor(rows, loss, loss_weight):
    """What Keras's loss multiplies the weighted squares of one output with, but for a constant."""
    if loss is None or not rows.count:
        return 0.0
    weight = 1.0 if loss_weight is None else loss_weight
    reduction = getattr(loss, "reduction", "sum_over_batch_size")
    divisors = {"sum": rows.features, "mean_with_sample_weight": rows.weight}
    return weight / divisors.get(reduction, rows.unmasked)
