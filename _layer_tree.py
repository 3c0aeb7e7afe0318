"""The layers inside a layer, under the keys that Keras's files give them, and their state.

Keras saves whatever attribute reaches a layer first, in the order of the alphabet and private ones
last. What it does not save, such as layers that only its own list `_layers` holds, comes after.
"""

import functools
import pathlib
import re
import tempfile
from collections import Counter
from dataclasses import dataclass, field

import keras

from ._layer_calls import layers_of
from ._names import snake_case, without_number


@dataclass
class Node:
    """A layer, and where its parent holds it: `("cell",)`, or `("blocks", "dense_1")` in a list."""

    layer: keras.layers.Layer
    keys: tuple = ()
    parts: list = field(default_factory=list)

    def __iter__(self):
        yield self
        for part in self.parts:
            yield from part

    def has_weights(self):
        return any(own_variables(node.layer) for node in self)

    def by_path(self, path=()):
        """Each layer of the tree by all the keys that lead to it."""
        found = {path: self.layer}
        for part in self.parts:
            found |= part.by_path(path + part.keys)
        return found


def layer_tree(layer, properties=frozenset()):
    """The tree of a layer; it holds every weight that `layer.weights` lists.

    No property of a class outside Keras is read but those named in `properties`: Keras's files key
    a layer by a property that returns it, if that comes first.

    Raises:
        ValueError: a weight of `layer.weights` belongs to no layer that could be found.
    """
    seen = set()
    root = _visit(layer, (), seen, properties)
    _add_the_rest(root, seen, properties)
    found = {id(v) for node in root for v in own_variables(node.layer).values()}
    lost = [w.path for w in layer.weights if id(w) not in found]
    if lost:
        raise ValueError(
            f"Every weight of {layer.name!r} must belong to it or to a layer that one of its "
            f"attributes holds, in lists, tuples and dicts too. Received: weights {lost} of no "
            "layer that could be found"
        )
    return root


def _visit(layer, keys, seen, properties):
    seen.add(id(layer))
    node = Node(layer, keys)
    for name in _attribute_names(layer):
        _collect(_held(layer, name, properties), (name,), node, seen, properties, set())
    return node


def _collect(value, keys, node, seen, properties, containers):
    """Adds the layers in an attribute's value to the parts of the node."""
    if isinstance(value, keras.layers.Layer):
        if id(value) not in seen:
            node.parts.append(_visit(value, keys, seen, properties))
    elif isinstance(value, (list, tuple, dict)) and id(value) not in containers:
        containers.add(id(value))
        names = Names()
        for item in list(value.values()) if isinstance(value, dict) else value:
            if isinstance(item, keras.layers.Layer):
                name = names.next(snake_case(type(item).__name__))
            elif isinstance(item, (list, tuple, dict)):
                name = names.next("container")
            else:
                continue
            _collect(item, (*keys, name), node, seen, properties, containers)


def _add_the_rest(node, seen, properties):
    for part in list(node.parts):
        _add_the_rest(part, seen, properties)
    names = Names()
    for layer in layers_of(node.layer):
        if id(layer) not in seen:
            kind = snake_case(type(layer).__name__)
            part = _visit(layer, ("_layers", kind), seen, properties)
            _add_the_rest(part, seen, properties)
            if part.has_weights() or any(has_other_state(inner.layer) for inner in part):
                part.keys = ("_layers", names.next(kind))
                node.parts.append(part)


def _attribute_names(layer):
    names = set(dir(layer)) - _names_of_every_layer()
    classes = {cls.__name__ for cls in type(layer).__mro__}
    first = []
    if isinstance(layer, keras.Model) and classes & {"Functional", "Sequential"}:
        first = ["layers"]
        names -= {"layers", "operations", "_operations", "_functional"}
    names -= {"_self_unconditional_dependency_names"}  # TensorFlow's own, and Keras skips it
    names = [name for name in names if not name.startswith("__")]
    return first + sorted(names, key=lambda name: (name.startswith("_"), name))


@functools.cache
def _names_of_every_layer():
    return frozenset(dir(keras.layers.Layer()))


def _held(layer, name, properties):
    """The value of an attribute, without running a property of a class outside Keras."""
    if name in vars(layer):
        return vars(layer)[name]
    owner = next((cls for cls in type(layer).__mro__ if name in vars(cls)), None)
    if owner and not owner.__module__.startswith("keras.") and name not in properties:
        return vars(owner)[name]
    try:
        return getattr(layer, name)
    except Exception:
        return None


class Names:
    """`dense`, `dense_1`, ...: names of the items of one container."""

    def __init__(self):
        self.counts = Counter()

    def next(self, name):
        number = self.counts[name]
        self.counts[name] += 1
        return f"{name}_{number}" if number else name


