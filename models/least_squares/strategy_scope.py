"""Keras kept out of `tf.distribute`: Levenberg-Marquardt spreads a batch over the devices itself.

Under a strategy Keras divides losses by the number of replicas, makes metrics that no process can
update alone, and its `fit` fails where there are several workers (keras #20585). Seeing none, it
trains as ever, and `train_step` is the only place that knows of the replicas.
"""

import contextlib
from concurrent.futures import ThreadPoolExecutor

import keras
import tensorflow as tf


def outside_scope(model, method, *args, **kwargs):
    """Calls a method of the model as if no `strategy.scope()` had been entered around the call.

    There is no way out of a scope but this: it belongs to a thread.
    """
    if not tf.distribute.has_strategy():
        return method(*args, **kwargs)
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(method, *args, **kwargs)
        try:
            return call.result()
        except KeyboardInterrupt:
            model.stop_training = True
            raise


def check_metrics(metrics):
    for metric in keras.tree.flatten(metrics):
        variables = getattr(metric, "variables", [])
        if any(hasattr(variable.value, "distribute_strategy") for variable in variables):
            raise ValueError(
                "`metrics` that are made inside `strategy.scope()` cannot be updated outside of a "
                "replica: give their names, or make them before the scope. "
                f"Received: metric={metric.name}"
            )


_NO_ANSWER = (
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.UnavailableError,
)


@contextlib.contextmanager
def failures_of_workers_named():
    """Says what has happened where TensorFlow speaks of collectives."""
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        if "Shape mismatch in the collective" not in str(error):
            raise
        raise ValueError(
            "All workers must see the same batches, of which each takes its rows. "
            "Received: batches of different sizes, or models of different shapes"
        ) from error
    except _NO_ANSWER as error:
        raise RuntimeError(
            "Another worker has died, or has not answered in time: the workers must take every "
            "step together. Start all of them again, from the last saved weights. "
            f"Received: {type(error).__name__}"
        ) from error
