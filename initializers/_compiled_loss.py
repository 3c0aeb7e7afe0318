"""Losses and targets matched to a model's outputs by Keras itself, without touching the model."""

import inspect
import warnings

import keras
from keras import ops


class _Lender(keras.Model):
    """Never called: it lends the `compile` and `compute_loss` of Keras."""


def fit_loss(model, loss=None):
    """`fit_loss(model, loss)(x, y, y_pred, sample_weight)`: the scalar that `fit` minimises.

    The losses of `compile`, here `loss` or else the compiled ones, and the model's own from
    regularizers and `add_loss`. Gives None where there is no loss at all.
    """
    own_compute_loss = type(model).compute_loss is not keras.Model.compute_loss
    if loss is None and not model.compiled:
        return None
    if loss is None and own_compute_loss:
        knows_training = "training" in inspect.signature(model.compute_loss).parameters
        arguments = {"training": False} if knows_training else {}

        def value(x, y, y_pred, sample_weight=None):
            return model.compute_loss(
                x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, **arguments
            )

        return value
    weights = None
    if loss is None:
        loss, weights = model.loss, _loss_weights(model)
    lender = None if loss is None else _lender(model, loss, weights)

    def value(x, y, y_pred, sample_weight=None):
        losses = list(model.losses)
        if lender is not None:
            losses.append(_matched(lender, y, y_pred, sample_weight))
        if not losses:
            raise ValueError("`targets` need a `loss`, or a compiled model with one.")
        return sum(ops.cast(loss, keras.config.floatx()) for loss in losses)

    return value


def loss_pairs(model, loss, y, y_pred, sample_weight=None):
    """`[(loss, target, output, sample weight)]`, as Keras pairs them; None is no loss."""
    pairs = []

    class Recorder(keras.losses.Loss):
        def __init__(self, loss):
            super().__init__(name="recorder")
            self.loss = loss

        def __call__(self, y_true, y_pred, sample_weight=None):
            pairs.append((self.loss, y_true, y_pred, sample_weight))
            return ops.zeros(())

    recorders = keras.tree.map_structure(lambda one: None if one is None else Recorder(one), loss)
    _matched(_lender(model, recorders), y, y_pred, sample_weight)
    return pairs


def _lender(model, loss, loss_weights=None):
    lender = _Lender(name="losses")
    if getattr(model, "output_names", None):
        lender.output_names = list(model.output_names)
    lender.compile(loss=loss, loss_weights=loss_weights, jit_compile=False)
    return lender


def _loss_weights(model):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about optimizers or lambdas in the config
        return model.get_compile_config().get("loss_weights")


def _matched(lender, y, y_pred, sample_weight):
    try:
        several = isinstance(lender.loss, (list, tuple)) and isinstance(y_pred, (list, tuple))
        if several and len(lender.loss) != len(y_pred):  # Keras leaves out the last outputs.
            raise ValueError(f"{len(lender.loss)} losses for {len(y_pred)} outputs")
        return lender.compute_loss(y=y, y_pred=y_pred, sample_weight=sample_weight)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            "Targets and losses must match the model's outputs, as in `compile` and `fit`. "
            f"Received: outputs {_shapes(y_pred)}, targets {_shapes(y)}. {error}"
        ) from error


def _shapes(structure):
    return keras.tree.map_structure(
        lambda leaf: str(tuple(leaf.shape)) if hasattr(leaf, "shape") else repr(leaf), structure
    )
