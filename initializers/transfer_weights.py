import collections
import dataclasses

import keras
import numpy as np
from keras import ops

from .._arguments import boolean, wrong
from .._layer_tree import (
    forget_compiled_functions,
    has_other_state,
    keys_by_name,
    layer_tree,
    learned,
    name_of_other_state,
    other_state,
    own_variables,
    refresh,
    set_other_state,
    takes_other_state,
)
from .._names import snake_case, without_number
from ._weight_trees import (
    classes_inside,
    kept_state,
    keys_of_attributes,
    leaves_of,
    tree_of,
    tree_of_model,
)
from .transfer_report import TransferReport

# Arguments of Keras's layers that are True or False and do not decide which weights there are.
SAME_WEIGHTS = {
    "trainable",
    "return_sequences",
    "return_state",
    "go_backwards",
    "stateful",
    "unroll",
    "mask_zero",
    "zero_output_for_mask",
    "synchronized",
}


def transfer_weights(source, target, mapping=None, skip=(), strict=False):
    """Copies weights from another model or file into a built model, by the names of the layers.

    Every layer of the target takes the weights of the source's layer of the same path, whole or not
    at all. All is checked before anything is assigned: a failure leaves the target as it was. The
    model then computes what the source computes, layer by layer.

    `keras.Model.load_weights` goes by class and position, so that an inserted layer of the same
    shape silently gets its neighbour's weights, and a failure leaves half of the model
    overwritten. Use this one to start a model from an earlier version of itself, from an
    autoencoder or a pretrained LSTM, or a federated client from a pretrained model.

    Names that Keras makes up, `dense_1`, depend on what else was built before. Layers without names
    of their own are therefore matched by the attribute that holds them, or in a list by class and
    order, and only where both models have equally many of that class and no name says otherwise; if
    not, the function asks for names, `mapping` or `skip`. Name your layers:
    `Dense(64, name="encoder")`.

    Within a layer, weights go by their own names: the gamma of one is not the beta of another. No
    file has these names: of a `.keras` file the arguments that are True or False are compared
    (`center`, `scale`), otherwise the order of the weights and their shapes alone decide.

    What a layer has learned beside its weights, a vocabulary or bin boundaries, goes with it; a
    `.weights.h5` file holds none of it. What is computed from weights, as in `Normalization`, is
    computed anew, and LoRA weights arrive merged, as Keras saves them. Layers that only Keras's own
    list `_layers` holds are in no file of Keras: the report names them as missing.

    Args:
        source: A built model, or the path of a `.keras`, `.weights.h5` or Keras 2 `.h5` file. Of a
            file only the state is read: no class of it needs to be known, no code of it runs. A
            nested model is one layer to Keras 2, so both sides need it whole.
        target: A built model. Random seeds, the states of stateful RNNs, and the optimizer stay as
            they are.
        mapping: Dict from a layer's path in the source to its path in the target, `{"encoder/lstm":
            "lstm"}`; a nested model's path stands for all of its layers, and `""` for the whole
            model: `{"encoder": ""}` takes the encoder out of a larger model, `{"": "encoder"}` puts
            it into one. Default `None`.
        skip: Paths of layers or nested models, in the source or the target, that take no part.
        strict: Boolean, whether everything must find its place: raises if a shape differs or any
            weight or other state of either side is missing, unused or different, seeds and RNN
            states aside. Default `False`.

    Returns:
        A `TransferReport`: `.copied`, `.shape_mismatch`, `.missing`, `.unused`, `.other_state`,
        `.table()`.

    Raises:
        ValueError: a model is not built, a weight of it belongs to no layer that can be found, the
            file is of another kind, `mapping` or `skip` names what is not there, layers without
            names cannot be told apart, two layers claim one place, layers inside a layer
            have the same names in another order, a value is not finite in the target's precision,
            nothing could be copied, or `strict` and not all fits.
        RuntimeError: Keras refuses a vocabulary of another size for a layer in use.

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
    skip, mapping = _paths(skip), _mapping(mapping)
    strict = boolean("strict", strict)
    source_leaves, target_leaves, tree = _leaves_of_both(source, target, mapping)
    _check_paths("mapping", mapping, source_leaves)
    _check_paths("mapping", mapping.values(), target_leaves)
    _check_paths("skip", skip, source_leaves + target_leaves)
    source_leaves, target_leaves = (
        [leaf for leaf in side if not any(_is_within(leaf.path, path) for path in skip)]
        for side in (source_leaves, target_leaves)
    )
    comparison = _Comparison(_pairs(source_leaves, target_leaves, mapping))
    report = comparison.report(source_leaves, target_leaves)
    weights = {id(weight) for weight in target.weights}
    for path in kept_state(tree, weights):
        if not any(_is_within(path, skipped) for skipped in skip):
            report.other_state[path] = "kept"
    if not report.copied and "copied" not in report.other_state.values():
        raise ValueError(
            "Nothing could be copied: no layer of the source has name, class and shapes of one of "
            f"the target. Name the layers, or use `mapping`.\n{report.table()}\n"
            f"Source: {_paths_of(source_leaves)}\nTarget: {_paths_of(target_leaves)}"
        )
    if strict and not report.is_complete():
        raise ValueError(f"`strict=True`, and not everything fits:\n{report.table()}")
    _assign(target, comparison)
    return report


def _paths(skip):
    skip = (skip,) if isinstance(skip, str) else skip
    if not isinstance(skip, (list, tuple, set)) or not all(isinstance(p, str) for p in skip):
        raise wrong("skip", "a path of a layer, or a list of such", skip)
    return tuple(skip)


def _mapping(mapping):
    mapping = {} if mapping is None else mapping
    if not isinstance(mapping, dict) or not all(
        isinstance(path, str) for pair in mapping.items() for path in pair
    ):
        raise wrong("mapping", "a dict from paths of layers to paths of layers, or None", mapping)
    return dict(mapping)


def _leaves_of_both(source, target, mapping):
    """The leaves of the source and of the target, and the target's tree."""
    tree = tree_of_model("target", target)
    kinds = {snake_case(type(layer).__name__) for layer in layer_tree(target).by_path().values()}
    root = tree_of(source, kinds)
    if not isinstance(root, list) and root.layer is None:
        tree = tree_of_model("target", target, keys_of_attributes(root))
    from_root = [path for path, there in mapping.items() if there == ""]
    to_root = [there for path, there in mapping.items() if path == ""]
    flat = isinstance(root, list)
    return leaves_of(root, from_root), leaves_of(tree, to_root, flat), tree


