"""The constant prediction that is best for the targets, by the kind of loss."""

import numpy as np

from .._arguments import number, real_array, wrong

KINDS = {
    "binary_crossentropy": "binary_crossentropy",
    "BinaryCrossentropy": "binary_crossentropy",
    "categorical_crossentropy": "categorical_crossentropy",
    "CategoricalCrossentropy": "categorical_crossentropy",
    "sparse_categorical_crossentropy": "sparse_categorical_crossentropy",
    "SparseCategoricalCrossentropy": "sparse_categorical_crossentropy",
    "mse": "mse",
    "mean_squared_error": "mse",
    "MeanSquaredError": "mse",
    "mae": "mae",
    "mean_absolute_error": "mae",
    "MeanAbsoluteError": "mae",
    "poisson": "poisson",
    "Poisson": "poisson",
}
FOCAL_KINDS = {
    "binary_focal_crossentropy": "binary_focal_crossentropy",
    "BinaryFocalCrossentropy": "binary_focal_crossentropy",
    "categorical_focal_crossentropy": "categorical_focal_crossentropy",
    "CategoricalFocalCrossentropy": "categorical_focal_crossentropy",
}
BINARY = ("binary_crossentropy", "binary_focal_crossentropy")
CATEGORICAL = (
    "categorical_crossentropy",
    "categorical_focal_crossentropy",
    "sparse_categorical_crossentropy",
)
CROSS_ENTROPIES = (*BINARY, *CATEGORICAL)


def loss_kind(name, kinds=KINDS):
    """The name that all spellings of a loss share."""
    if name not in kinds:
        raise ValueError(
            "`loss` must be one whose best constant prediction is known: "
            f"{sorted(set(kinds.values()))}. Received: loss={name!r}"
        )
    return kinds[name]


def best_constant(
    y,
    kind,
    smoothing=1.0,
    sample_weight=None,
    class_weight=None,
    units=None,
    label_smoothing=0.0,
    focal=None,
    ignore_class=None,
):
    """Rates, a mean, or a median: float64 (units,).

    `focal` is `{"gamma": ..., "alpha": ...}` for the focal losses, whose best constant is none of
    them: `alpha` is one number for each class, or for binary ones `(of class 0, of class 1)`.

    Sparse labels that are `ignore_class` count for nothing.

    `units` is the size of the targets' last axis, or for sparse labels the number of classes. None
    reads both off the targets, in which a rank of 1 then means one unit.
    """
    y = np.asarray(y)
    if y.size == 0 or y.dtype.kind not in "biuf":
        raise ValueError(
            f"`y` must be numbers, at least one. Received: shape {y.shape}, dtype {y.dtype}"
        )
    y = y.astype("float64")
    if not np.isfinite(y).all():
        raise ValueError(f"`y` must be finite. Received: {np.sum(~np.isfinite(y))} NaN or infinite")
    smoothing = number("smoothing", smoothing, minimum=0)
    sparse = kind == "sparse_categorical_crossentropy"
    rows = _rows(y, 1 if sparse else units)
    weights = _row_weights(y, len(rows), sample_weight, class_weight)
    if sparse and ignore_class is not None:
        kept = rows[:, 0] != ignore_class
        rows, weights = rows[kept], weights[kept]
        if weights.sum() == 0:
            raise ValueError(
                "`y` must have labels, of weight above 0, other than `ignore_class`. "
                f"Received: ignore_class={ignore_class}"
            )
    if sparse:
        rows = _one_hot(rows, units)
    if kind in CROSS_ENTROPIES and (rows.min() < 0 or rows.max() > 1):
        raise ValueError(
            f"`y` must lie in [0, 1] for {kind}. Received: from {rows.min()} to {rows.max()}"
        )
    if kind == "mae":
        return np.array([_weighted_median(column, weights) for column in rows.T])
    if kind in CROSS_ENTROPIES:  # so that `smoothing` means the same whatever the weights' scale
        weights = weights / weights.mean()
    total = weights @ rows  # (units,)
    count = weights.sum()
    if kind in BINARY:
        p = (total + smoothing) / (count + 2 * smoothing)
        p = p * (1 - label_smoothing) + label_smoothing / 2
    elif kind in CROSS_ENTROPIES:
        p = (total + smoothing) / (total.sum() + len(total) * smoothing)
        p = p * (1 - label_smoothing) + label_smoothing / len(p)
    else:
        if kind == "poisson" and total.min() <= 0:
            raise ValueError(
                "`y` must have a mean above 0 in every unit for poisson. "
                f"Received: means {total / count}"
            )
        return total / count
    if p.min() <= 0 or (kind in BINARY and p.max() >= 1):
        raise ValueError(
            "`smoothing` must be above 0 where a class is absent: its prior log-odds are infinite. "
            f"Received: smoothing={smoothing}, rates {p}"
        )
    if kind == "categorical_focal_crossentropy":
        return _focal_constant(p * focal["alpha"], focal["gamma"])
    if kind == "binary_focal_crossentropy":
        if not np.isin(rows, (0, 1)).all() or label_smoothing:
            raise ValueError(
                "`y` must be 0 or 1, and `label_smoothing` 0, for a binary focal cross-entropy, "
                "whose best constant for other targets is not known here. Received: "
                f"y from {rows.min()} to {rows.max()}, label_smoothing={label_smoothing}"
            )
        # Each unit has two classes of its own.
        pairs = np.stack([1 - p, p], axis=1) * focal["alpha"]
        return np.array([_focal_constant(pair, focal["gamma"])[1] for pair in pairs])
    return p


