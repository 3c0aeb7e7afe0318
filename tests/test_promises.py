"""Every public object, held against the promises of its kind (checks.py)."""

import configparser
import doctest
import inspect
import pathlib
import sys

import checks
import examples
import keras
import numpy as np
import pytest

import kerazoo

OBJECTS = checks.public_objects()
CLASSES = checks.public_classes()
LAYERS = {name: cls for name, cls in CLASSES.items() if issubclass(cls, keras.layers.Layer)}

LOSSES = {name: cls for name, cls in CLASSES.items() if issubclass(cls, keras.losses.Loss)}


def example_of(cls):
    assert cls in examples.EXAMPLES, f"{cls.__name__} is public: add one to tests/examples.py"
    return examples.EXAMPLES[cls]


@pytest.mark.parametrize("name", CLASSES)
def test_class_has_an_example(name):
    assert isinstance(example_of(CLASSES[name]).make(), CLASSES[name])


@pytest.mark.parametrize("name", [n for n, c in CLASSES.items() if hasattr(c, "get_config")])
def test_config(name):
    checks.check_config(example_of(CLASSES[name]).make)


@pytest.mark.parametrize("name", LAYERS)
def test_layer(name):
    example = example_of(LAYERS[name])
    if isinstance(example, examples.Layer):
        checks.check_layer(example.make, example.input_shape)


@pytest.mark.parametrize("name", LOSSES)
def test_loss(name):
    example = example_of(LOSSES[name])
    checks.check_loss(example.make, example.y_true, example.y_pred)


@pytest.mark.parametrize("name", OBJECTS)
def test_docstring(name):
    """Says what it does, and its example runs and prints what it says."""
    text = inspect.getdoc(OBJECTS[name])
    assert text
    names = {"kerazoo": kerazoo, "keras": keras, "np": np}
    test = doctest.DocTestParser().get_doctest(text, names, name, None, None)
    assert test.examples, f"{name} shows no example"
    report = []
    runner = doctest.DocTestRunner(
        optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE, verbose=False
    )
    runner.run(test, out=report.append)
    assert not report, "".join(report)


@pytest.mark.slow
def test_layers_load_in_a_fresh_process(tmp_path):
    made = [e for e in examples.EXAMPLES.values() if isinstance(e, examples.Layer)]
    for i, example in enumerate(made):
        model = checks.layer_model(example.make, example.input_shape)
        x = checks.sample(example.input_shape)
        model.save(tmp_path / f"{i}.keras")
        np.savez(tmp_path / f"{i}.npz", x, *checks.flat(model(x)))
    printed = checks.run_in_fresh_process(
        """
        import pathlib, sys
        import keras, kerazoo, numpy as np
        for path in pathlib.Path(sys.argv[1]).glob("*.keras"):
            model = keras.saving.load_model(path, safe_mode=True)
            x, *expected = np.load(path.with_suffix(".npz")).values()
            found = keras.tree.flatten(model(x))
            assert len(found) == len(expected)
            for a, b in zip(found, expected):
                np.testing.assert_array_equal(keras.ops.convert_to_numpy(a), b)
            print("same", path.stem)
        """,
        tmp_path,
    )
    assert printed.count("same") == len(made)


@pytest.mark.slow
def test_losses_load_in_a_fresh_process(tmp_path):
    """With the compiled model, whose evaluation stays the same."""
    made = [e for e in examples.EXAMPLES.values() if isinstance(e, examples.Loss)]
    for i, example in enumerate(made):
        inputs = keras.Input((None, example.y_pred.shape[-1]))
        model = keras.Model(inputs, keras.layers.Identity()(inputs))
        model.compile(loss=example.make(reduction="sum"))
        value = model.evaluate(example.y_pred, example.y_true, verbose=0)
        model.save(tmp_path / f"{i}.keras")
        np.savez(tmp_path / f"{i}.npz", x=example.y_pred, y=example.y_true, value=value)
    printed = checks.run_in_fresh_process(
        """
        import pathlib, sys
        import keras, kerazoo, numpy as np
        sys.path.append(sys.argv[2])
        import examples  # registers the functions that the losses call
        for path in pathlib.Path(sys.argv[1]).glob("*.keras"):
            model = keras.saving.load_model(path, safe_mode=True)
            data = np.load(path.with_suffix(".npz"))
            value = model.evaluate(data["x"], data["y"], verbose=0)
            np.testing.assert_allclose(value, data["value"], rtol=1e-6)
            print("same", path.stem)
        """,
        tmp_path,
        pathlib.Path(examples.__file__).parent,
    )
    assert printed.count("same") == len(made)


@pytest.mark.slow
def test_import_is_silent_and_brings_nothing_optional():
    printed = checks.run_in_fresh_process(
        """
        import sys, keras
        theirs = set(sys.modules)  # Keras itself imports pandas where it is installed
        import kerazoo
        ours = {name.split(".")[0] for name in set(sys.modules) - theirs}
        assert ours - set(sys.stdlib_module_names) == {"kerazoo"}, ours
        if keras.backend.backend() != "tensorflow":
            assert "tensorflow" not in sys.modules
        """
    )
    assert printed == ""


def test_package_is_imported_once():
    """A checkout imported under two names would register two classes under one."""
    copies = {
        id(module)
        for module in list(sys.modules.values())
        if getattr(module, "__file__", None) == kerazoo.__file__
    }
    assert len(copies) == 1


def test_packages_in_setup_cfg_are_the_folders():
    """An editable install hides a folder that `packages` forgets; a wheel lacks it."""
    root = pathlib.Path(kerazoo.__file__).parent
    setup = configparser.ConfigParser()
    setup.read(root / "setup.cfg")
    listed = set(setup["options"]["packages"].split())
    parts = [
        path.parent.relative_to(root).parts
        for path in root.rglob("__init__.py")
        if not path.relative_to(root).parts[0].startswith((".", "build"))
    ]
    assert listed == {".".join(("kerazoo", *p)) for p in parts}
