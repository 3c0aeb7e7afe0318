import keras
import numpy as np
import tensorflow as tf

from ..._arguments import fraction, integer, positive_integer, wrong
from ..._layer_calls import layers_of
from ._paired_weights import PairedWeights, check_network


class TargetNetwork:
    """A copy of a network that follows it slowly, for targets that do not chase themselves.

    `target = target + tau * (online - target)`, at every `update_period`-th `update()`

    Q-learning predicts with the network that it trains. From a slow copy of it the targets hold
    still for a while. `tau=0.005` at every update is DDPG's, `tau=1.0` with
    `update_period=10_000` DQN's. For averaged weights at the end of a training, as opposed to a
    second network during it, take `use_ema` of Keras's optimizers.

    The copy is made here, with the weights of now, and set to `trainable = False`. It works for any
    layer or model that can be rebuilt from its config, recurrent ones and bare RNN cells too,
    `Lambda` layers (whose functions it shares) and classes that are not registered; otherwise pass
    a second one as `target`. `soft_update` says what moves, what is copied and what stays. Weights
    of half precision are kept in float32 beside: by themselves they would not move at all.

    `update` works inside a `tf.function` or a `train_step` too: the count of its calls is a
    variable. What a layer derives from its weights outside of variables, as `Normalization` does
    in `adapt`, follows with calls outside only, as Keras itself asks to compile anew after `adapt`.

    Args:
        model: Built Keras layer or model, the online network.
        tau: Number from 0 to 1, the share of the online network at each step. Default 0.005.
        update_period: Positive integer, the calls of `update` to one step. Default 1.
        target: Built Keras layer or model like `model`, or `None` (default) to copy it.

    Attributes: `model`, the target network, to be called; `online`, the given one; `calls`, the
        calls of `update` so far, which a checkpoint needs beside `get_weights` where
        `update_period` is more than 1. It can be set. `copy.deepcopy` copies both networks.

    Raises:
        TypeError: `model` or `target` is no Keras layer.
        ValueError: `model` is not built or cannot be copied, `target` differs from it, or `tau` or
            `update_period` is not as described.

    Example:

    >>> layers = [keras.layers.LSTM(8), keras.layers.Dense(2)]
    >>> online = keras.Sequential([keras.Input((5, 4)), *layers])
    >>> target = kerazoo.models.TargetNetwork(online, tau=0.01)
    >>> online.compile("adam", "mse")
    >>> x, y = np.ones((3, 5, 4)), np.ones((3, 2))
    >>> history = online.fit(x, y, verbose=0, callbacks=[target.callback()])
    >>> target.model(x).shape
    TensorShape([3, 2])

    References:
        Mnih et al., 2015, Human-level control through deep reinforcement learning
        Lillicrap et al., 2016, Continuous control with deep reinforcement learning,
        https://arxiv.org/abs/1509.02971
    """

    def __init__(self, model, tau=0.005, update_period=1, target=None):
        self.tau = fraction("tau", tau)
        self.update_period = positive_integer("update_period", update_period)
        self.online = model
        self.model = _copy(model) if target is None else target
        self._pairs = PairedWeights(self.model, model)
        self._pairs.keep_float32()
        self._calls = tf.Variable(0, trainable=False, dtype=tf.int64)
        self.model.trainable = False
        self.hard_update()

    def update(self):
        """Counts the call, and at every `update_period`-th moves the target by `tau`.

        Raises:
            ValueError: a weight of the online network is not finite; nothing has moved then. Inside
                a `tf.function` it is TensorFlow's `InvalidArgumentError`; compiled by XLA, which
                knows no errors, the target only stays as it is.
        """
        calls = self._calls.assign_add(1)
        if self.update_period == 1:
            self._pairs.move(self.tau)
        elif tf.executing_eagerly():
            if int(calls) % self.update_period == 0:
                self._pairs.move(self.tau)
        else:
            tf.cond(
                tf.equal(calls % self.update_period, 0),
                lambda: self._pairs.move(self.tau),
                lambda: None,
            )

    @property
    def calls(self):
        return int(self._calls)

    @calls.setter
    def calls(self, value):
        self._calls.assign(integer("calls", value, minimum=0))

    def hard_update(self):
        """Copies every weight of the online network, whatever `tau` is.

        Also after you have given the target other weights yourself.

        Raises:
            ValueError: a weight of the online network is not finite; nothing has changed then.
        """
        self._pairs.copy()

    def get_weights(self):
        """The target's weights as arrays, for a checkpoint; float32 where it keeps them so.

        The count of calls is not among them: see `calls`.
        """
        return [weight.numpy() for weight in self._pairs.exact]

    def set_weights(self, weights):
        """Takes back what `get_weights` gave.

        Raises:
            ValueError: the arrays are not as many, or of other shapes.
        """
        wanted = [tuple(weight.shape) for weight in self._pairs.exact]
        if not isinstance(weights, (list, tuple)) or [np.shape(w) for w in weights] != wanted:
            raise wrong("weights", f"a list of arrays of the shapes {wanted}", weights)
        self.model.set_weights(weights)
        for exact, weight in zip(self._pairs.exact, weights, strict=True):
            exact.assign(weight)

    def __reduce__(self):
        """For `copy.deepcopy` and `pickle`: a copy of both networks, and the count of calls."""
        state = (self.tau, self.update_period, self.get_weights(), self.calls)
        return _restored, (type(self), self.online, self.model, *state)

    def callback(self):
        """A Keras callback that calls `update` after each training batch of `fit`.

        With `steps_per_execution` Keras calls it once in so many batches.
        """
        return _UpdateAfterBatch(self)


