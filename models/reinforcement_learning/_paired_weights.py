"""The weights of two networks side by side, moved by one compiled call."""

import operator
import weakref

import keras
import numpy as np
import tensorflow as tf

HALF_PRECISION = ("float16", "bfloat16")
_PAIRS = weakref.WeakKeyDictionary()  # of each target the last pairs, with what they compiled


class PairedWeights:
    """Each weight of `target` and its counterpart in `online`; nothing is paired unchecked.

    `.weights` and not `.variables`: there every LSTM and GRU, and every Dropout, keeps the state
    of its random numbers, an integer that no average makes sense of.
    """

    def __init__(self, target, online):
        self.target, self.online = _weights(target, online)
        # float32 in place of what half precision cannot hold: at 1.0, a step of .005 * .01 is lost.
        self.exact = [w.value for w in self.target]
        self.half_precision = [  # the names of those that a small step does not move
            w.path
            for w, o in zip(self.target, self.online, strict=True)
            if w.dtype in HALF_PRECISION and _moves(w, o)
        ]
        self._soft = self._hard = None
        # An argument of the compiled call would take as long as moving the weights does.
        self._tau = tf.Variable(1.0, trainable=False, dtype=tf.float64)
        self._last_tau = 1.0

    def is_of(self, target, online):
        found = [*target.weights, *online.weights]
        known = [*self.target, *self.online]
        return len(found) == len(known) and all(map(operator.is_, found, known))

    def keep_float32(self):
        for i, weight in enumerate(self.target):
            if weight.dtype in HALF_PRECISION:
                self.exact[i] = tf.Variable(tf.cast(weight.value, tf.float32), trainable=False)

    def copy(self):
        self._hard = self._hard or self._compile(hard=True)
        self._run(self._hard)

    def move(self, tau):
        self._soft = self._soft or self._compile(hard=False)
        if tau != self._last_tau:
            self._tau.assign(tau)
            self._last_tau = tau
        self._run(self._soft)

    def _run(self, compiled):
        try:
            compiled()
        except tf.errors.InvalidArgumentError as error:
            wrong = [w.path for w in self.online if not np.isfinite(w.numpy()).all()]
            raise ValueError(
                "The online network must have finite weights: in the target's averages a NaN "
                f"would stay for ever. Nothing was changed. Received: NaN or infinite {wrong}"
            ) from error

    def _compile(self, hard):
        """A concrete function: a `tf.function` looks for one at every call."""

        def update():
            tau = {exact.dtype: tf.cast(self._tau, exact.dtype) for exact in self.exact}
            moved = []
            for exact, target, online in zip(self.exact, self.target, self.online, strict=True):
                new = tf.cast(online.value, exact.dtype)
                if not hard and _moves(target, online):
                    new = exact + tau[exact.dtype] * (new - exact)
                moved.append(new)
            # One operation a weight: NaN and infinities show in the sum of squares.
            squares = [tf.cast(tf.nn.l2_loss(w), tf.float32) for w in moved if w.dtype.is_floating]
            check = tf.debugging.check_numerics(tf.add_n(squares), "online weights")
            with tf.control_dependencies([check]):
                for exact, target, new in zip(self.exact, self.target, moved, strict=True):
                    exact.assign(new)
                    if exact is not target.value:
                        target.value.assign(tf.cast(new, target.dtype))

        return tf.function(update).get_concrete_function()


def paired(target, online):
    """The pairs of the two, remembered as long as `target` lives and neither has changed."""
    pairs = _PAIRS.get(target) if isinstance(target, keras.layers.Layer) else None
    if pairs is None or not pairs.is_of(target, online):
        pairs = PairedWeights(target, online)
        _PAIRS[target] = pairs
    return pairs


def _weights(target, online):
    for name, network in (("target", target), ("online", online)):
        if not isinstance(network, keras.layers.Layer):
            raise TypeError(
                f"`{name}` must be a Keras layer or model. Received: {name}={network!r}"
            )
        if not network.built or not network.weights:
            raise ValueError(
                f"`{name}` has no weights yet: build it, or call it on data, first. "
                f"Received: {name}={network!r}"
            )
    shapes = [[tuple(w.shape) for w in network.weights] for network in (target, online)]
    if shapes[0] != shapes[1]:
        index = next(
            (i for i, pair in enumerate(zip(*shapes, strict=False)) if pair[0] != pair[1]),
            min(map(len, shapes)),
        )
        raise ValueError(
            "`target` and `online` must have the same weights in the same order. Received: "
            f"{len(shapes[0])} and {len(shapes[1])} weights, the first that differ are "
            f"{_described(target, index)} and {_described(online, index)}"
        )
    shared = [w.path for w in target.weights if any(w is o for o in online.weights)]
    if shared:
        raise ValueError(
            "`target` and `online` must be two networks, and share no weight. "
            f"Received: they share {shared}"
        )
    return list(target.weights), list(online.weights)


def _described(network, index):
    weights = network.weights[index : index + 1]
    return f"{weights[0].path} {tuple(weights[0].shape)}" if weights else "none"


def _moves(target, online):
    """Statistics, counters and frozen weights are copied instead."""
    return online.trainable and keras.backend.is_float_dtype(target.dtype)
