import zipfile

import numpy as np

from ..._arguments import file_path, wrong

_ARRAYS = ("prediction", "window", "count", "location", "scale", "expected", "spread")


class ForecasterState:
    """What a forecaster knows of one or several series after it has seen them.

    `StatefulLSTMForecaster.warm_up` and `step` return one, and `forecast` and `step` go on from it,
    without reading again what it has seen. It can be saved, and loaded in another process.

    Attributes:
        prediction: Array `(series, features)`, the forecast of the next step in the series' own
            units.
        count: Array `(series,)`, the steps seen.
        single: Whether it belongs to one series rather than a list of them.
        recurrent: List of arrays `(series, width)`, the recurrent layers' states.
        window: Array `(series, steps, features)`, the last values, transformed and without gaps.
        location, scale: Arrays `(series, features)`, units of the series that do not change.
        expected, spread: Arrays `(series, features)`, the prediction and one unit of the network's
            output, transformed.

    Example:

    >>> tide = np.sin(np.arange(60) * np.pi / 6)
    >>> model = kerazoo.models.StatefulLSTMForecaster(units=(4,))
    >>> model.compile("adam")
    >>> history = model.fit(tide, verbose=0)
    >>> state = model.warm_up(tide)
    >>> prediction, state = model.step(0.1, state)
    >>> int(state.count[0]), model.forecast(12, state).shape
    (61, (12, 1))
    """

    def __init__(
        self, prediction, recurrent, window, count, location, scale, expected, spread, single
    ):
        self.prediction = prediction
        self.recurrent = list(recurrent)
        self.window = window
        self.count = count
        self.location = location
        self.scale = scale
        self.expected = expected
        self.spread = spread
        self.single = single

    def save(self, path):
        """Saves the state as one `.npz` file of NumPy.

        Args:
            path: Where to save it.
        """
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        recurrent = {f"recurrent_{i}": np.asarray(one) for i, one in enumerate(self.recurrent)}
        with open(file_path("path", path), "wb") as file:
            np.savez(file, single=self.single, **arrays, **recurrent)

    @classmethod
    def load(cls, path):
        """The state that `save` wrote.

        Args:
            path: The file.

        Raises:
            ValueError: the file holds something else.
        """
        with open(file_path("path", path), "rb") as opened:
            try:
                file = np.lib.npyio.NpzFile(opened, allow_pickle=False)
                arrays = {name: file[name] for name in ("single", *_ARRAYS)}
                names = [name for name in file.files if name.startswith("recurrent_")]
                recurrent = [file[f"recurrent_{i}"] for i in range(len(names))]
            except (KeyError, ValueError, zipfile.BadZipFile) as error:
                raise wrong("path", "a file that `ForecasterState.save` wrote", path) from error
        return cls(recurrent=recurrent, **{**arrays, "single": bool(arrays["single"])})