def _is_within(path, outer):
    return not outer or path == outer or path.startswith(outer + "/")


def _paths_of(leaves):
    return [leaf.path for leaf in leaves]


def _check_paths(argument, paths, leaves):
    for path in paths:
        if not any(_is_within(leaf.path, path) for leaf in leaves):
            raise ValueError(
                f"`{argument}` must name layers that have weights, by their path: "
                f"{[leaf.path for leaf in leaves]}. Received: {path!r}"
            )


def _pairs(source_leaves, target_leaves, mapping):
    """Pairs of leaves: those that `mapping` names, then those of one place."""
    by_path = {leaf.path: leaf for leaf in target_leaves}
    named, moved, free = [], [], []
    for source_leaf in source_leaves:
        outer = max((p for p in mapping if _is_within(source_leaf.path, p)), key=len, default=None)
        if outer is None:
            free.append(source_leaf)
        elif source_leaf.path == outer and mapping[outer] in by_path:
            named.append((source_leaf, by_path[mapping[outer]]))
        else:
            moved.append((_moved(source_leaf, outer, mapping[outer], target_leaves), source_leaf))
    taken = [target_leaf.path for _, target_leaf in named]
    for path in taken:
        if taken.count(path) > 1:
            raise ValueError(f"`mapping` sends two layers to one. Received: {path!r}")
    if "" in mapping.values():  # the whole target is spoken for
        free = []
    left = [target_leaf for target_leaf in target_leaves if target_leaf.path not in taken]
    by_place = [(source_leaf, source_leaf) for source_leaf in free] + moved
    _check_unnamed([place for place, _ in by_place], left)
    return named + _pairs_of_equal_places(by_place, left)


