from ..._arguments import fraction
from ._paired_weights import paired


def soft_update(target, online, tau=0.005):
    """Moves every weight of one network a little towards another's (Polyak averaging).

    `target = target + tau * (online - target)`

    in one compiled call. `tau` is the share of the online network, as in Stable-Baselines3 and
    TF-Agents; the momentum of Keras's `use_ema` is `1 - tau`. What is not trainable in `online`,
    such as the statistics of `BatchNormalization`, is copied. What layers derive
    from their weights, as `Normalization` does, is computed anew, but not inside a `tf.function`.
    The seeds of random layers stay as they are, and so does the state of a stateful RNN: neither is
    a weight.

    `TargetNetwork` makes the copy, keeps the period, and has a callback for `fit`.

    Args:
        target: Built Keras layer or model, whose weights change.
        online: Built Keras layer or model with the same weights, held by the same attributes, or if
            those differ in the same order.
        tau: Number from 0 to 1. Default 0.005.

    Raises:
        TypeError: one of the two is no Keras layer.
        ValueError: `tau` is not from 0 to 1, one of the two is not built, they differ in their
            weights or share some, have layers of the same names in another order or layers whose
            weights have other names, a weight of `online` is not finite, or `target` has weights of
            half precision, which small steps do not move: use `TargetNetwork`. Nothing has changed
            then.

    Example:

    >>> online = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    >>> target = keras.models.clone_model(online)
    >>> online.set_weights([np.array([[1.0]]), np.array([1.0])])
    >>> target.set_weights([np.array([[0.0]]), np.array([0.0])])
    >>> kerazoo.models.soft_update(target, online, tau=0.25)
    >>> target.get_weights()[0]
    array([[0.25]], dtype=float32)

    References:
        Lillicrap et al., 2016, Continuous control with deep reinforcement learning,
        https://arxiv.org/abs/1509.02971
    """
    tau = fraction("tau", tau)
    pairs = paired(target, online)
    if pairs.half_precision and tau < 1:
        raise ValueError(
            "`target` must have weights of float32 or float64: in half precision a small step "
            "rounds to none. `TargetNetwork` keeps them in float32 beside. "
            f"Received: tau={tau}, target with {pairs.half_precision} in half precision"
        )
    pairs.move(tau)
