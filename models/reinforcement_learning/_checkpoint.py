import json
import math
import os
import pathlib

import keras
import numpy as np

from ..._arguments import wrong


class Checkpoint:
    """The best weights of a training in memory and, in a folder, all that it goes on from.

    `learner` may hold more than the model's weights: then it has `state()`, a dict of arrays, and
    `set_state(arrays)`. `settings` says which training it is: only the same one is gone on with.
    """

    def __init__(self, model, learner, settings, folder, steps):
        self.model, self.learner = model, learner
        # Taken now: callbacks may change the learning rate on the way.
        self.settings = {**settings, **_flat(model.get_compile_config(), "compile")}
        if not isinstance(folder, (str, os.PathLike, type(None))):
            raise wrong("checkpoint", "a path or None", folder)
        self.folder = None if folder is None else pathlib.Path(folder)
        self.rows, self.weights = [], None
        model.steps.assign(0)
        # What a diverged training, whose numbers are NaN, falls back to.
        groups = (model.weights, model.optimizer.variables)
        self.start = [(group, [np.array(variable) for variable in group]) for group in groups]
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
            if (self.folder / "last.keras").exists():
                self._resume(steps)

    def _resume(self, steps):
        last = keras.saving.load_model(self.folder / "last.keras")
        progress = json.loads((self.folder / "progress.json").read_text())
        if last.get_config() != {**self.model.get_config(), "name": last.name}:
            raise ValueError(
                "`checkpoint` must be a folder of the same model. Received: "
                f"checkpoint={str(self.folder)!r} of {last.get_config()}"
            )
        self._check_same_training(progress["settings"], last, steps)
        self.model.set_weights(last.get_weights())
        for own, saved in zip(
            self.model.optimizer.variables, last.optimizer.variables, strict=True
        ):
            own.assign(saved)
        done = int(last.steps)
        if hasattr(self.learner, "state"):
            with np.load(self.folder / _state_file(done)) as arrays:
                self.learner.set_state(arrays)
        # What was written for an epoch that has not been saved whole happens again.
        self.rows = [row for row in progress["rows"] if row["logs"]["steps"] <= done]
        self.weights = keras.saving.load_model(self.folder / "best.keras").get_weights()

    def _check_same_training(self, saved, last, steps):
        asked = {**self.settings, "optimizer": type(self.model.optimizer).__name__}
        saved = {**saved, "optimizer": type(last.optimizer).__name__}
        asked = json.loads(json.dumps(asked))  # as it looks in the file: tuples as lists
        if not any(name.startswith("compile.") for name in saved):  # of an earlier version
            asked = {n: value for n, value in asked.items() if not n.startswith("compile.")}
        others = [
            f"{name}={saved.get(name)!r}, not {value!r}"
            for name, value in asked.items()
            if saved.get(name) != value
        ]
        if int(last.steps) > steps:
            others.append(f"{int(last.steps)} steps done, more than {steps}")
        if others:
            raise ValueError(
                "`checkpoint` must be a folder of the same training. Received: "
                f"checkpoint={str(self.folder)!r} with {'; '.join(others)}"
            )

    def take(self, epoch, logs):
        """After each epoch; of equal returns the later weights are kept."""
        former = max((row["logs"]["val_return"] for row in self.rows), default=-math.inf)
        self.rows.append({"epoch": epoch, "logs": dict(logs)})
        better = logs["val_return"] >= former
        if better:
            self.weights = self.model.get_weights()
        if self.folder is None:
            return
        progress = json.dumps({"settings": self.settings, "rows": self.rows}, indent=1)
        self._write("progress.json", lambda path: path.write_text(progress))
        if better:
            self._write("best.keras", self.model.save)
        state = _state_file(logs["steps"])
        if hasattr(self.learner, "state"):
            arrays = self.learner.state()
            self._write(state, lambda path: np.savez(path, **arrays))
        self._write("last.keras", self.model.save)  # comes last: with it the epoch is done
        for path in self.folder.glob(_state_file("*")):
            if path.name != state:
                path.unlink()

    def restore(self):
        """The best weights; where weights or the optimizer are not finite, those of the start."""
        if self.weights is not None:
            self.model.set_weights(self.weights)
        for variables, start in self.start:
            if not all(np.isfinite(variable).all() for variable in variables):
                for variable, value in zip(variables, start, strict=True):
                    variable.assign(value)

    def note(self):
        if self.weights is None:
            return "No evaluation had come yet: the model keeps the weights it has, if finite."
        value = max(row["logs"]["val_return"] for row in self.rows)
        where = "" if self.folder is None else f", as has {self.folder / 'best.keras'}"
        return f"The model has its best weights so far, evaluated at {value:.6g}{where}."

    def _write(self, name, write):
        """Whole or not at all."""
        part = self.folder / f"part.{name}"
        write(part)
        os.replace(part, self.folder / name)


def _flat(config, path):
    """A nested config as {"compile.optimizer.config.learning_rate": 0.001, ...}."""
    if not isinstance(config, dict):
        return {path: config}
    found = {}
    for name, value in config.items():
        if name not in ("name", "shared_object_id", "build_config"):  # as objects were made
            found |= _flat(value, f"{path}.{name}")
    return found


def _state_file(steps):
    """One for each epoch, so that `last.keras` finds its own."""
    return f"state.{steps}.npz"
