import tensorflow as tf

from ..linear_algebra import QR
from ..quadratic_model import WeightSpace

# Beyond, the QR factors take longer than what they add is worth.
MAX_WEIGHTS = 2000
MAX_STEPS = 20
# A step must shrink what is left of the gradient at least this much to be worth another.
WORTHWHILE = 0.95


def polishes(optimizer, objective, full_batch):
    """Whether a converged fit is polished.

    Raises:
        ValueError: It is not, and `polish=True` asks for it.
    """
    if optimizer.polish is False:
        return False
    weights = optimizer.weights
    conditions = {
        "float64 weights": weights.dtype == tf.float64,
        "a full batch": full_batch,
        "mse with no regularizer but L2": objective.quadratic,
        "no weight constraints but `Box` and `NonNeg`": weights.bounded or not weights.constrained,
        f"at most {MAX_WEIGHTS} weights": weights.size <= MAX_WEIGHTS,
    }
    missing = [name for name, holds in conditions.items() if not holds]
    if missing and optimizer.polish is True:
        raise ValueError(
            f"`polish` needs {', '.join(missing)}: leave it at 'auto'. Received: polish=True"
        )
    return not missing


def polish(objective, w):
    """Undamped Gauss-Newton steps from a converged w, for the last digits.

    Near the minimum the loss is flat to rounding and can no longer tell a better w from a worse
    one: half of the digits are lost. The projected gradient `|Q^T r|` still can, so a step
    `s = -R^-1 Q^T r` is kept while that falls. Stops at once where J has not full column rank.
    Weights at a bound stay there.
    """
    solver = QR(residual_form=True)
    weights = objective.weights

    def improving(k, w, smallest, candidate, go_on):
        return go_on & (k <= MAX_STEPS)

    def body(k, w, smallest, candidate, _):
        space = WeightSpace(objective, candidate, solver)
        T = space.system
        free = weights.free(candidate, space.gradient)
        if free is not None:
            T = solver.without(T, 1 - tf.cast(free, T.dtype))
        size = tf.norm(solver.projected_residual(T))
        s = solver.undamped_step(T)
        better = (size < WORTHWHILE * smallest) & solver.is_full_rank(T)
        better &= tf.reduce_all(tf.math.is_finite(s))
        k += tf.cast(better, k.dtype)
        best = tf.where(better, candidate, w)
        smallest = tf.where(better, size, smallest)
        return objective.agreed((k, best, smallest, weights.constrain(candidate + s), better))

    # The first pass takes w itself, whose projected gradient is the one to beat.
    start = (0, w, tf.constant(float("inf"), w.dtype), w, True)
    return tf.while_loop(improving, body, start)[1]
