"""The layers inside a layer, and what stands in for their functions while a model runs."""

import contextlib

import keras

_MISSING = object()


def layers_of(layer):
    """A layer and all layers inside it, whatever attribute holds them."""
    seen = {}

    def visit(value):
        if isinstance(value, keras.layers.Layer):
            if id(value) not in seen:
                seen[id(value)] = value
                for attribute in vars(value).values():
                    visit(attribute)
        elif isinstance(value, dict):
            for item in list(value.values()):
                visit(item)
        elif isinstance(value, (list, tuple)):
            for item in value:
                visit(item)

    visit(layer)
    return list(seen.values())


@contextlib.contextmanager
def intercepted(layers, name, interceptor):
    """Inside it `interceptor(layer, function, args, kwargs)` stands in for a function of layers.

    Args:
        layers: Layers, each with such a function.
        name: The function's name, "call" or "activation".
        interceptor: What it returns the caller gets; `function` is what it stands in for.
    """

    def instead_of(layer, function):
        def instead(*args, **kwargs):
            return interceptor(layer, function, args, kwargs)

        return instead

    with contextlib.ExitStack() as stack:
        for layer in layers:
            stack.enter_context(replaced(layer, name, instead_of(layer, getattr(layer, name))))
        yield


@contextlib.contextmanager
def replaced(layer, name, value):
    """Inside it `value` is the layer's attribute `name`; after it all is as before."""
    # In the instance's dict: Keras's __setattr__ would track the value as a part of the layer.
    before = vars(layer).get(name, _MISSING)
    vars(layer)[name] = value
    try:
        yield
    finally:
        if before is _MISSING:
            del vars(layer)[name]
        else:
            vars(layer)[name] = before