def own_variables(layer):
    """The weights that a layer itself has, in Keras's order: {"0": kernel, "1": bias}."""
    found = {}
    keras.layers.Layer.save_own_variables(layer, found)
    return found


def keys_by_name(ours, theirs):
    """The key in `theirs` of each weight in `ours`, by the weights' names; None if these disagree.

    Both are as `own_variables` returns them, with the same keys. Names that Keras made up, such as
    `variable_3`, say nothing: there the order decides.
    """
    names, names_there = ({k: name_of_weight(w) for k, w in own.items()} for own in (ours, theirs))
    key_of = {name: key for key, name in names_there.items()}
    if None not in key_of and len(key_of) == len(names) and key_of.keys() == set(names.values()):
        return {key: key_of[name] for key, name in names.items()}
    if any(names_disagree(names[key], names_there[key]) for key in names):
        return None
    return {key: key for key in names}


def names_disagree(name, name_there):
    return None not in (name, name_there) and name != name_there


def name_of_weight(weight):
    """The name that says what a weight is: not the layer's name in it, and none that is made up."""
    if not isinstance(weight, keras.Variable):
        return None
    *outer, name = weight.path.split("/")
    for layer in outer[-1:]:
        name = re.sub(rf"^{re.escape(layer)}_|_{re.escape(layer)}$", "", name)
    return None if without_number(name) == "variable" else name


def refresh(layer):
    """Computes what a layer derives from its weights, as `Normalization` does its constants."""
    if hasattr(layer, "finalize_state") and own_variables(layer):
        layer.finalize_state()
        return True
    return False


def forget_compiled_functions(root):
    """`fit` and `predict` are compiled anew: what is no variable is a constant in them."""
    for node in root:
        for name in ("train_function", "test_function", "predict_function"):
            if isinstance(node.layer, keras.Model) and getattr(node.layer, name, None) is not None:
                setattr(node.layer, name, None)


# What a layer has learned and holds in no variable: vocabularies, bin boundaries.


def has_other_state(layer):
    """Whether a layer can have such state, known by `load_assets` or as `Discretization`."""
    return isinstance(layer, keras.layers.Discretization) or hasattr(layer, "load_assets")


def takes_other_state(layer):
    """Whether it can be set: what was given as an argument is fixed."""
    if isinstance(layer, keras.layers.Discretization):
        return layer.num_bins is not None
    return not _is_lookup(layer) or bool(_files(layer))


def other_state(layer):
    """By name: {"vocabulary.txt": b"..."}, {"bin_boundaries": [...]}, or {} where there is none."""
    if isinstance(layer, keras.layers.Discretization):
        boundaries = layer.bin_boundaries
        return {} if boundaries is None else {"bin_boundaries": [float(b) for b in boundaries]}
    if not has_other_state(layer):
        return {}
    if not _is_lookup(layer):
        return _files(layer)
    if not layer.get_vocabulary(include_special_tokens=False):
        return {}  # not adapted yet
    return {"vocabulary.txt": "\n".join(map(str, layer.get_vocabulary())).encode()}


def learned(layer, state):
    """`state` where it says more than a new layer does: a file has the special tokens at least."""
    if _is_lookup(layer) and state:
        words, known = layer.get_vocabulary(), layer.get_vocabulary(include_special_tokens=False)
        special = {str(word) for word in words[: len(words) - len(known)]}
        if special.issuperset(state["vocabulary.txt"].decode().split("\n")):
            return {}
    return state


def name_of_other_state(layer):
    if isinstance(layer, keras.layers.Discretization):
        return "bin_boundaries"
    return "vocabulary.txt" if _is_lookup(layer) else "assets"


def set_other_state(layer, state, arrays):
    """`arrays` are those that the layer saves itself, such as the weights of TF-IDF."""
    if isinstance(layer, keras.layers.Discretization):
        layer.bin_boundaries = list(state["bin_boundaries"])
        return
    if not _is_lookup(layer):
        if arrays:
            layer.load_own_variables(arrays)
        with tempfile.TemporaryDirectory() as folder:
            for name, content in state.items():
                path = pathlib.Path(folder, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            layer.load_assets(folder)
        return
    words = state["vocabulary.txt"].decode().split("\n")
    if isinstance(layer, keras.layers.IntegerLookup):
        words = [int(word) for word in words]
    if arrays:
        layer.set_vocabulary(words, arrays["idf_weights"])
    else:
        layer.set_vocabulary(words)


def _is_lookup(layer):
    return hasattr(layer, "get_vocabulary") and hasattr(layer, "set_vocabulary")


def _files(layer):
    with tempfile.TemporaryDirectory() as folder:
        layer.save_assets(folder)
        root = pathlib.Path(folder)
        paths = sorted(path for path in root.rglob("*") if path.is_file())
        return {path.relative_to(root).as_posix(): path.read_bytes() for path in paths}
