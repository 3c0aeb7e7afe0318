"""The weights of a model or of a weights file, layer by layer, under the names of the layers.

Keras's files key a layer by attribute, class and position but keep its name beside. A model is read
under the same keys, so that both have one form: the path of a layer is made of names, and its
weights are keyed as in Keras's files, `cell/0`.
"""

import io
import json
import pathlib
import re
import zipfile
from collections import Counter
from dataclasses import dataclass, field

import h5py
import keras
import numpy as np

from .._layer_tree import has_other_state, layer_tree, other_state, own_variables
from .._names import snake_case, without_number


@dataclass
class Saved:
    """A layer of a model or of a file, with what is saved of it."""

    keys: tuple  # from its parent to it: ("layers", "dense_1"), or ("cell",)
    name: str
    kind: str | None  # the class in snake case, or None where a file does not say
    own: dict  # by key: a keras.Variable or an array
    other: dict  # by name: a vocabulary and the like
    layer: keras.layers.Layer | None
    parts: list
    config: dict | None = None  # of a layer in a `.keras` file, where it can be found

    def has_made_up_name(self):
        return self.kind is not None and without_number(self.name) == self.kind

    def has_arrays(self):
        return bool(self.own) or any(part.has_arrays() for part in self.parts)

    def has_state(self):
        own = self.own or self.other or (self.layer is not None and has_other_state(self.layer))
        return bool(own) or any(part.has_state() for part in self.parts)


@dataclass
class Leaf:
    """A layer that is no model of layers, with all the layers inside it.

    `path` holds names; `place` the same with class and order for names that Keras made up.
    """

    path: str
    place: str
    kind: str | None
    name: str
    saved: dict = field(default_factory=dict)  # by key, `cell`, or `` for the layer itself
    in_order: list | None = None  # of a Keras 2 file: (names, array) in the order of `get_weights`
    classes: Counter | None = None  # of a Keras 2 file that tells: of the layers inside

    @property
    def weights(self):
        return {
            _joined(path, key): value
            for path, saved in self.saved.items()
            for key, value in saved.own.items()
            if not self.is_state(path)
        }

    def is_state(self, path):
        """Whether what is saved at a path is no weight, but learned otherwise."""
        layer = self.saved[path].layer if path in self.saved else None
        return layer is not None and has_other_state(layer) and not own_variables(layer)

    def labels(self):
        if self.in_order is not None:
            return [_joined(self.path, *names) for names, _ in self.in_order]
        return [self.label(key) for key in self.weights]

    def label(self, key):
        path, _, index = key.rpartition("/")
        value = self.saved[path].own.get(index) if path in self.saved else None
        return _joined(self.path, path, getattr(value, "name", None) or index)


def tree_of(source, kinds=frozenset()):
    """A model, a `.keras`, `.weights.h5` or Keras 2 `.h5` file as `Saved`, or as Keras 2 leaves.

    `kinds` are classes that a file may hold beside Keras's own and the registered ones.
    """
    if isinstance(source, keras.Model):
        return tree_of_model("source", source)
    if not isinstance(source, (str, pathlib.Path)) or not str(source).endswith((".keras", ".h5")):
        raise ValueError(
            "`source` must be a Keras model, or a path that ends in .keras, .weights.h5 or .h5. "
            f"Received: source={source!r}"
        )
    registered = [key.split(">")[-1] for key in keras.saving.get_custom_objects()]
    kinds = {*kinds, *(snake_case(cls) for cls in (*dir(keras.layers), *registered))}
    if not str(source).endswith(".keras"):
        with h5py.File(source, "r") as file:
            return _keras_2_leaves(file, kinds) or _saved_in_file(file, kinds)
    with zipfile.ZipFile(source) as archive:
        if "model.weights.h5" not in archive.namelist():
            raise ValueError(f"`source` holds no model.weights.h5. Received: source={source!r}")
        with h5py.File(io.BytesIO(archive.read("model.weights.h5")), "r") as file:
            root = _saved_in_file(file, kinds)
        _add_other_state(root, archive)
        _add_configs(root, json.loads(archive.read("config.json")))
    return root


def tree_of_model(argument, model, properties=frozenset()):
    if not isinstance(model, keras.Model):
        raise ValueError(f"`{argument}` must be a Keras model. Received: {argument}={model!r}")
    if not model.built:
        raise ValueError(
            f"`{argument}` must be built before weights can be moved: call it on a batch first. "
            f"Received: {argument}={model!r}"
        )
    return _saved_in_model(layer_tree(model, properties))