class _UpdateAfterBatch(keras.callbacks.Callback):
    def __init__(self, target):
        super().__init__()
        self.target = target

    def on_train_batch_end(self, batch, logs=None):
        self.target.update()


def _restored(cls, online, model, tau, update_period, weights, calls):
    restored = cls(online, tau, update_period, target=model)
    restored.set_weights(weights)
    restored.calls = calls
    return restored


def _copy(model):
    check_network("model", model)
    try:
        with keras.saving.CustomObjectScope(_classes_in(model)):
            copy = type(model).from_config(_with_live_functions(model.get_config()))
            if not copy.built:
                copy.build_from_config(model.get_build_config())
                copy.built = True  # Keras forgets to say so of a subclassed model without `build`.
    except Exception as error:
        raise _cannot_copy(model, f"{type(error).__name__}: {error}") from error
    if len(copy.weights) != len(model.weights):
        raise _cannot_copy(model, f"{len(copy.weights)} of {len(model.weights)} weights came")
    return copy


LIVE_LAMBDA = "kerazoo>LiveLambda"  # in the config of a copy, in place of a Lambda layer


def _classes_in(model):
    """What the config of the copy may name beside Keras's classes and registered ones."""
    layers = layers_of(model)
    classes = {type(layer).__name__: type(layer) for layer in layers}
    own = {name: cls for name, cls in classes.items() if not cls.__module__.startswith("keras.")}
    lambdas = {layer.name: layer for layer in layers if type(layer) is keras.layers.Lambda}
    return {**own, LIVE_LAMBDA: _LiveLambdas(lambdas)}


def _with_live_functions(config):
    """A config whose `Lambda` layers are made again with the functions themselves.

    Keras refuses to load a Python function from a config as unsafe, and it would not know the names
    that the function was defined among.
    """
    if isinstance(config, (list, tuple)):
        return type(config)(map(_with_live_functions, config))
    if not isinstance(config, dict):
        return config
    if config.get("class_name") == "Lambda" and config.get("module") == "keras.layers":
        config = {**config, "module": None, "registered_name": LIVE_LAMBDA}
    return {key: _with_live_functions(value) for key, value in config.items()}


class _LiveLambdas:
    """Stands for a class whose instances are the `Lambda` layers of a model, by their names."""

    def __init__(self, by_name):
        self.by_name = by_name

    def from_config(self, config):
        layer = self.by_name[config["name"]]
        return keras.layers.Lambda(
            layer.function,
            output_shape=vars(layer)["_output_shape"],  # it has no public name
            mask=layer.mask,
            arguments=layer.arguments,
            name=layer.name,
            dtype=layer.dtype_policy,
        )


def _cannot_copy(model, why):
    return ValueError(
        "`model` could not be made a second time from its config; pass a second, built one as "
        f"`target`. Received: model={model!r}: {why}"
    )
