"""The weights of two networks side by side, moved by one compiled call."""

import operator
import weakref

import keras
import numpy as np
import tensorflow as tf

from ..._layer_tree import (
    forget_compiled_functions,
    has_other_state,
    keys_by_name,
    layer_tree,
    name_of_weight,
    names_disagree,
    other_state,
    own_variables,
    refresh,
    set_other_state,
    takes_other_state,
)

HALF_PRECISION = ("float16", "bfloat16")
_PAIRS = weakref.WeakKeyDictionary()  # of each target the last pairs, with what they compiled


class PairedWeights:
    """Each weight of `target` and its counterpart in `online`; nothing is paired unchecked.

    `.weights` and not `.variables`: there every LSTM and GRU, and every Dropout, keeps the state
    of its random numbers, an integer that no average makes sense of.
    """

    def __init__(self, target, online):
        layers = _pairs_of_layers(target, online)
        self.target, self.online = _weights(target, online, layers)
        # float32 in place of what half precision cannot hold: at 1.0, a step of .005 * .01 is lost.
        self.exact = [w.value for w in self.target]
        self._soft = self._hard = self._frozen = None
        with tf.init_scope():
            # An argument of the compiled call would take as long as moving the weights does.
            self._tau = tf.Variable(1.0, trainable=False, dtype=tf.float64)
        self._last_tau = 1.0
        # Weak, as the pairs are kept by the target: it could not be freed otherwise.
        self._network = weakref.ref(target)
        self._derived = [[weakref.ref(t), None] for t, _ in layers if _has_derived_state(t)]
        self._other = [tuple(map(weakref.ref, pair)) for pair in layers if has_other_state(pair[0])]

    def is_of(self, target, online):
        found = [*target.weights, *online.weights]
        known = [*self.target, *self.online]
        return len(found) == len(known) and all(map(operator.is_, found, known))

    @property
    def half_precision(self):
        """The names of those that a small step does not move."""
        return [
            w.path
            for w, o in zip(self.target, self.online, strict=True)
            if w.dtype in HALF_PRECISION and _moves(w, o)
        ]

    def keep_float32(self):
        for i, weight in enumerate(self.target):
            if weight.dtype in HALF_PRECISION:
                self.exact[i] = tf.Variable(tf.cast(weight.value, tf.float32), trainable=False)

    def copy(self):
        if not tf.executing_eagerly():
            self._update(None, guarded=True)
            return
        with tf.init_scope():
            self._hard = (
                self._hard or tf.function(lambda: self._update(None)).get_concrete_function()
            )
        self._run(self._hard)
        self._copy_other_state()

    def move(self, tau):
        if tau == 1:  # the sum would be rounded
            self.copy()
            return
        if not tf.executing_eagerly():  # a variable would have the value of whatever call is last
            self._update(tau, guarded=True)
            return
        frozen = [not weight.trainable for weight in self.online]
        if self._soft is None or frozen != self._frozen:
            self._frozen = frozen
            self._soft = tf.function(lambda: self._update(self._tau)).get_concrete_function()
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
        self._refresh()

    def _refresh(self):
        """What layers derive from their weights outside of variables, where these have changed."""
        changed = False
        for entry in self._derived:
            layer, last = entry[0](), entry[1]
            entry[1] = [np.array(value) for value in own_variables(layer).values()]
            if last is None or not all(map(np.array_equal, last, entry[1])):
                changed |= refresh(layer)
        if changed:
            forget_compiled_functions(layer_tree(self._network()))

    def _copy_other_state(self):
        """Vocabularies and bin boundaries, which no average makes sense of."""
        changed = False
        for target, online in self._other:
            target, online = target(), online()
            if takes_other_state(target):
                state = other_state(online)
                if state and state != other_state(target):
                    arrays = {}
                    online.save_own_variables(arrays)
                    set_other_state(target, state, arrays)
                    changed = True
        if changed:
            forget_compiled_functions(layer_tree(self._network()))

    def _update(self, tau, guarded=False):
        """The operations of one step; `tau` is None where everything is copied.

        `guarded`: what is not finite changes nothing under XLA either, which leaves out the check.
        """
        moved = []
        for exact, target, online in zip(self.exact, self.target, self.online, strict=True):
            new = tf.cast(online.value, exact.dtype)
            if tau is not None and _moves(target, online):
                new = exact + tf.cast(tau, exact.dtype) * (new - exact)
            moved.append(new)
        # One operation a weight: NaN and infinities show in the sum of squares.
        squares = [tf.cast(tf.nn.l2_loss(w), tf.float32) for w in moved if w.dtype.is_floating]
        total = tf.add_n(squares)
        if guarded:
            is_finite = tf.math.is_finite(total)
            moved = [
                tf.where(is_finite, new, exact)
                for new, exact in zip(moved, self.exact, strict=True)
            ]
        check = tf.debugging.check_numerics(total, "online weights")
        with tf.control_dependencies([check]):
            for exact, target, new in zip(self.exact, self.target, moved, strict=True):
                exact.assign(new)
                if exact is not target.value:
                    target.value.assign(tf.cast(new, target.dtype))


