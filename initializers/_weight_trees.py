"""The weights of a model or of a weights file, layer by layer, under the names of the layers.

Keras's files key a layer by class and position but keep its name beside. Both kinds of tree here
have the same form: the path of a layer is made of names, and its weights are keyed as in Keras's
files, `cell/0`, by attribute and position.
"""

import functools
import io
import re
import zipfile
from dataclasses import dataclass

import h5py
import keras
import numpy as np


@dataclass
class Leaf:
    """A layer that has weights and is no model of layers.

    `path` holds names; `place` the same with `class#number` for names that Keras made up. `kind` is
    the class, or None where a file does not say.
    """

    path: str
    place: str
    kind: str | None
    weights: dict  # by key: a keras.Variable or an array

    def label(self, key):
        weight = self.weights.get(key)
        return f"{self.path}/{getattr(weight, 'name', None) or key}"


def tree_of(source):
    """The leaves of a model, a `.keras` or a `.weights.h5` path."""
    if isinstance(source, keras.Model):
        return leaves_of_model(source)
    path = str(source)
    if path.endswith(".keras"):
        with zipfile.ZipFile(path) as archive:
            if "model.weights.h5" not in archive.namelist():
                raise ValueError(f"`source` holds no model.weights.h5. Received: source={path!r}")
            file = io.BytesIO(archive.read("model.weights.h5"))
    elif path.endswith(".weights.h5"):
        file = path
    else:
        raise ValueError(
            "`source` must be a Keras model, or a path that ends in .keras or .weights.h5. "
            f"Received: source={source!r}"
        )
    with h5py.File(file, "r") as opened:
        leaves = []
        _visit_file(opened, "", "", leaves)
        own = {key: _array(array) for key, array in opened.get("vars", {}).items()}
    return leaves + _own_leaf(own)


def leaves_of_model(model):
    if not model.built:
        raise ValueError(
            f"The model must be built before weights can be moved. Received: {model.name!r}, which "
            "is not: call it on a batch first."
        )
    leaves, seen = [], {id(model)}
    _visit_model(model, "", "", leaves, seen)
    own = {}
    model.save_own_variables(own)
    return leaves + _own_leaf(own)


def _own_leaf(weights):
    """What belongs to the model itself and to none of its layers."""
    return [Leaf(".", ".", None, weights)] if weights else []


def _visit_model(model, path, place, leaves, seen):
    children = []
    for layer in model.layers:
        if id(layer) not in seen and layer.weights:
            seen.add(id(layer))
            children.append((layer.name, _snake_case(type(layer).__name__), layer))
    places = _places([(name, kind, None) for name, kind, _ in children], place)
    for (name, kind, layer), its_place in zip(children, places, strict=True):
        its_path = f"{path}/{name}" if path else name
        weights = {} if _is_functional(layer) else dict(_weights(layer, "", set()))
        # Of a subclassed model that keeps all under `layers` a file cannot tell that it is none.
        if all(key.startswith("layers/") for key in weights) and isinstance(layer, keras.Model):
            _visit_model(layer, its_path, its_place, leaves, seen)
        else:
            leaves.append(Leaf(its_path, its_place, kind, weights))


def _is_functional(layer):
    return isinstance(layer, keras.Model) and bool(getattr(layer, "inputs", None))


def _weights(layer, prefix, seen):
    """The keys and weights of a layer and of those in its attributes, as Keras saves them."""
    seen.add(id(layer))
    own = {}
    layer.save_own_variables(own)
    for key, weight in own.items():
        if not isinstance(weight, keras.Variable):
            raise ValueError(
                f"The weights of layer {layer.name!r} cannot be moved: it saves values of its own."
            )
        yield prefix + key, weight
    # As in Keras's files: whatever attribute reaches a layer first, public ones before private.
    for name in sorted(set(dir(layer)) - _attributes_of_all(), key=lambda n: (n[0] == "_", n)):
        yield from _weights_in(getattr(layer, name, None), f"{prefix}{name}/", seen)


