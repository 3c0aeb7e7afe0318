import json
import math
import os
import pathlib

import keras


class BestWeights:
    """The best weights of a training, in memory and on disk."""

    def __init__(self, model, checkpoint, steps, seed):
        self.model = model
        self.folder = None if checkpoint is None else pathlib.Path(checkpoint)
        self.seed, self.rows, self.weights = seed, [], None
        model.steps.assign(0)
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
        if progress["seed"] != self.seed or int(last.steps) > steps:
            raise ValueError(
                "`checkpoint` must be a folder of the same training. Received: "
                f"checkpoint={str(self.folder)!r} with seed={progress['seed']}, "
                f"{int(last.steps)} steps, where seed={self.seed}, {steps} steps are asked for"
            )
        self.model.set_weights(last.get_weights())
        self.model.optimizer.build(self.model.trainable_variables)
        for own, saved in zip(
            self.model.optimizer.variables, last.optimizer.variables, strict=True
        ):
            own.assign(saved)
        # What was written for an epoch that has not been saved whole happens again.
        done = int(last.steps)
        self.rows = [row for row in progress["rows"] if row["logs"]["steps"] <= done]
        self.weights = keras.saving.load_model(self.folder / "best.keras").get_weights()

    def take(self, epoch, logs):
        """After each epoch; of equal returns the later weights are kept."""
        former = max((row["logs"]["val_return"] for row in self.rows), default=-math.inf)
        self.rows.append({"epoch": epoch, "logs": dict(logs)})
        better = logs["val_return"] >= former
        if better:
            self.weights = self.model.get_weights()
        if self.folder is None:
            return
        progress = json.dumps({"seed": self.seed, "rows": self.rows}, indent=1)
        self._write("progress.json", lambda path: path.write_text(progress))
        if better:
            self._write("best.keras", self.model.save)
        self._write("last.keras", self.model.save)  # comes last: with it the epoch is done

    def restore(self):
        if self.weights is not None:
            self.model.set_weights(self.weights)

    def note(self):
        if self.weights is None:
            return "No evaluation had come yet: the model keeps the weights it has."
        value = max(row["logs"]["val_return"] for row in self.rows)
        where = "" if self.folder is None else f", as has {self.folder / 'best.keras'}"
        return f"The model has its best weights so far, evaluated at {value:.6g}{where}."

    def _write(self, name, write):
        """Whole or not at all."""
        part = self.folder / f"part.{name}"
        write(part)
        os.replace(part, self.folder / name)
