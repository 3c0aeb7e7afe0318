from typing import NamedTuple

import keras
import tensorflow as tf

from .damping_rules import DampingState
from .failures import Failure, data_is_finite, mixes_examples


class Start(NamedTuple):
    """Where the attempts of a step begin: at the weights, or back at those before them."""

    failure: tf.Tensor  # a `Failure`
    taken_back: tf.Tensor
    w: tf.Tensor
    outputs: list
    loss: tf.Tensor
    state: DampingState


class WayBack:
    """The weights before the last step, for when the gradient is not finite where it led.

    A trial is accepted on its loss alone: a look at its gradient would cost a backward pass, a
    tenth of a small step, and the next linearization has it for nothing. Where that is not finite,
    the weights before come back with more damping. With a full batch, from then on in this fit a
    trial is accepted only after a look at its gradient, and so is the last step.

    None of this is saved: it belongs to a fit.

    Args:
        size: Number of weights.
        dtype: Theirs.
    """

    def __init__(self, size, dtype):
        def variable(name, shape=(), dtype=dtype):
            return keras.Variable("zeros", shape, dtype, trainable=False, name=name)

        self._weights = variable("previous_weights", (size,))
        self._loss = variable("previous_loss")
        self._length = variable("last_step_norm")
        self.check_gradient = variable("check_gradient", dtype="int32")

    def remember(self, w, loss, length):
        """The weights w that a step of this length leaves; a length of 0 bars the way back."""
        self._weights.assign(w)
        self._loss.assign(loss)
        self._length.assign(length)

    def forget(self):
        self._length.assign(0.0)
        self.check_gradient.assign(0)

    def start(self, optimizer, objective, linearization, w, healthy, data, state, rule):
        """The `Start` of a step; the optimizer keeps the first failure, and at which step.

        Args:
            optimizer: The `LevenbergMarquardt`.
            objective: The `Objective` of the batch.
            linearization: Of the objective at w.
            w: The weights.
            healthy: Whether the loss and all of the linearization are finite.
            data: The batch, looked through for NaN and Inf.
            state: `DampingState`.
            rule: Damping rule.
        """

        differ = objective.differs_between_workers(data)

        def look():
            mixed = mixes_examples(objective, w, linearization.outputs)
            finite_data = data_is_finite(data)
            # Whoever assigns other weights has no way back from them.
            length = self._length.value
            distance = tf.norm(w - self._weights.value)
            own = (length > 0) & (tf.abs(distance - length) <= 1e-3 * length)
            back = ~healthy & finite_data & own
            of_loss = tf.where(finite_data, int(Failure.LOSS), int(Failure.DATA))
            of_loss = tf.where(back, int(Failure.NONE), of_loss)
            of_layers = tf.where(mixed, int(Failure.MIXING), int(Failure.NONE))
            self.check_gradient.assign(tf.where(back, 1, self.check_gradient.value))
            w_start = tf.where(back, self._weights.value, w)
            states = zip(rule.take_back(state), state, strict=True)
            failure = tf.where(healthy, of_layers, of_loss)
            if differ is False:
                _note(optimizer, failure)
            return Start(
                failure=failure,
                taken_back=back,
                w=w_start,
                outputs=objective.outputs(w_start),
                loss=tf.where(back, self._loss.value, linearization.loss),
                state=DampingState(*(tf.where(back, a, b) for a, b in states)),
            )

        def go_on():
            return Start(
                int(Failure.NONE), False, w, linearization.outputs, linearization.loss, state
            )

        # The first step looks for layers that mix examples.
        looks = objective.agreed((optimizer.iterations.value == 0) | ~healthy)
        start = tf.cond(looks, look, go_on)
        if differ is False:
            return start
        failure = tf.where(differ, int(Failure.BATCHES), start.failure)
        start = objective.agreed(start._replace(failure=failure))
        _note(optimizer, start.failure)
        return start


def _note(optimizer, failure):
    first = (failure != Failure.NONE) & (optimizer.failure.value == Failure.NONE)
    for variable, value in (
        (optimizer.failure, failure),
        (optimizer.failed_step, optimizer.iterations.value + 1),
    ):
        variable.assign(tf.where(first, value, variable.value))