def _focal_constant(weights, gamma):
    """The p, of sum 1, with the least sum of `weights * (1 - p)**gamma * -log(p)`."""
    # At the minimum all weights[k] * slope(p[k]) are one number; both are found by bisection.

    def slope(p):
        q = 1 - p
        return q**gamma / p - gamma * q ** (gamma - 1) * np.log(p)

    def p_at(log_level):
        low, high = np.full(len(weights), -745.0), np.zeros(len(weights))  # of log p
        for _ in range(100):
            middle = (low + high) / 2
            with np.errstate(all="ignore"):
                too_steep = np.log(weights) + np.log(slope(np.exp(middle))) > log_level
            low, high = np.where(too_steep, middle, low), np.where(too_steep, high, middle)
        return np.exp((low + high) / 2)

    low, high = -745.0, 745.0
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if p_at(middle).sum() > 1 else (low, middle)
    p = p_at((low + high) / 2)
    return p / p.sum()


def log_odds(p):
    return np.log(p) - np.log1p(-p)


def _rows(y, units):
    """(rows, units): every axis but the last is one of examples."""
    if units is None:
        units = 1 if y.ndim < 2 else y.shape[-1]
    if y.ndim and y.shape[-1] == units and y.ndim > 1:
        return y.reshape(-1, units)
    if units != 1:
        raise ValueError(
            f"`y` must have {units} values on its last axis, one for each output unit. "
            f"Received: shape {y.shape}"
        )
    return y.reshape(-1, 1)


def _one_hot(rows, classes):
    labels = rows[:, 0].astype(int)
    classes = labels.max() + 1 if classes is None else classes
    if (labels != rows[:, 0]).any() or labels.min() < 0 or labels.max() >= classes:
        raise ValueError(
            f"`y` must be class labels from 0 to {classes - 1} for sparse_categorical_crossentropy."
            f" Received: from {rows.min()} to {rows.max()}"
        )
    return np.eye(classes)[labels]


def _row_weights(y, rows, sample_weight, class_weight):
    weights = np.ones(rows)
    if class_weight is not None:
        if not isinstance(class_weight, dict):
            raise wrong("class_weight", "a dict of numbers by class", class_weight)
        class_weight = {
            label: number("class_weight", weight, minimum=0)
            for label, weight in class_weight.items()
        }
        # As Keras reads classes: the position of the largest, or the only value as a label.
        wide = y.ndim > 1 and y.shape[-1] > 1
        labels = np.argmax(y, axis=-1) if wide else np.round(y)
        labels = labels.astype(int).reshape(-1)
        if len(labels) != rows:  # sparse labels of a sequence, whose last axis is time
            labels = np.round(y).astype(int).reshape(-1)
        weights = weights * np.array([class_weight.get(label, 1.0) for label in labels])
    if sample_weight is not None:
        sample_weight = real_array("sample_weight", sample_weight).astype("float64")
        # Weights of whole examples hold for each of their rows.
        of_rows = y.shape if y.size == rows else y.shape[:-1]
        given = _without_ones(sample_weight.shape)
        if given not in (_without_ones(y.shape[:1]), _without_ones(of_rows)):
            raise ValueError(
                "`sample_weight` must have one value for each example of `y`, or for each of its "
                f"positions, {of_rows}. "
                f"Received: shape {sample_weight.shape}, y.shape={y.shape}"
            )
        weights = weights * np.repeat(sample_weight.reshape(-1), rows // sample_weight.size)
    if not np.isfinite(weights).all() or weights.min() < 0 or weights.sum() == 0:
        raise ValueError(
            "`sample_weight` and `class_weight` must be finite, not negative, and not all 0. "
            f"Received: from {weights.min()} to {weights.max()}"
        )
    return weights


def _without_ones(shape):
    """Without the last axes of size 1."""
    while shape and shape[-1] == 1:
        shape = shape[:-1]
    return shape


def _weighted_median(values, weights):
    order = np.argsort(values, kind="stable")
    below = np.cumsum(weights[order])
    middle = np.searchsorted(below, below[-1] / 2)
    if below[middle] == below[-1] / 2:  # Everything between two values is a median: the midpoint.
        above = order[np.flatnonzero(below > below[middle])[0]]
        return (values[order[middle]] + values[above]) / 2
    return values[order[middle]]
