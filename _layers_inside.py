"""The layers that a model is made of, for rooms that look inside built models."""

import keras


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