def _moved(source_leaf, outer, there, target_leaves):
    """The leaf with the place that it takes in the target, under another path."""
    inside = source_leaf.place.split("/")[len(outer.split("/")) if outer else 0 :]
    # Not made of the path: names in it may be ones that Keras made up.
    depth = len(there.split("/")) if there else 0
    place = next(leaf.place for leaf in target_leaves if _is_within(leaf.path, there)).split("/")
    return dataclasses.replace(source_leaf, place="/".join([*place[:depth], *inside]))


def _check_unnamed(source_leaves, target_leaves):
    """Layers without names need the same order on both sides, and as many of each class."""
    sides = [_unnamed(side) for side in (source_leaves, target_leaves)]
    for group in sides[0].keys() & sides[1].keys():
        names, names_there = ([leaf.name for leaf in side[group]] for side in sides)
        if len(names) != len(names_there):
            raise ValueError(
                f"Layers without names of their own cannot be told apart: {len(names)} of class "
                f"{group.rpartition('.')[2]!r} in the source, {len(names_there)} in the target. "
                "Name them, or use `mapping` or `skip`. Received: source "
                f"{_paths_of(source_leaves)}, target {_paths_of(target_leaves)}"
            )
        if any(a != b and a in names_there for a, b in zip(names, names_there, strict=True)):
            paths = [[leaf.path for leaf in side[group]] for side in sides]
            by_order = dict(zip(*paths, strict=True))
            raise ValueError(
                "Names and order of layers must not disagree. If Keras made the names up, "
                f"confirm the order by mapping={by_order}; if they are yours, say so by `mapping` "
                f"too, or give each layer a name of its own. Received: source {paths[0]}, "
                f"target {paths[1]}"
            )


def _unnamed(leaves):
    """The leaves whose names Keras made up, or seems to have, by what else tells them apart."""
    groups = collections.defaultdict(list)
    for leaf in leaves:
        outer, _, own = leaf.place.rpartition("/")
        if own.startswith(".") and own != ".":
            groups[f"{outer}/{own.rpartition('#')[0] or own}".strip("/")].append(leaf)
    return groups


def _pairs_of_equal_places(source_leaves, target_leaves):
    by_place = {}
    for there, source_leaf in source_leaves:
        if there.place in by_place:
            raise ValueError(f"Two layers of the source have the path {there.path!r}. Name them.")
        by_place[there.place] = source_leaf
    if len({target_leaf.place for target_leaf in target_leaves}) != len(target_leaves):
        paths = [target_leaf.path for target_leaf in target_leaves]
        raise ValueError(f"Two layers of the target have one path. Name them. Received: {paths}")
    return [
        (by_place[target_leaf.place], target_leaf)
        for target_leaf in target_leaves
        if target_leaf.place in by_place
    ]