def _saved_in_model(node):
    layer, own = node.layer, {}
    other = other_state(layer)
    if other or not has_other_state(layer):  # a TF-IDF layer before `adapt` has nothing to save
        layer.save_own_variables(own)
    parts = [_saved_in_model(part) for part in node.parts]
    kind = snake_case(type(layer).__name__)
    return Saved(node.keys, layer.name, kind, own, other, layer, parts)


def _saved_in_file(group, kinds, keys=()):
    variables = group.get("vars", {})
    name = variables.attrs["name"] if keys else ""
    own = {key: _array(array) for key, array in variables.items()}
    parts = [_saved_in_file(child, kinds, inside) for inside, child in _children(group, ())]
    parts.sort(key=lambda part: [_natural(key) for key in part.keys])
    return Saved(keys, name, _kind_in_file(keys, name, kinds), own, {}, None, parts)


def _children(group, keys):
    """The groups of layers in a group with their keys, through lists and dicts of them."""
    for key, child in group.items():
        if key in ("vars", "optimizer") or not isinstance(child, h5py.Group):
            continue
        if "vars" not in child:
            yield from _children(child, (*keys, key))
        elif "name" in child["vars"].attrs:
            yield (*keys, key), child
        else:
            raise ValueError(
                "`source` was written by a Keras that kept no names of layers in its weights "
                "files. Load it into its own model and pass that."
            )


def _kind_in_file(keys, name, kinds):
    """In a list the key is the class; an attribute of a subclassed model does not tell it."""
    kind = without_number(keys[-1] if len(keys) > 1 else name)
    return kind if len(keys) > 1 or kind in kinds else None


def _array(dataset):
    if dataset.attrs.get("dtype") == "bfloat16":
        return np.array(dataset, dtype="bfloat16").astype("float32")
    return np.array(dataset)


def _natural(key):
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)$", key)]


def _add_other_state(root, archive):
    """Vocabularies lie beside the weights."""
    by_path = dict(all_saved(root))
    for name in archive.namelist():
        # A layer inside may be the one that a file belongs to, whatever folders its name has.
        parts = pathlib.PurePosixPath(name).parts
        if parts[0] != "assets" or name.endswith("/"):
            continue
        if ".." in parts:
            raise ValueError(f"`source` must hold no file outside its folders. Received: {name!r}")
        for depth in range(len(parts) - 1, 0, -1):
            if "/".join(parts[1:depth]) in by_path:
                inside = "/".join(parts[depth:])
                by_path["/".join(parts[1:depth])].other[inside] = archive.read(name)
                break


def _add_configs(saved, serialized):
    """Class and arguments of each layer, from the part of config.json that describes it."""
    if saved.keys:
        saved.kind = _kind_of(serialized)
    saved.config = serialized["config"]
    if serialized["class_name"] == "Discretization" and saved.config.get("bin_boundaries"):
        saved.other["bin_boundaries"] = saved.config["bin_boundaries"]
    inside = list(_serialized_layers(saved.config))
    for part in saved.parts:
        found = [layer for layer in inside if layer["config"]["name"] == part.name]
        if found and all(layer["config"] == found[0]["config"] for layer in found):
            _add_configs(part, found[0])


def _kind_of(serialized):
    name = serialized["class_name"].split(">")[-1]
    # Keras saves some classes under another name than they have in Python.
    return snake_case(getattr(getattr(keras.layers, name, None), "__name__", name))


def classes_inside(config, names=None):
    """How many layers of each class a config holds at any depth; of those `names` if given."""
    found = Counter()
    for layer in _serialized_layers(config):
        if names is None or layer["config"]["name"] in names:
            found[_kind_of(layer)] += 1
        found += classes_inside(layer["config"], names)
    return found


def _serialized_layers(config):
    """The layers in a config, but not those inside of them."""
    if isinstance(config, dict):
        inner = config.get("config")
        if "class_name" in config and _is_of_layer(inner):
            yield config
            return
        config = config.values()
    elif not isinstance(config, list):
        return
    for value in config:
        yield from _serialized_layers(value)


def _is_of_layer(config):
    return (
        isinstance(config, dict) and "name" in config and bool({"trainable", "dtype"} & set(config))
    )


def all_saved(saved, path=""):
    yield path, saved
    for part in saved.parts:
        yield from all_saved(part, _joined(path, *part.keys))


def keys_of_attributes(root):
    """Every key in a file, where a property may stand for the layer that it returns."""
    return frozenset(key for _, saved in all_saved(root) for key in saved.keys)