def paired(target, online):
    """The pairs of the two, remembered as long as `target` lives and neither has changed."""
    pairs = _PAIRS.get(target) if isinstance(target, keras.layers.Layer) else None
    if pairs is None or not pairs.is_of(target, online):
        pairs = PairedWeights(target, online)
        _PAIRS[target] = pairs
    return pairs


def _pairs_of_layers(target, online):
    """(layer of target, layer of online) by the keys of both, or nothing where these differ."""
    check_network("target", target)
    check_network("online", online)
    trees = [layer_tree(network) for network in (target, online)]
    layers = [tree.by_path() for tree in trees]
    if layers[0].keys() != layers[1].keys():
        return []
    _check_names(*trees)
    return [(layer, layers[1][path]) for path, layer in layers[0].items()]


def _check_names(target, online):
    """The same names in another order: the user's own names, and a silent exchange of weights."""
    names = [[p.layer.name for p in tree.parts if p.has_weights()] for tree in (target, online)]
    if names[0] != names[1] and sorted(names[0]) == sorted(names[1]):
        raise ValueError(
            "`target` and `online` must not have layers of the same names in another order: it "
            f"would be unclear which belong together. Received: {names[0]} and {names[1]}"
        )
    for parts in zip(target.parts, online.parts, strict=True):
        _check_names(*parts)


def check_network(name, network):
    if not isinstance(network, keras.layers.Layer):
        raise TypeError(f"`{name}` must be a Keras layer or model. Received: {name}={network!r}")
    if not network.built or not network.weights:
        raise ValueError(
            f"`{name}` has no weights yet: build it, or call it on data, first. "
            f"Received: {name}={network!r}"
        )


def _weights(target, online, pairs_of_layers):
    """The weights of both side by side: by their keys, or in order where the keys differ."""
    ours = list(target.weights)
    theirs = _by_keys(ours, pairs_of_layers) or list(online.weights)
    shapes = [[tuple(w.shape) for w in weights] for weights in (ours, theirs)]
    if shapes[0] != shapes[1]:
        index = next(
            (i for i, pair in enumerate(zip(*shapes, strict=False)) if pair[0] != pair[1]),
            min(map(len, shapes)),
        )
        raise ValueError(
            "`target` and `online` must have the same weights in the same order. Received: "
            f"{len(shapes[0])} and {len(shapes[1])} weights, the first that differ are "
            f"{_described(ours, index)} and {_described(theirs, index)}"
        )
    differ = [
        (w.path, there.path)
        for w, there in zip(ours, theirs, strict=True)
        if names_disagree(name_of_weight(w), name_of_weight(there))
    ]
    if differ:
        raise ValueError(
            "The weights of `target` and `online` must have the same names within their layers: a "
            "gamma is no beta. Give the layers of both networks the same arguments. "
            f"Received: {differ}"
        )
    shared = [w.path for w in ours if any(w is o for o in theirs)]
    if shared:
        raise ValueError(
            "`target` and `online` must be two networks, and share no weight. "
            f"Received: they share {shared}"
        )
    return ours, theirs


def _by_keys(ours, pairs_of_layers):
    partners = {}
    for target, online in pairs_of_layers:
        variables, there = own_variables(target), own_variables(online)
        if variables.keys() != there.keys():
            return None
        keys = keys_by_name(variables, there) or {key: key for key in there}
        partners |= {id(variable): there[keys[key]] for key, variable in variables.items()}
    found = [partners.get(id(weight)) for weight in ours]
    return None if any(partner is None for partner in found) else found


def _described(weights, index):
    weights = weights[index : index + 1]
    return f"{weights[0].path} {tuple(weights[0].shape)}" if weights else "none"


def _has_derived_state(layer):
    return hasattr(layer, "finalize_state") and bool(own_variables(layer))


def _moves(target, online):
    """Statistics, counters and frozen weights are copied instead."""
    return online.trainable and keras.backend.is_float_dtype(target.dtype)
