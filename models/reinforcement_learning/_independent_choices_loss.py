import keras
import numpy as np
from keras import ops

from ..._arguments import wrong
from ...losses import A2CActorLoss
from ._spaces import heads


@keras.saving.register_keras_serializable(package="kerazoo")
class IndependentChoicesLoss(A2CActorLoss):
    """`A2CActorLoss` of several independent choices, with the sum of their logits as outputs.

    Log probability and entropy of the joint policy are the sums over the choices, and so is the
    loss. `y_true` is (batch, choices + 1), each choice as an integer, and `y_pred`
    (batch, sum(sizes)).
    """

    def __init__(self, sizes, entropy_coefficient=0.01, **kwargs):
        super().__init__("categorical", entropy_coefficient, **kwargs)
        self.sizes = tuple(sizes)

    def pack(self, action, advantage):
        if np.shape(action)[-1] != len(self.sizes) or (np.asarray(action) >= self.sizes).any():
            raise wrong("action", f"integers below {self.sizes}, one for each choice", action)
        advantages = np.broadcast_to(np.expand_dims(advantage, -1), np.shape(action))
        packed = super().pack(np.expand_dims(action, -1), advantages)  # (batch, choices, 2)
        return np.concatenate([packed[..., 0], packed[..., :1, 1]], axis=-1)

    def call(self, y_true, y_pred):
        actions, advantages = y_true[..., :-1], y_true[..., -1:]
        advantages = ops.broadcast_to(advantages, ops.shape(actions))
        y_true = ops.stack([actions, advantages], axis=-1)  # (batch, choices, 2)
        return ops.sum(super().call(y_true, heads(y_pred, self.sizes)), axis=-1)

    def get_config(self):
        config = {**super().get_config(), "sizes": list(self.sizes)}
        del config["distribution"]
        return config