class _Comparison:
    """What of each pair of leaves can be copied."""

    def __init__(self, pairs):
        self.copied, self.mismatch, self.other = [], [], {}
        self.matched = set()
        self.assignments = []  # (layer, its arrays by key)
        self.states = []  # (layer, its other state, its arrays)
        for source_leaf, target_leaf in pairs:
            # The same shape means other things in another class: (3, 3, in, out), (3, 3, out, in).
            if None in (source_leaf.kind, target_leaf.kind) or source_leaf.kind == target_leaf.kind:
                self._compare(source_leaf, target_leaf)

    def _compare(self, source_leaf, target_leaf):
        if _classes_differ(source_leaf, target_leaf):
            return
        if "" in source_leaf.saved:
            _check_names_inside(source_leaf.saved[""], target_leaf.saved[""], target_leaf.path)
        state_paths = [path for path in target_leaf.saved if target_leaf.is_state(path)]
        theirs, ours = _weights_of(source_leaf, target_leaf, state_paths), target_leaf.weights
        theirs = _by_name(theirs, source_leaf, target_leaf)
        if theirs.keys() != ours.keys() or any(
            _is_float(theirs[key]) != _is_float(ours[key]) for key in ours
        ):
            return
        self.matched |= {id(source_leaf), id(target_leaf)}
        shapes = {key: (tuple(theirs[key].shape), tuple(ours[key].shape)) for key in ours}
        if any(a != b for a, b in shapes.values()):
            self.mismatch += [(target_leaf.label(key), *shapes[key]) for key in ours]
        else:
            self.copied += [target_leaf.label(key) for key in ours]
            values = {
                key: _value_for(ours[key], theirs[key], target_leaf.label(key)) for key in ours
            }
            for path, saved in target_leaf.saved.items():
                keys = {key: f"{path}/{key}" if path else key for key in saved.own}
                if saved.own and path not in state_paths:
                    arrays = {key: values[whole] for key, whole in keys.items()}
                    self.assignments.append((saved.layer, arrays))
        for path in target_leaf.saved.keys() | source_leaf.saved.keys():
            self._compare_state(path, source_leaf, target_leaf)

    def _compare_state(self, path, source_leaf, target_leaf):
        source, target = (leaf.saved.get(path) for leaf in (source_leaf, target_leaf))
        theirs = {} if source is None else source.other
        if target is None or not has_other_state(target.layer):
            what = "unused" if theirs else None
        elif not (theirs := learned(target.layer, theirs)):
            is_known = source is not None and source.layer is not None
            lacks = bool(target.other) if is_known else takes_other_state(target.layer)
            what = "missing" if lacks else None
        elif theirs == target.other and not source.own:
            what = "copied"
        elif not takes_other_state(target.layer):
            what = "differs"
        else:
            what = "copied"
            self.states.append((target.layer, theirs, source.own))
        ours = {} if target is None else target.other
        if what:
            leaf = source_leaf if what == "unused" else target_leaf
            names = theirs or ours or [name_of_other_state(target.layer)]
            paths = ["/".join(filter(None, (leaf.path, path, name))) for name in names]
            self.other |= dict.fromkeys(paths, what)

    def report(self, source_leaves, target_leaves):
        other = dict(self.other)
        unused, missing = (
            [leaf for leaf in side if id(leaf) not in self.matched]
            for side in (source_leaves, target_leaves)
        )
        for leaves, what in ((missing, "missing"), (unused, "unused")):
            for leaf in leaves:
                for path, saved in leaf.saved.items():
                    other |= dict.fromkeys(_paths_of_state(leaf, path, saved), what)
        unused, missing = (
            [label for leaf in side for label in leaf.labels()] for side in (unused, missing)
        )
        return TransferReport(self.copied, self.mismatch, missing, unused, other)


def _paths_of_state(leaf, path, saved):
    """The paths of what a layer has learned beside its weights; what an argument fixed is not."""
    names = list(saved.other)
    if saved.layer is not None and has_other_state(saved.layer):
        fixed = not takes_other_state(saved.layer)
        names = [] if fixed else names or [name_of_other_state(saved.layer)]
    return ["/".join(filter(None, (leaf.path, path, name))) for name in names]


def _weights_of(source_leaf, target_leaf, state_paths):
    """The source's weights by key; what lies at `state_paths` is no weight of the target."""
    if source_leaf.in_order is None:
        return {
            key: value
            for key, value in source_leaf.weights.items()
            if key.rpartition("/")[0] not in state_paths
        }
    return _weights_in_row(source_leaf, target_leaf)


