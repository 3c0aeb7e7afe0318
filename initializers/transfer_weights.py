import collections

import numpy as np
from keras import ops

from ._weight_trees import leaves_of_model, tree_of
from .transfer_report import TransferReport


def transfer_weights(source, target, mapping=None, skip=(), strict=False):
    """Copies weights from another model or file into a built model, by the names of the layers.

    Every layer of the target takes the weights of the source's layer of the same path, whole or not
    at all. All is checked before anything is assigned: a failure leaves the target as it was.

    `keras.Model.load_weights` goes by class and position, so that an inserted layer of the same
    shape silently gets its neighbour's weights, and a failure leaves half of the model
    overwritten. Use this one to start a model from an earlier version of itself, from an
    autoencoder or a pretrained LSTM, or a federated client from a pretrained model.

    Names that Keras makes up, `dense_1`, depend on what else was built before. Layers without names
    of their own are therefore matched by class and order, and only where both models have equally
    many of that class; otherwise the function asks for names, `mapping` or `skip`. Name your
    layers: `Dense(64, name="encoder")`.

    Args:
        source: A built model, or the path of a `.keras` or `.weights.h5` file. Of a file only the
            weights are read: no class of it needs to be known, no code of it runs.
        target: A built model. Random seeds and optimizer state stay as they are.
        mapping: Dict from a layer's path in the source to its path in the target, `{"encoder/lstm":
            "lstm"}`; a nested model's path stands for all of its layers. Default `None`.
        skip: Paths of layers or nested models, in the source or the target, that take no part.
        strict: Boolean, whether everything must find its place: raises if a shape differs or
            anything is missing or unused. Default `False`.

    Returns:
        A `TransferReport`: `.copied`, `.shape_mismatch`, `.missing`, `.unused`, `.table()`.

    Raises:
        ValueError: a model is not built, the file is of another kind, `mapping` or `skip` names
            what is not there, layers without names cannot be told apart, two layers claim one
            place, a value is not finite in the target's precision, nothing could be copied, or
            `strict` and not all fits.

    Example:

    >>> def model(outputs):
    ...     x = inputs = keras.Input((4,))
    ...     x = keras.layers.Dense(8, name="encoder")(x)
    ...     return keras.Model(inputs, keras.layers.Dense(outputs, name="head")(x))
    >>> report = kerazoo.initializers.transfer_weights(model(5), model(2))
    >>> print(report.table())
    copied          2
    shape mismatch  2  head/kernel (8, 5) -> (8, 2), head/bias (5,) -> (2,)
    missing         0
    unused          0
    """
    skip = (skip,) if isinstance(skip, str) else tuple(skip)
    mapping = dict(mapping or {})
    givers, takers = tree_of(source), leaves_of_model(target)
    _check_paths("mapping", mapping, givers)
    _check_paths("mapping", mapping.values(), takers)
    _check_paths("skip", skip, givers + takers)
    givers, takers = (
        [leaf for leaf in side if not _within(leaf, skip)] for side in (givers, takers)
    )
    by_mapping = _map(givers, takers, mapping)
    mapped = {id(leaf) for pair in by_mapping for leaf in pair}
    free = [[leaf for leaf in side if id(leaf) not in mapped] for side in (givers, takers)]
    _check_unnamed(*free)
    pairs = by_mapping + _pairs_of_equal_places(*free)

    report, assignments = _compare(pairs, givers, takers)
    if not assignments:
        raise ValueError(
            "Nothing could be copied: no layer of the source has name, class and shapes of one of "
            f"the target. Name the layers, or use `mapping`.\n{report.table()}\n"
            f"Source: {[leaf.path for leaf in givers]}\nTarget: {[leaf.path for leaf in takers]}"
        )
    if strict and (report.shape_mismatch or report.missing or report.unused):
        raise ValueError(f"`strict=True`, and not everything fits:\n{report.table()}")
    for variable, value in assignments:
        variable.assign(value)
    return report


def _within(leaf, paths):
    return any(leaf.path == path or leaf.path.startswith(path + "/") for path in paths)


def _check_paths(argument, paths, leaves):
    for path in paths:
        if not any(_within(leaf, [path]) for leaf in leaves):
            raise ValueError(
                f"`{argument}` must name layers that have weights, by their path: "
                f"{[leaf.path for leaf in leaves]}. Received: {path!r}"
            )


def _map(givers, takers, mapping):
    by_path = {leaf.path: leaf for leaf in takers}
    pairs, taken = [], set()
    for giver in givers:
        for path in sorted(mapping, key=len, reverse=True):
            if _within(giver, [path]):
                there = mapping[path] + giver.path[len(path) :]
                if there in taken:
                    raise ValueError(f"`mapping` sends two layers to one. Received: {there!r}")
                if there in by_path:
                    taken.add(there)
                    pairs.append((giver, by_path[there]))
                break
    return pairs


def _check_unnamed(givers, takers):
    """Of each class, both sides must have equally many layers without names, or one side none."""
    counts = [
        collections.Counter(leaf.place.rsplit("#", 1)[0] for leaf in side if "#" in leaf.place)
        for side in (givers, takers)
    ]
    for group in counts[0].keys() & counts[1].keys():
        if counts[0][group] != counts[1][group]:
            raise ValueError(
                f"Layers without names of their own cannot be told apart: {counts[0][group]} of "
                f"{group!r} in the source, {counts[1][group]} in the target. Name them, or use "
                "`mapping` or `skip`. "
                f"Received: source {[leaf.path for leaf in givers]}, "
                f"target {[leaf.path for leaf in takers]}"
            )


def _pairs_of_equal_places(givers, takers):
    by_place = {}
    for giver in givers:
        if giver.place in by_place:
            raise ValueError(f"Two layers of the source have the path {giver.path!r}. Name them.")
        by_place[giver.place] = giver
    if len({taker.place for taker in takers}) != len(takers):
        paths = [taker.path for taker in takers]
        raise ValueError(f"Two layers of the target have one path. Name them. Received: {paths}")
    return [(by_place[taker.place], taker) for taker in takers if taker.place in by_place]


def _compare(pairs, givers, takers):
    copied, mismatch, assignments = [], [], []
    matched = set()
    for giver, taker in pairs:
        # The same shape means other things in another class: (3, 3, in, out) and (3, 3, out, in).
        if None not in (giver.kind, taker.kind) and giver.kind != taker.kind:
            continue
        if giver.weights.keys() != taker.weights.keys():
            continue
        matched |= {id(giver), id(taker)}
        shapes = {
            key: (tuple(giver.weights[key].shape), tuple(weight.shape))
            for key, weight in taker.weights.items()
        }
        if all(a == b for a, b in shapes.values()):
            copied += [taker.label(key) for key in taker.weights]
            for key, variable in taker.weights.items():
                value = _value_for(variable, giver.weights[key], taker.label(key))
                assignments.append((variable, value))
        else:
            mismatch += [(taker.label(key), *shapes[key]) for key in taker.weights]
    unused, missing = (
        [leaf.label(key) for leaf in side if id(leaf) not in matched for key in leaf.weights]
        for side in (givers, takers)
    )
    return TransferReport(copied, mismatch, missing, unused), assignments


def _value_for(variable, value, label):
    value = ops.convert_to_numpy(ops.cast(ops.convert_to_tensor(value), variable.dtype))
    if not np.isfinite(value.astype("float64")).all():
        raise ValueError(
            f"`source` must have finite weights, also as {variable.dtype}. Received: {label} with "
            "NaN or infinite values"
        )
    return value
