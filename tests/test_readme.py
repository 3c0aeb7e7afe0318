"""The README's Python examples run, one after another, as a reader would type them."""

import pathlib
import re

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerazoo

README = pathlib.Path(kerazoo.__file__).parent / "README.md"
BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)


@pytest.mark.slow
def test_examples(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    blocks = BLOCK.findall(README.read_text())
    assert blocks
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})


def test_the_gaussian_policy_is_the_step_by_hand():
    """The README's own lines, and the same step with a tape and three tensors.

    With SGD in place of Adam, whose first step turns rounding of small gradients into whole steps.
    """
    text = README.read_text()
    (block,) = (b for b in BLOCK.findall(text) if 'A2CActorLoss("gaussian"' in b)
    setup, step = block.split("policy.train_on_batch")
    assert len(block.strip().splitlines()) <= 12
    assert '"adam"' in setup
    names = {}
    exec(setup.replace('"adam"', "keras.optimizers.SGD(0.1)"), names)
    policy = names["policy"]
    by_hand = keras.models.clone_model(policy)
    by_hand.set_weights(policy.get_weights())
    exec(f"policy.train_on_batch{step}", names)

    with tf.GradientTape() as tape:
        mean, log_std = tf.split(by_hand(names["states"]), 2, axis=-1)
        variance = tf.exp(2 * log_std)
        log_p = -((names["actions"] - mean) ** 2) / (2 * variance)
        log_p -= 0.5 * tf.math.log(2 * np.pi * variance)
        entropy = tf.reduce_sum(0.5 * tf.math.log(2 * np.pi * np.e * variance), axis=-1)
        advantage = tf.constant(names["advantages"], "float32")
        loss = -tf.reduce_mean(advantage * tf.reduce_sum(log_p, axis=-1) + 0.01 * entropy)
    weights = [v.value for v in by_hand.trainable_variables]
    for weight, g in zip(weights, tape.gradient(loss, weights), strict=True):
        weight.assign_sub(0.1 * g)
    for found, expected in zip(policy.get_weights(), by_hand.get_weights(), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_every_file_it_names_is_there():
    named = re.findall(r"\]\((?!http)([^)#]+)\)", README.read_text())
    assert named
    assert [path for path in named if not (README.parent / path).exists()] == []
