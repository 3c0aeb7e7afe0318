"""Data as `fit` takes it other than as arrays."""

import keras


class Batches(keras.utils.PyDataset):
    """Arrays, or structures of them, in `count` batches of `size` examples."""

    def __init__(self, *arrays, count, size):
        super().__init__()
        self.arrays, self.count, self.size = arrays, count, size

    def __len__(self):
        return self.count

    def __getitem__(self, i):
        start = self.size * i
        return tuple(keras.tree.map_structure(lambda a: a[start:][: self.size], self.arrays))
