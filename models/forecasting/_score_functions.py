"""The metrics of a backtest, built-in and the user's own, as functions of one form."""

import inspect

from ..._arguments import in_words
from .metrics import mase, rmse, rmsse, smape

_BUILT_IN = {"mase": mase, "rmse": rmse, "rmsse": rmsse, "smape": smape}


def score_functions(metrics):
    """A dict of functions `f(y_true, y_pred, y_train, season_length)` by name."""
    if metrics is None:
        metrics = ["mase", "rmse"]
    elif isinstance(metrics, str) or callable(metrics):
        metrics = [metrics]
    if not isinstance(metrics, dict):
        if not isinstance(metrics, (list, tuple)):
            raise _wrong(metrics)
        metrics = {_name(metric): metric for metric in metrics}
    if not metrics or not all(isinstance(name, str) for name in metrics):
        raise _wrong(metrics)
    return {name: _of_four(metric, metrics) for name, metric in metrics.items()}


def _name(metric):
    return metric if isinstance(metric, str) else getattr(metric, "__name__", type(metric).__name__)


def _of_four(metric, metrics):
    if isinstance(metric, str) and metric in _BUILT_IN:
        metric = _BUILT_IN[metric]
    if not callable(metric) or isinstance(metric, type):
        raise _wrong(metrics)
    try:
        parameters = inspect.signature(metric).parameters
    except ValueError:  # some compiled functions do not tell theirs
        parameters = {}
    if "y_train" in parameters:
        wanted = [name for name in ("y_train", "season_length") if name in parameters]

        def function(y_true, y_pred, y_train, season_length):
            known = {"y_train": y_train, "season_length": season_length}
            return metric(y_true, y_pred, **{name: known[name] for name in wanted})

        return function
    required = [
        parameter
        for parameter in parameters.values()
        if parameter.default is parameter.empty
        and parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    ]
    if len(required) == 4:
        return metric
    if len(required) > 2:
        raise _wrong(metrics)
    return lambda y_true, y_pred, y_train, season_length: metric(y_true, y_pred)


def _wrong(metrics):
    names = ", ".join(repr(name) for name in _BUILT_IN)
    return ValueError(
        f"`metrics` must be one or a list of {names} and functions f(y_true, y_pred) or f(y_true, "
        "y_pred, y_train, season_length), or a dictionary of such by name. "
        f"Received: metrics={in_words(metrics)}"
    )