def _weights_in_row(source_leaf, target_leaf):
    """Those of Keras 2, which saved the weights of a layer in a row, those that are trained first.

    Which ones were trained is not in the file. All names decide, or the names of layer and weight,
    or the order where no name says otherwise; where it is unclear, nothing is taken.
    """
    key_of = {id(variable): key for key, variable in target_leaf.weights.items()}
    layers = {
        key_of[id(variable)]: names
        for names, saved in _with_names(target_leaf.saved[""])
        for variable in saved.own.values()
        if id(variable) in key_of
    }
    row = [w for w in target_leaf.saved[""].layer.weights if id(w) in key_of]
    ours = [(key_of[id(w)], (*layers[key_of[id(w)]], w.name), w.trainable) for w in row]
    theirs = source_leaf.in_order
    for depth in (0, 2):
        by_name = {names[-depth:]: value for names, value in theirs}
        keys = {names[-depth:]: key for key, names, _ in ours}
        if by_name.keys() == keys.keys() and len(keys) == len(ours) == len(theirs):
            return {key: by_name[names] for names, key in keys.items()}
    seen = [names[:-1] for names, _ in theirs]
    by_layer = sorted(theirs, key=lambda weight: seen.index(weight[0][:-1]))
    trained_first = sorted(ours, key=lambda weight: not weight[2])
    for row, there in ((trained_first, theirs), (ours, theirs), (ours, by_layer)):
        names = [names for _, names, _ in row]
        if _rows_agree(names, [names for names, _ in there], [names for _, names, _ in ours]):
            return {key: value for (key, *_), (_, value) in zip(row, there, strict=True)}
    return {}


def _with_names(saved, names=()):
    yield names, saved
    for part in saved.parts:
        yield from _with_names(part, (*names, part.name))


def _rows_agree(ours, theirs, in_order_of_layers):
    """Whether two rows of names can stand for the same weights: numbers are Keras's, and rise."""
    if [names[-1] for names in ours] != [names[-1] for names in theirs]:
        return False
    pairs = {}  # of layers, in the order of the target's
    for names in in_order_of_layers:
        there = theirs[ours.index(names)][:-1]
        if there and pairs.setdefault(names[:-1], there) != there:
            return False
    if len(set(pairs.values())) != len(pairs):
        return False
    last = {}
    for names, names_there in pairs.items():
        for name, there in zip(reversed(names), reversed(names_there), strict=False):
            if without_number(name) != without_number(there):
                return False
        if names:
            *outer, name = names_there
            kind, number = (*outer, without_number(name)), name[len(without_number(name)) + 1 :]
            if int(number or 0) < last.get(kind, 0):
                return False
            last[kind] = int(number or 0)
    return True


def _by_name(theirs, source_leaf, target_leaf):
    """`theirs` by the keys of the target's weights of the same name; nothing if names disagree."""
    moved = dict(theirs)
    for path, saved in target_leaf.saved.items():
        there = source_leaf.saved.get(path)
        if there is None or not saved.own or there.own.keys() != saved.own.keys():
            continue
        keys = keys_by_name(saved.own, there.own)
        if keys is None or _arguments_disagree(saved, there):
            return {}
        whole = {key: f"{path}/{key}" if path else key for key in keys}
        if all(key in theirs for key in whole.values()):
            moved |= {whole[key]: theirs[whole[key_there]] for key, key_there in keys.items()}
    return moved


def _config_of(layer):
    try:
        return layer.get_config()
    except NotImplementedError:
        return {}


def _arguments_disagree(saved, there):
    """Whether one layer has a weight that the other replaces, as the arguments in a file show it.

    With `center=False` the only weight of a `LayerNormalization` is gamma, with `scale=False` beta.
    """
    if there.config is None:
        return False
    config = _config_of(saved.layer)
    changed = {
        config[key]
        for key in config.keys() & there.config.keys()
        if key not in SAME_WEIGHTS
        and isinstance(config[key], bool)
        and config[key] is (not there.config[key])
    }
    return changed == {True, False}


