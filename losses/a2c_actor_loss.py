import math

import keras
import numpy as np
from keras import ops

from .._arguments import choice, number
from . import _packing
from ._gaussian import FARTHEST, bounded_log_std, gaussian_entropy, gaussian_log_p
from ._packing import LARGEST
from ._row_loss import RowLoss, check_same_rows

DISTRIBUTIONS = ("categorical", "gaussian")


@keras.saving.register_keras_serializable(package="kerazoo")
class A2CActorLoss(RowLoss):
    """The actor's loss of advantage actor-critic (A2C): actions that did well become likelier.

    `value = -advantage * log p(action) - entropy_coefficient * entropy(p)`

    where p is the policy, the distribution that `y_pred` describes, and
    `y_true = [action | advantage]`. Train the critic on the returns with `"mse"` or
    `keras.losses.Huber()`, as a second output of the same model or as a model of its own. Give
    `class_weight` to no model with this loss, and metrics of the action as `UnpackedMetric`
    (`PackedTargetsLoss` says why).

    The value and its gradient are finite for every finite prediction, also where a policy runs
    away, as it does from an action with a negative advantage. Of the Gaussian a logarithm of the
    standard deviation, s, is taken as it is from -5 to 5; d beyond that it counts as
    d / (1 + d / 2), so that it stays between -7 and 7. Farther than 50 standard deviations from
    the mean, z**2 / 2 goes on as 50**2 (1 / 2 + log(|z| / 50)), whose slope falls. Within these
    ranges nothing changes. `ActorCritic` draws its actions with the same s.

    No gradient flows through the actions and advantages. Normalise advantages where you compute
    them, over the whole rollout, rather than over what a batch, its weights and its mask leave.

    The loss belongs to actions that the present policy has taken: gather them, train on them once
    with `train_on_batch`, throw them away. `fit` on a generator is no way to do that, since it
    fetches ahead: the next actions would come from the policy before the update.

    Args:
        distribution: `"categorical"` (default): `y_pred` holds n logits, and the action is one-hot
            (n columns) or an integer from 0 to n - 1 (one column). A row whose action is any other
            number, or zeros in place of one-hot, contributes nothing, on every backend and
            compiled or not: its value and gradient are 0. A logit of -inf forbids an action.
            `"gaussian"`: `y_pred` holds n means, then n logarithms of standard deviations, and the
            action n numbers. Where the environment clips actions, keep those before clipping.
        entropy_coefficient: Number not below 0, the weight of the entropy, which keeps the policy
            from settling too early. Default 0.01.
        reduction: As in `keras.losses.Loss`. Default `"sum_over_batch_size"`.
        name: Name of the loss, or `None`.
        dtype: Dtype of the computation, or `None` (default) for `keras.config.floatx()`.

    Input shape: `y_true` is (batch, action columns + 1) and `y_pred` (batch, n or 2 n); with time
    steps between, for sequences, in both.

    Mask and sample weights: as in Keras's losses. A `sample_weight` of shape (batch,) weighs whole
    sequences.

    Raises:
        ValueError: `distribution` is none of the two, `entropy_coefficient` is negative or not
            finite, or the columns of `y_true` and `y_pred` do not belong together.

    Example:

    >>> loss = kerazoo.losses.A2CActorLoss(entropy_coefficient=0.0)
    >>> y_true = loss.pack(action=[1, 0], advantage=[2.0, 0.0])
    >>> y_true
    array([[1., 2.],
           [0., 0.]], dtype=float32)
    >>> p = np.array([[0.5, 0.5], [0.9, 0.1]])
    >>> round(float(loss(y_true, np.log(p))), 4)  # -2 * log(0.5) / 2
    0.6931

    References:
        Mnih et al., 2016, Asynchronous Methods for Deep Reinforcement Learning,
        https://arxiv.org/abs/1602.01783
    """

    def __init__(
        self,
        distribution="categorical",
        entropy_coefficient=0.01,
        reduction="sum_over_batch_size",
        name=None,
        dtype=None,
    ):
        super().__init__("a2c_actor_loss" if name is None else name, reduction, dtype)
        self.distribution = choice("distribution", distribution, DISTRIBUTIONS)
        self.entropy_coefficient = number("entropy_coefficient", entropy_coefficient, minimum=0)

    def pack(self, action, advantage):
        """Actions and advantages side by side, as the targets of `fit`.

        Args:
            action: Array (batch, columns); (batch,) where that is one column, e.g. integers.
                With time steps after the batch, for sequences.
            advantage: Array (batch,) or (batch, 1), with the same time steps.

        Returns: NumPy array (batch, ..., columns + 1), float32, or float64 where that is floatx.

        Raises:
            ValueError: The rows are not as many, a value is not finite, or a categorical action
                is neither an integer from 0 nor one-hot.
        """
        actions, advantages = np.shape(action), np.shape(advantage)
        rank = len(advantages[:-1] if advantages[-1:] == (1,) else advantages)
        sizes = {"action": actions[-1] if len(actions) > rank else 1, "advantage": 1}
        parts = {"action": action, "advantage": advantage}
        packed = _packing.pack(parts, _packing.check_sizes(sizes), self.dtype)
        if self.distribution == "categorical":
            _check_categorical(packed[..., :-1])
        return packed

    def call(self, y_true, y_pred):
        check_same_rows(y_true, y_pred)
        y_true = ops.cast(ops.stop_gradient(y_true), self.wide_dtype)
        y_pred = ops.cast(y_pred, self.wide_dtype)
        action, advantage = y_true[..., :-1], y_true[..., -1]
        policy = _categorical if self.distribution == "categorical" else _gaussian
        log_p, entropy = policy(action, y_pred)
        value = -advantage * log_p - self.entropy_coefficient * entropy
        if self.dtype == "float16":  # In which a value too large for it would be infinite.
            value = ops.clip(value, -LARGEST["float16"], LARGEST["float16"])
        return ops.cast(value, self.dtype)

    def get_config(self):
        return {
            **super().get_config(),
            "distribution": self.distribution,
            "entropy_coefficient": self.entropy_coefficient,
        }


