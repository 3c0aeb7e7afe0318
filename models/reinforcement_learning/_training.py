"""What the agents do alike: epochs of updates that end with an evaluation, and the evaluation."""

import math
import typing

import keras
import numpy as np

from ..._arguments import integer, positive_integer, wrong
from ._checkpoint import Checkpoint
from ._environments import Environments, returns_of_episodes
from ._seeds import EVALUATION, seed_of


class Epochs(typing.NamedTuple):
    """How many there are, and in each of them the updates and the steps of all environments."""

    number: int
    updates: int
    steps: int


def epochs_of(steps, evaluation_every, update_steps):
    """Whole epochs of whole updates, of at least `steps` in all."""
    updates = math.ceil(evaluation_every / update_steps)
    return Epochs(math.ceil(steps / (updates * update_steps)), updates, updates * update_steps)


def train_in_epochs(model, learn, env_id, epochs, settings, checkpoint, callbacks, verbose):
    """Trains `model`, leaves it with its best weights, and returns Keras's `History`.

    `learn(environments, epoch, ended)` makes an iterator. Each `next` of it is an update: it gives
    the logs so far, and appends to `ended` the returns of episodes that have ended. It may have a
    state, see `Checkpoint`. `settings` are the arguments that say which training it is.
    """
    num_envs, seed = settings["num_envs"], settings["seed"]
    callbacks = _checked(callbacks, verbose)
    if isinstance(env_id, str):
        settings = {"env_id": env_id, **settings}
    best = Checkpoint(model, learn, settings, checkpoint, epochs.number * epochs.steps)
    history = keras.callbacks.History()
    callbacks = keras.callbacks.CallbackList(
        [*callbacks, history],
        add_progbar=verbose != 0,
        verbose=1 if verbose == "auto" else int(verbose),
        epochs=epochs.number,
        steps=epochs.updates,
        model=model,
    )
    model.stop_training = False
    with Environments(env_id, num_envs) as environments:
        environments.check_spaces(model._observations, model._actions)
        model._env_id = env_id
        callbacks.on_train_begin()
        for row in best.rows:
            history.on_epoch_end(row["epoch"], row["logs"])
        try:
            for epoch in range(int(model.steps) // epochs.steps, epochs.number):
                callbacks.on_epoch_begin(epoch)
                ended = []
                updates = learn(environments, epoch, ended)
                for update in range(epochs.updates):
                    callbacks.on_train_batch_begin(update)
                    logs = next(updates)
                    callbacks.on_train_batch_end(update, logs)
                _check_weights(model)
                model.steps.assign_add(epochs.steps)
                found = model.evaluate(
                    settings["evaluation_episodes"], env_id, seed=seed_of(seed, EVALUATION)
                )
                logs["return"] = float(np.mean(ended)) if ended else math.nan
                logs |= {"val_return": float(found.mean()), "steps": int(model.steps)}
                best.take(epoch, logs)
                callbacks.on_epoch_end(epoch, logs)
                if model.stop_training:
                    break
        except (RuntimeError, ValueError) as error:
            error.add_note(best.note())
            raise
        finally:
            best.restore()
    callbacks.on_train_end()
    return history


def evaluate_agent(model, episodes, env_id, seed, new_policy):
    """The returns of `episodes` whole episodes; see `returns_of_episodes`."""
    episodes, seed = positive_integer("episodes", episodes), integer("seed", seed, minimum=0)
    env_id = model._env_id if env_id is None else env_id
    if env_id is None:
        raise ValueError("`env_id` must be given: this model has not been trained here yet.")
    spaces = model._observations, model._actions
    return returns_of_episodes(env_id, episodes, seed, *spaces, new_policy)


def _check_weights(model):
    """An update may break them though its own loss was finite: they must not count as the best."""
    broken = [weight.path for weight in model.weights if not np.isfinite(weight).all()]
    if broken:
        raise ValueError(
            "The weights must stay finite: a smaller learning rate may help. "
            f"Received: NaN or infinity in {', '.join(broken)}"
        )


def _checked(callbacks, verbose):
    """The callbacks as a list, where both arguments are what Keras takes."""
    callbacks = [] if callbacks is None else keras.tree.flatten(callbacks)
    if not all(isinstance(callback, keras.callbacks.Callback) for callback in callbacks):
        raise wrong("callbacks", "Keras callbacks or None", callbacks)
    if verbose not in ("auto", 0, 1, 2):
        raise wrong("verbose", "'auto', 0, 1 or 2", verbose)
    return callbacks