def leaves_of(root, whole=(), flat=False):
    """The leaves of a tree; those at the paths in `whole` are taken apart as models are.

    `flat` keeps nested models in one piece, as Keras 2 files do.
    """
    if isinstance(root, list):
        return root
    return list(_leaves(root, "", "", whole, flat))


def _leaves(saved, path, place, whole, flat):
    children = [part for part in saved.parts if part.has_state()]
    for part, its_place in zip(children, _places(children, place), strict=True):
        its_path = _joined(path, part.name)
        if its_path in whole or (_is_model_of_layers(part) and not flat):
            yield from _leaves(part, its_path, its_place, whole, flat)
        else:
            yield Leaf(its_path, its_place, part.kind, part.name, dict(all_saved(part)))
    if saved.own or not path:
        own = Saved((), saved.name, None, saved.own, saved.other, saved.layer, [])
        yield Leaf(_joined(path, "."), _joined(place, "."), None, ".", {"": own})


def _is_model_of_layers(saved):
    """As a file shows it: no weights of its own, and all that has any lies under `layers`."""
    full = [part for part in saved.parts if part.has_arrays()]
    return bool(full) and not saved.own and all(part.keys[0] == "layers" for part in full)


def _places(children, place):
    """Names that Keras made up say no more than the class and the order: so do their places.

    An attribute is a name of its own: `.head`. In a list it is the class and the order there.
    """
    numbers = {}
    for child in children:
        own = child.name
        if child.kind is not None and without_number(child.name) == child.kind:
            group = ".".join(("", *child.keys[:-1], f"{child.kind}#"))
            numbers[group] = numbers.get(group, 0) + 1
            own = f"{group}{numbers[group]}" if len(child.keys) > 1 else f".{child.keys[0]}"
        yield _joined(place, own)


def _keras_2_leaves(file, kinds):
    """The leaves of a file of Keras 2, which keeps the weights of a layer in a row; else None."""
    group = file.get("model_weights", file)
    if not any(name.startswith("layer_names") for name in group.attrs):
        return None
    config = json.loads(file.attrs.get("model_config", "{}"))
    serialized = {
        layer["config"]["name"]: layer for layer in _serialized_layers(config.get("config"))
    }
    children, classes = [], {}
    for name in _attribute(group, "layer_names"):
        arrays = [
            (_names_inside(key, name), np.array(group[name][key]))
            for key in _attribute(group[name], "weight_names")
        ]
        if arrays:
            kind = _kind_in_file((name,), name, kinds)
            if name in serialized:
                classes[name] = classes_inside(serialized[name]["config"])
                kind = _kind_of(serialized[name])
                kind = None if kind in ("model", "functional", "sequential") else kind
            children.append((name, kind, arrays))
    places = _places([Saved(("layers", n), n, k, {}, {}, None, []) for n, k, _ in children], "")
    leaves = [
        Leaf(name, place, kind, name, in_order=arrays, classes=classes.get(name))
        for (name, kind, arrays), place in zip(children, places, strict=True)
    ]
    if "top_level_model_weights" in group:
        top = group["top_level_model_weights"]
        names = _attribute(top, "weight_names")
        arrays = [(_names_inside(key, "")[-1:], np.array(top[key])) for key in names]
        leaves += [Leaf(".", ".", None, ".", in_order=arrays)] if arrays else []
    return leaves


def _names_inside(key, layer):
    """`encoder/dense/kernel:0` in the layer `encoder` as `("dense", "kernel")`."""
    *outer, name = key.split("/")
    inside = outer[outer.index(layer) + 1 :] if layer in outer else outer
    return (*inside, name.split(":")[0])


def _attribute(group, name):
    """Long lists of names are split over `layer_names0`, `layer_names1`, ..."""
    found, number = list(group.attrs.get(name, ())), 0
    while f"{name}{number}" in group.attrs:
        found += list(group.attrs[f"{name}{number}"])
        number += 1
    return [item.decode() if isinstance(item, bytes) else str(item) for item in found]


def kept_state(saved, weights, path=""):
    """The paths of what is no weight and stays as it is: seeds, the states of a stateful RNN.

    No file of Keras holds them. `weights` are the ids of all weights.
    """
    for name, value in vars(saved.layer).items():
        if _is_transient(value, weights):
            yield _joined(path, name)
    for part in saved.parts:
        yield from kept_state(part, weights, _joined(path, part.name))


def _is_transient(value, weights):
    if isinstance(value, keras.random.SeedGenerator):
        return True
    values = value if isinstance(value, (list, tuple)) else [value]
    return bool(values) and all(
        isinstance(v, keras.Variable) and id(v) not in weights for v in values
    )


def _joined(*parts):
    return "/".join(part for part in parts if part)