def _weights_in(value, prefix, seen):
    if isinstance(value, keras.layers.Layer):
        if id(value) not in seen:
            yield from _weights(value, prefix, seen)
    elif isinstance(value, (list, tuple, dict)):
        used = {}
        for item in list(value.values()) if isinstance(value, dict) else value:
            is_container = isinstance(item, (list, tuple, dict))
            kind = "container" if is_container else _snake_case(type(item).__name__)
            number = used[kind] = used.get(kind, -1) + 1
            yield from _weights_in(item, f"{prefix}{kind}{f'_{number}' if number else ''}/", seen)


@functools.cache
def _attributes_of_all():
    return set(dir(keras.layers.Layer()))


def _visit_file(group, path, place, leaves):
    children = []
    for keys, node in sorted(_nodes(group, ()), key=lambda item: [_natural(k) for k in item[0]]):
        if any(True for _ in _arrays(node, "")):
            name = node["vars"].attrs["name"]
            children.append((name, _kind_in_file(keys, name), keys, node))
    # Attributes come in the order of the alphabet: only those of one list have an order.
    places = _places(
        [(name, kind, keys[:-1] or keys) for name, kind, keys, _ in children],
        place,
    )
    for (name, kind, _, node), its_place in zip(children, places, strict=True):
        its_path = f"{path}/{name}" if path else name
        if "layers" in node and set(node) <= {"layers", "vars"} and not len(node["vars"]):
            _visit_file(node, its_path, its_place, leaves)
        else:
            leaves.append(Leaf(its_path, its_place, kind, dict(_arrays(node, ""))))


def _kind_in_file(keys, name):
    """In a list the key is the class; an attribute of a subclassed model does not tell it."""
    if len(keys) > 1:
        return _without_number(keys[-1])
    registered = [key.split(">")[-1] for key in keras.saving.get_custom_objects()]
    known = {_snake_case(cls) for cls in (*dir(keras.layers), *registered)}
    return _without_number(name) if _without_number(name) in known else None


def _nodes(group, keys):
    """The layers in a group with their keys, through lists and dicts of them."""
    for key, child in group.items():
        if key in ("vars", "optimizer") or not isinstance(child, h5py.Group):
            continue
        if "vars" not in child:
            yield from _nodes(child, (*keys, key))
        elif "name" in child["vars"].attrs:
            yield (*keys, key), child
        else:
            raise ValueError(
                "`source` was written by a Keras that kept no names of layers in its weights "
                "files. Load it into its own model and pass that."
            )


def _arrays(group, prefix):
    for key, child in group.items():
        if key.endswith("seed_generator"):
            continue
        if key == "vars":
            for index, array in child.items():
                yield prefix + index, _array(array)
        elif isinstance(child, h5py.Group):
            yield from _arrays(child, f"{prefix}{key}/")


def _array(dataset):
    if dataset.attrs.get("dtype") == "bfloat16":
        return np.array(dataset, dtype="bfloat16").astype("float32")
    return np.array(dataset)


def _places(children, place):
    """Names that Keras made up say no more than the class and the order: so do their places.

    `children` are names, classes, and where they stand: layers of one class from several places
    have no known order, and get places that nothing else has.
    """
    made_up = [kind is not None and _without_number(name) == kind for name, kind, _ in children]
    origins, numbers = {}, {}
    for (_, kind, origin), is_made_up in zip(children, made_up, strict=True):
        if is_made_up:
            origins.setdefault(kind, set()).add(origin)
    for (name, kind, _), is_made_up in zip(children, made_up, strict=True):
        own = name
        if is_made_up:
            numbers[kind] = numbers.get(kind, 0) + 1
            ordered = len(origins[kind]) == 1
            own = f"{kind}#{numbers[kind]}" if ordered else f"{kind}#{name} of unknown order"
        yield f"{place}/{own}" if place else own


def _without_number(name):
    return re.sub(r"_\d+$", "", name)


def _natural(key):
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)$", key)]


def _snake_case(name):
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", name))
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()
