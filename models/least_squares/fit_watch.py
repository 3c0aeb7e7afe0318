"""What the graph of a step cannot do: stop a fit, end it with an error, say why it ended."""

import warnings

from ...optimizers.levenberg_marquardt.method import Failure, StopCode, tolerances
from .network_checks import mixing_layer
from .step_report import unpacked


class FitWatch:
    """Looks at every step of one `fit`, or of calls of `train_on_batch`.

    Args:
        optimizer: The `LevenbergMarquardt`.
        epochs: How many the `fit` may take; None outside of a `fit`.
        whole_batch: Whether every step sees the same batch, the whole data set.
        verbose: Whether to print.
    """

    def __init__(self, optimizer, epochs=None, whole_batch=False, verbose=False):
        self.optimizer = optimizer
        self.epochs = epochs
        self.whole_batch = whole_batch
        self.verbose = verbose
        self.first_step = int(optimizer.iterations.numpy())
        self.steps = 0
        self.last = None  # `StopCode` and `Measured`
        self.failure = None
        self.batch = None  # the whole one, once it is read
        self.batch_size = None  # shapes of the first, where others may have another size

    def watched(self, model, train_function, iterator):
        """The logs of the step, or steps, that `train_function` takes."""
        if self.whole_batch and self.steps + 1 == self.epochs:
            self.optimizer.check_next_gradient()  # no later step would
        logs = dict(train_function(iterator, self))
        numbers, code, failure, measured = unpacked(logs.pop("report").numpy())
        if self.verbose and self.steps == 0:
            print(f"\nLevenberg-Marquardt: {self.optimizer.choice}")
        self.steps += 1
        if failure:
            self._end_or_raise(model, failure)
        self.last = code, measured
        if self.whole_batch and code.ends_fit:
            model.stop_training = True
        return {**logs, **numbers}

    def _end_or_raise(self, model, failure):
        batch = int(self.optimizer.failed_step.numpy()) - self.first_step
        self.optimizer.failure.assign(int(Failure.NONE))
        layer = mixing_layer(model.model) if failure == Failure.MIXING else None
        message = failure.message(batch, layer)
        if failure != Failure.LOSS or batch == 1 or self.epochs is None:
            raise ValueError(message)
        # The weights are good for the batches before this one: the fit ends with them.
        self.failure = message
        model.stop_training = True

    def say_why(self, epochs_taken):
        """Sets the optimizer's `stop_reason`, prints it, and warns where a fit led nowhere."""
        reason, is_bad = self._reason(epochs_taken)
        self.optimizer.stop_reason = reason
        if self.verbose:
            print(f"Levenberg-Marquardt: {reason}")
        if is_bad:
            warnings.warn(reason, stacklevel=4)

    def _reason(self, epochs_taken):
        if self.failure:
            return f"No finite step. {self.failure}", True
        if self.last is None:
            return "No step was taken: the fit had no epochs left.", False
        code, measured = self.last
        sentence = code.sentence(measured, tolerances(self.optimizer))
        if self.whole_batch and code.ends_fit:
            return sentence, code > StopCode.ROUNDING
        if epochs_taken < self.epochs:
            return f"A callback stopped the fit after epoch {epochs_taken} of {self.epochs}.", False
        return f"All epochs are used up ({self.epochs}). {sentence}", False