def _check_categorical(action):
    """Finds the actions of a gaussian policy, which the cast to integers would take silently."""
    if action.shape[-1] == 1:
        valid = (action >= 0) & (action == np.floor(action))
    else:
        valid = (action >= 0) & (action <= 1)
    if not valid.all():
        raise ValueError(
            "A categorical `action` must be an integer from 0, or one-hot; numbers belong to "
            "`distribution='gaussian'`. "
            f"Received: {action[~valid][0]} in action of shape {action.shape}"
        )


def _categorical(action, logits):
    """log p(action) and the entropy, each (...), of the policy softmax(logits)."""
    n = logits.shape[-1]
    if n is None or action.shape[-1] not in (n, 1):
        raise _wrong_columns(f"n = {n} logits need n or 1", action, logits)
    if action.shape[-1] != n:
        action = ops.cast(action == ops.arange(n, dtype=action.dtype), action.dtype)  # one-hot
    is_one = ops.any(action != 0, axis=-1)
    # So that differences are finite; -inf stays, of an action that is forbidden.
    within = ops.clip(logits, -FARTHEST, FARTHEST)
    log_p = ops.log_softmax(ops.where(logits == -math.inf, logits, within), axis=-1)
    # Of a forbidden action 0 * log 0 = 0, where the computer says 0 * -inf = nan.
    chosen = ops.sum(ops.where(action == 0, 0.0, action * log_p), axis=-1)
    p_log_p = ops.exp(log_p) * ops.where(log_p == -math.inf, 0.0, log_p)
    entropy = -ops.sum(p_log_p, axis=-1)
    return chosen, ops.where(is_one, entropy, 0.0)


def _gaussian(action, y_pred):
    """log p(action) and the entropy, each (...), of independent normals."""
    n = action.shape[-1]
    if n is None or y_pred.shape[-1] != 2 * n:
        raise _wrong_columns("n means and n log standard deviations need n", action, y_pred)
    mean, log_std = y_pred[..., :n], bounded_log_std(y_pred[..., n:])
    log_p = gaussian_log_p(action, mean, log_std)
    return ops.sum(log_p, axis=-1), ops.sum(gaussian_entropy(log_std), axis=-1)


def _wrong_columns(need, action, y_pred):
    return ValueError(
        f"The columns of the action, those of `y_true` but the last, must fit `y_pred`: {need}. "
        f"Received: action.shape={tuple(action.shape)}, y_pred.shape={tuple(y_pred.shape)}"
    )
