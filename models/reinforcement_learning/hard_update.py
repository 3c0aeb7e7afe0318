from ._paired_weights import paired


def hard_update(target, online):
    """Copies every weight of one network into another.

    `target = online`

    After `keras.models.clone_model` in particular, which copies a network and not its weights.
    All of `.weights` is copied, the statistics of `BatchNormalization` included, in one compiled
    call. What layers derive from their weights, as `Normalization` does, is computed anew, and
    vocabularies and bin boundaries are copied, but not inside a `tf.function`. The seeds of random
    layers stay as they are, and so does the state of a stateful RNN: neither is a weight.

    Args:
        target: Built Keras layer or model, whose weights change.
        online: Built Keras layer or model with the same weights, held by the same attributes, or if
            those differ in the same order. Names of layers and dtypes may differ.

    Raises:
        TypeError: one of the two is no Keras layer.
        ValueError: one of the two is not built, they differ in their weights or share some, have
            layers of the same names in another order or layers whose weights have other names, or
            a weight of `online` is not finite. Nothing has changed then.

    Example:

    >>> online = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    >>> target = keras.models.clone_model(online)
    >>> kerazoo.models.hard_update(target, online)
    >>> bool(np.all(target.get_weights()[0] == online.get_weights()[0]))
    True

    References:
        Mnih et al., 2015, Human-level control through deep reinforcement learning
    """
    paired(target, online).copy()
