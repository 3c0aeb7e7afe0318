"""Running a trained network: over a context, one step on, and on from its own predictions."""

import tensorflow as tf


def rollout(step, first, states, horizon):
    """`horizon` predictions, `(batch, horizon, features)`, each the input of the next.

    `x[0] = first;  x[t], states = step(x[t - 1], states)`

    Args:
        step: Function `(x, states) -> (prediction, states)` of one time step.
        first: Tensor `(batch, features)`, the prediction of the first step.
        states: The recurrent states that belong to it.
        horizon: Integer tensor.
    """
    predictions = tf.TensorArray(first.dtype, size=horizon, element_shape=first.shape)

    def advance(t, x, states, predictions):
        x, states = step(x, states)
        return t + 1, x, states, predictions.write(t, x)

    *_, predictions = tf.while_loop(
        lambda t, *_: t < horizon,
        advance,
        (tf.constant(1), first, states, predictions.write(0, first)),
    )
    return tf.transpose(predictions.stack(), (1, 0, 2))  # (horizon, batch, ...) -> (batch, ...)


class CompiledNetwork:
    """A `RecurrentNetwork`'s inference as graphs, each traced once for any batch and length.

    Inputs `x` have the shape `(batch, time, features)`; `mask`, `(batch, time)`, is False where
    shorter series are padded at their end.

    `one_step(x)`: predictions of the same shape.
    `warm_up(x, mask)`: each series' last prediction, `(batch, features)`, and the states then.
    `step(x, states)`: the same after one more input `(batch, features)`.
    `forecast(x, mask, horizon)`: predictions `(batch, horizon, features)`.
    """

    def __init__(self, network, num_features):
        dtype = network.compute_dtype
        series = tf.TensorSpec((None, None, num_features), dtype)
        one = tf.TensorSpec((None, num_features), dtype)
        mask = tf.TensorSpec((None, None), "bool")
        states = [tf.TensorSpec((None, width), dtype) for width in network.state_widths]
        horizon = tf.TensorSpec((), "int32")

        def one_step(x):
            return network(x, network.initial_states(x))[0]

        def warm_up(x, mask):
            predictions, ended = network(x, network.initial_states(x), mask=mask)
            last = tf.reduce_sum(tf.cast(mask, "int32"), axis=1) - 1
            return tf.gather(predictions, last, batch_dims=1), ended

        def forecast(x, mask, horizon):
            return rollout(network.step, *warm_up(x, mask), horizon)

        self.one_step = tf.function(one_step, [series])
        self.warm_up = tf.function(warm_up, [series, mask])
        self.step = tf.function(network.step, [one, states])
        self.forecast = tf.function(forecast, [series, mask, horizon])
