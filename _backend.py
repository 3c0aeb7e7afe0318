"""What depends on the Keras backend: the names that need TensorFlow.

On TensorFlow a room imports all that it has, so that `load_model` finds every registered class. On
another backend the rest of the room works, and a name that needs TensorFlow says so when touched.
"""

import keras

ON_TENSORFLOW = keras.backend.backend() == "tensorflow"


def without_tensorflow(room):
    """`__all__` and `__getattr__` of a room whose names are not all there; `room`: its globals."""
    name_of_room = room["__name__"]
    absent = [name for name in room["__all__"] if name not in room]

    def __getattr__(name):  # noqa: N807
        if name in absent:
            raise ImportError(
                f"{name_of_room}.{name} needs Keras's TensorFlow backend: set the environment "
                "variable KERAS_BACKEND=tensorflow before Keras is imported. "
                f"Received: KERAS_BACKEND={keras.backend.backend()}"
            )
        raise AttributeError(f"module {name_of_room!r} has no attribute {name!r}")

    return [name for name in room["__all__"] if name in room], __getattr__
