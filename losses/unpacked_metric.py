import re

import keras

from .._arguments import float_dtype, in_words, text, wrong
from . import _packing

AMBIGUOUS = ("accuracy", "acc", "crossentropy", "ce")


@keras.saving.register_keras_serializable(package="kerazoo")
class UnpackedMetric(keras.metrics.Metric):
    """Any Keras metric on one part of packed targets.

    `result = metric(part of y_true, y_pred)`

    Beside `PackedTargetsLoss` or `A2CActorLoss` an ordinary metric compares the predictions with
    the whole packed row, and often says nothing: `"mse"` of one output broadcasts over all columns,
    `"accuracy"` takes the advantage for a class. This one hands the metric the part that it means.
    In `weighted_metrics` it gets the sample weights, in `metrics` none, as in Keras.

    Args:
        metric: A `keras.metrics.Metric`, the name of one, or a function `(y_true, y_pred)` to be
            averaged. `"accuracy"` is refused: Keras guesses which one from the shape of the packed
            row. Name `"categorical_accuracy"`, `"sparse_categorical_accuracy"` or
            `"binary_accuracy"`.
        sizes: Dict, the name of each part and its number of columns, as in the loss.
        target: Name of the part that is `y_true` to `metric`.
        name: Name in the logs, or `None` (default) for the one that Keras gives `metric` in
            `compile`: a `metric` given by its name logs under this very name, e.g. `"mae"`.
        dtype: Dtype of the result of a `metric` given by name or as a function, or `None`. A
            metric object has its own.

    Input shape: `y_true` is (batch, ..., columns), `y_pred` what `metric` takes.

    Raises:
        ValueError: `sizes` does not name positive numbers of columns, `target` is not among them,
            `metric` is no metric, or the columns of `y_true` are not as many as `sizes` says.

    Example:

    >>> sizes = {"price": 1, "weight": 1}
    >>> metric = kerazoo.losses.UnpackedMetric("mse", sizes, target="price")
    >>> metric.update_state(np.array([[3.0, 100.0]]), np.array([[1.0]]))
    >>> float(metric.result())
    4.0
    """

    def __init__(self, metric, sizes, target, name=None, dtype=None):
        text("name", name, also=(None,))
        given = metric
        metric = _check_metric(metric, float_dtype("dtype", dtype))
        super().__init__(name=metric.name if name is None else name, dtype=metric.dtype)
        self.sizes = _packing.check_sizes(sizes)
        self.target = _packing.check_part("target", target, self.sizes)
        self.metric = metric
        # A function is saved as such: Keras would take the name of its wrapper for the function.
        is_wrapped = type(metric) is keras.metrics.MeanMetricWrapper and metric is not given
        self._saved_as = given if is_wrapped and not isinstance(given, dict) else metric

    def update_state(self, y_true, y_pred, sample_weight=None):
        part = _packing.unpack(y_true, self.sizes)[self.target]
        self.metric.update_state(part, y_pred, sample_weight=sample_weight)

    def result(self):
        return self.metric.result()

    def reset_state(self):
        self.metric.reset_state()

    def get_config(self):
        return {
            **super().get_config(),
            "metric": keras.saving.serialize_keras_object(self._saved_as),
            "sizes": dict(self.sizes),
            "target": self.target,
        }

    @classmethod
    def from_config(cls, config):
        metric = keras.saving.deserialize_keras_object(config["metric"])
        return cls(**{**config, "metric": metric})


def _check_metric(metric, dtype):
    if isinstance(metric, str) and metric.lower() in AMBIGUOUS:
        raise ValueError(
            "`metric` must say which accuracy or crossentropy it is, e.g. "
            f"'sparse_categorical_accuracy'. Received: metric={in_words(metric)}"
        )
    try:
        found = keras.metrics.get(metric)
    except ValueError:
        found = None
    if not callable(found):
        raise wrong("metric", "a Keras metric, the name of one, or a function", metric)
    if not isinstance(found, keras.metrics.Metric):
        name = metric if isinstance(metric, str) else _name_in_logs(found)
        return keras.metrics.MeanMetricWrapper(found, name=name, dtype=dtype)
    if isinstance(metric, str):
        given = {"name": metric, "dtype": dtype or found.dtype}
        return found.from_config({**found.get_config(), **given})
    if dtype is not None and found.dtype != keras.DTypePolicy(dtype).compute_dtype:
        raise ValueError(
            "`dtype` has no effect on a metric object, which has its own. "
            f"Received: dtype={dtype!r}, metric with dtype={found.dtype!r}"
        )
    return found


def _name_in_logs(function):
    """As Keras names it: `squaredError` and `SquaredError()` are `squared_error`."""
    if hasattr(function, "name"):  # A loss, say.
        return function.name
    name = getattr(function, "__name__", type(function).__name__)
    name = re.sub(r"\W+", "", name)
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()
