import keras
from keras import losses

from .bernoulli import Bernoulli
from .dense import Dense
from .diagonal import Diagonal
from .multinomial import Multinomial
from .quadratic import Quadratic
from .softmax import Softmax

# A loss belongs to the first that covers it; Dense covers all.
FAMILIES = (Quadratic(), Diagonal(), Bernoulli(), Softmax(), Multinomial(), Dense())

_NOT_SMOOTH = (
    losses.MeanAbsoluteError,
    losses.MeanAbsolutePercentageError,
    losses.Hinge,
    losses.CategoricalHinge,
)
_BY_FUNCTION = {
    losses.mean_squared_error: losses.MeanSquaredError,
    losses.huber: losses.Huber,
    losses.log_cosh: losses.LogCosh,
    losses.poisson: losses.Poisson,
    losses.mean_squared_logarithmic_error: losses.MeanSquaredLogarithmicError,
    losses.binary_crossentropy: losses.BinaryCrossentropy,
    losses.categorical_crossentropy: losses.CategoricalCrossentropy,
    losses.sparse_categorical_crossentropy: losses.SparseCategoricalCrossentropy,
    losses.mean_absolute_error: losses.MeanAbsoluteError,
    losses.mean_absolute_percentage_error: losses.MeanAbsolutePercentageError,
    losses.hinge: losses.Hinge,
    losses.categorical_hinge: losses.CategoricalHinge,
}


def family_of(loss):
    """The `LossFamily` that `loss` belongs to.

    Families compare exact classes, because a subclass may compute something else.

    Args:
        loss: What `compile` takes for one output: a name, a function, a `keras.losses.Loss`, or
            None for an output without a loss, whose curvature is zero.

    Raises:
        ValueError: The loss is not smooth, so that it has no curvature to use, or not one number.
    """
    if loss is None:
        return Diagonal()
    loss = keras.losses.get(loss)
    if not isinstance(loss, losses.Loss) and loss in _BY_FUNCTION:
        loss = _BY_FUNCTION[loss]()
    if isinstance(loss, _NOT_SMOOTH):
        raise ValueError(
            "`loss` must be smooth in the outputs: Levenberg-Marquardt uses its curvature, and "
            f"{loss.name} has none. Use 'huber' or 'log_cosh' in place of an absolute error, a "
            f"cross-entropy in place of a hinge. Received: loss={loss.name}"
        )
    if isinstance(loss, losses.Loss) and loss.reduction in (None, "none"):
        raise ValueError(
            "`loss` must be reduced to one number, which is what a step lowers. "
            f"Received: loss={loss.name} with reduction={loss.reduction!r}"
        )
    return next(family for family in FAMILIES if family.covers(loss))