def _classes_differ(source_leaf, target_leaf):
    """Whether a layer inside one is of another class inside the other: no match, as for leaves."""
    if source_leaf.classes is not None:
        names = {saved.name for path, saved in target_leaf.saved.items() if path and saved.own}
        layer = target_leaf.saved[""].layer
        return bool(classes_inside(_config_of(layer), names) - source_leaf.classes)
    for path in source_leaf.saved.keys() & target_leaf.saved.keys() - {""}:
        sides = [leaf.saved[path] for leaf in (source_leaf, target_leaf)]
        kinds = {without_number(saved.kind) for saved in sides if saved.kind is not None}
        if len(kinds) > 1 and all(saved.has_arrays() for saved in sides):
            return True
    return False


def _check_names_inside(source, target, path):
    """Layers inside a layer go by attribute or order; names of them must not say otherwise."""
    by_keys = {part.keys: part for part in source.parts}
    pairs = [
        (by_keys[part.keys], part)
        for part in target.parts
        if part.keys in by_keys and part.has_arrays()
    ]
    names, names_there = ([pair[side].name for pair in pairs] for side in (1, 0))
    for there, part in pairs:
        if not part.has_made_up_name():
            disagree = part.name != there.name and part.name in names_there
        else:  # an attribute tells more than a number; a list does not
            disagree = (
                len(part.keys) > 1
                and part.name != there.name
                and sorted(names) == sorted(names_there)
            )
        if disagree:
            raise ValueError(
                "Layers inside a layer must not have the same names in another order: it would be "
                "unclear which belong together. Give both the same order, or leave the layer out "
                f"by skip={path!r}. Received: {path!r} with {names_there} in the source and "
                f"{names} in the target"
            )
        _check_names_inside(there, part, path)


def _is_float(value):
    return "float" in str(value.dtype)


def _value_for(ours, value, label):
    if isinstance(ours, keras.Variable):
        value = ops.cast(ops.convert_to_tensor(value), ours.dtype)
    value = ops.convert_to_numpy(value)
    if _is_float(value) and not np.isfinite(value.astype("float64")).all():
        raise ValueError(
            f"`source` must have finite weights, also as {value.dtype}. Received: {label} with "
            "NaN or infinite values"
        )
    return value


def _assign(target, comparison):
    """By Keras's own hooks, which know what else a layer has to do; undone if one of them fails."""
    before = [(layer, _snapshot(layer)) for layer, _ in comparison.assignments]
    states = [(layer, other_state(layer), _saved(layer)) for layer, *_ in comparison.states]
    try:
        for layer, arrays in comparison.assignments:
            layer.load_own_variables(arrays)
        for layer, state, arrays in comparison.states:
            set_other_state(layer, state, arrays)
        derived = [refresh(layer) for layer, _ in comparison.assignments]
    except Exception:
        for layer, snapshot in before:
            _restore(layer, *snapshot)
        for layer, state, arrays in states:
            if state:
                set_other_state(layer, state, arrays)
        raise
    if any(derived) or comparison.states or any(not own_variables(layer) for layer, _ in before):
        forget_compiled_functions(layer_tree(target))


def _snapshot(layer):
    own = own_variables(layer)
    values = {key: np.array(ops.convert_to_numpy(value)) for key, value in own.items()}
    return values, None if own else _saved(layer)


def _saved(layer):
    arrays = {}
    if not has_other_state(layer) or other_state(layer):
        layer.save_own_variables(arrays)
    return arrays


def _restore(layer, values, arrays):
    for key, variable in own_variables(layer).items():
        variable.assign(values[key])
    if arrays:
        layer.load_own_variables(arrays)
    refresh(layer)
