"""The numbers of a step: on their way out of the graph, to the logs and to the progress line."""

import keras
import tensorflow as tf

from ...optimizers.levenberg_marquardt.method import Failure, Measured, StopCode

# What the logs and the history hold of a step, and the progress line does not.
_QUIET = (
    "attempts",
    "gain_ratio",
    "gradient_norm",
    "step_norm",
    "polish",
    "cg_iterations",
    "stop_code",
)


def packed(step, optimizer):
    """One tensor: to hand out each number by itself takes longer."""
    values = (
        optimizer.damping.value,
        step.attempts,
        step.gain_ratio,
        step.gradient_norm,
        step.step_norm,
        step.polish,
        optimizer.cg_iterations.value,
        step.stop_code,
        optimizer.failure.value,
        *step.measured,
    )
    dtype = optimizer.weights.dtype
    return tf.stack([tf.cast(value, dtype) for value in values])


def unpacked(report):
    """The numbers for the logs, the `StopCode`, the `Failure` and the `Measured` of a step."""
    names = ("damping", *_QUIET)
    count = len(names)
    logs = dict(zip(names, report[:count], strict=True))
    measured = Measured(*report[count + 1 :])
    return logs, StopCode(int(logs["stop_code"])), Failure(int(report[count])), measured


def is_over(report):
    """Whether the fit ends with the step of this report, as a tensor; for full batches."""
    _, code, failure = tf.split(report, [1 + _QUIET.index("stop_code"), 1, -1])
    ends = (code[0] > int(StopCode.GOES_ON)) & (code[0] <= int(StopCode.NO_DESCENT))
    return ends | (failure[0] != int(Failure.NONE))


class ProgressLine(keras.callbacks.ProgbarLogger):
    """Keras's progress line with loss, metrics and damping; the history keeps all numbers."""

    # Keras may call it beside the next step, as it does with its own.
    async_safe = True

    def on_train_batch_end(self, batch, logs=None):
        super().on_train_batch_end(batch, _shown(logs))

    def on_epoch_end(self, epoch, logs=None):
        super().on_epoch_end(epoch, _shown(logs))


def with_progress_line(callbacks):
    """The callbacks, with a `ProgressLine` unless they bring a progress line of their own."""
    if isinstance(callbacks, keras.callbacks.CallbackList):
        return callbacks
    callbacks = [one for one in keras.tree.flatten(callbacks) if one is not None]
    if any(isinstance(one, keras.callbacks.ProgbarLogger) for one in callbacks):
        return callbacks
    return [*callbacks, ProgressLine()]


def _shown(logs):
    return {name: value for name, value in (logs or {}).items() if name not in _QUIET}
