"""Tries an installed wheel from a folder outside the checkout: `python wheel_smoke.py WHEEL`.

Imports everything, saves and loads a model, and fits the forecaster for a moment, with nothing
installed but what the wheel asks for.
"""

import importlib
import importlib.metadata
import os
import pathlib
import pkgutil
import sys
import zipfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

import kerazoo

wheel = zipfile.ZipFile(sys.argv[1])
folders = {pathlib.PurePath(name).parts[:2] for name in wheel.namelist()}
strangers = {parts for parts in folders if {"tests", "scripts"} & set(parts)}
assert not strangers, f"the wheel holds {strangers}"

assert "site-packages" in kerazoo.__file__, kerazoo.__file__
assert importlib.metadata.version("kerazoo") == kerazoo.__version__
modules = [info.name for info in pkgutil.walk_packages(kerazoo.__path__, "kerazoo.")]
# They are imported where a pandas object was passed.
need_pandas = {
    f"kerazoo.models.forecasting.{name}" for name in ("_pandas_series", "_time_axis", "_time_steps")
}
assert need_pandas <= set(modules)
for name in set(modules) - need_pandas:
    importlib.import_module(name)
optional = {"matplotlib", "pandas"} & set(sys.modules)
assert not optional, f"optional dependencies were imported: {optional}"

inputs = keras.Input((12,))
x = kerazoo.layers.PReLU()(kerazoo.layers.Maxout(3)(inputs))
model = keras.Model(inputs, x)
model.save("model.keras")
loaded = keras.saving.load_model("model.keras", safe_mode=True)
batch = np.random.default_rng(0).normal(size=(2, 12))
np.testing.assert_array_equal(loaded(batch), model(batch))

sine = np.sin(0.3 * np.arange(100))
forecaster = kerazoo.models.StatefulLSTMForecaster(units=(4,))
forecaster.compile("adam")
forecaster.fit(sine, epochs=2, verbose=0)
assert forecaster.forecast(5, context=sine).shape == (5, 1)
print(f"{len(modules)} modules of kerazoo {kerazoo.__version__} from {wheel.filename}: works")
