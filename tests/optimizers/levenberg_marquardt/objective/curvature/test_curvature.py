"""Gradient and curvature of every supported loss, against differences of the Keras loss itself."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerazoo.losses import Cauchy, SoftL1, Tukey
from kerazoo.optimizers.levenberg_marquardt.objective.curvature import OutputCurvature, family_of
from kerazoo.optimizers.levenberg_marquardt.objective.curvature.bernoulli import Bernoulli
from kerazoo.optimizers.levenberg_marquardt.objective.curvature.dense import Dense
from kerazoo.optimizers.levenberg_marquardt.objective.curvature.multinomial import Multinomial

RNG = np.random.default_rng(3)
BATCH, TIME, CLASSES = 4, 3, 3
losses = keras.losses


class Quartic(losses.Loss):
    def call(self, y_true, y_pred):
        return keras.ops.sum((y_pred - y_true) ** 4, axis=-1) + keras.ops.prod(y_pred, axis=-1)


def log_of_mean(y_true, y_pred):
    return keras.ops.log(1 + keras.ops.mean((y_true - y_pred) ** 2, axis=-1))


def real(*shape):
    return RNG.normal(size=shape)


def probabilities(*shape):
    return np.asarray(tf.nn.softmax(RNG.normal(size=shape)))


def labels(*shape):
    return RNG.integers(0, shape[-1], shape[:-1])


def one_hot(*shape):
    return np.eye(shape[-1])[labels(*shape)]


def binary(*shape):
    return RNG.integers(0, 2, shape).astype(float)


def positive(*shape):
    return RNG.uniform(0.5, 3, shape)


# Made in the test: a loss takes its precision from floatx when it is made.
CASES = {
    "mse": (lambda: "mse", real, real),
    "huber": (lambda: losses.Huber(delta=0.7), real, real),
    "log_cosh": (lambda: "log_cosh", real, real),
    "poisson": (lambda: "poisson", positive, positive),
    "msle": (lambda: "msle", positive, positive),
    "binary logits": (lambda: losses.BinaryCrossentropy(from_logits=True), binary, real),
    "binary": (lambda: losses.BinaryCrossentropy(label_smoothing=0.1), binary, probabilities),
    "categorical logits": (lambda: losses.CategoricalCrossentropy(from_logits=True), one_hot, real),
    "categorical": (lambda: "categorical_crossentropy", one_hot, probabilities),
    "sparse logits": (lambda: losses.SparseCategoricalCrossentropy(from_logits=True), labels, real),
    "sparse": (lambda: losses.SparseCategoricalCrossentropy(), labels, probabilities),
    "divergence": (lambda: losses.KLDivergence(), probabilities, probabilities),
    "cosine": (lambda: losses.CosineSimilarity(), real, real),
    "own": (lambda: Quartic(), real, real),
    "function": (lambda: log_of_mean, real, real),
    "soft_l1": (lambda: SoftL1(0.7), real, real),
    "cauchy": (lambda: Cauchy(0.7), real, real),
    "tukey": (lambda: Tukey(2.0), real, real),
    "sum": (lambda: losses.MeanSquaredError(reduction="sum"), real, real),
    "weighted mean": (
        lambda: losses.MeanSquaredError(reduction="mean_with_sample_weight"),
        real,
        real,
    ),
}
SHAPES = {"flat": (BATCH, CLASSES), "sequence": (BATCH, TIME, CLASSES)}


def keras_loss(loss, y, weight):
    """F of a list of one output, computed by Keras with all that weighs an example."""
    loss = losses.get(loss)
    if not isinstance(loss, losses.Loss):
        loss = type("Wrapped", (losses.Loss,), {"call": staticmethod(losses.get(loss))})()

    def value(z):
        return loss(y, z[0], sample_weight=weight)

    return value


def differences(f, z, step):
    """Gradient by central differences of f: R^n -> R^m, (n, m)."""
    flat = z.reshape(-1)
    rows = []
    for i in range(flat.size):
        up, down = flat.copy(), flat.copy()
        up[i] += step
        down[i] -= step
        rows.append((f(up.reshape(z.shape)) - f(down.reshape(z.shape))) / (2 * step))
    return np.array(rows)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", CASES)
def test_gradient_and_curvature(name, shape, weighted, float64):
    make_loss, make_y, make_z = CASES[name]
    loss = make_loss()
    shape = SHAPES[shape]
    y, z = make_y(*shape), make_z(*shape)
    weight = mask = None
    if weighted:
        weight = RNG.uniform(0, 2, shape[:-1])
        weight[1] = 0
        mask = RNG.integers(0, 2, shape[:-1]).astype(bool)
        mask[0] = True
    value = keras_loss(loss, y, weight)

    def masked(array):
        tensor = tf.constant(array)
        if mask is not None:
            tensor._keras_mask = tf.constant(mask)
        return tensor

    family = family_of(loss)
    curvature = OutputCurvature([family], [z[0].size], value)
    _, (gradient,), (factor,) = curvature([masked(z)])
    expected = differences(lambda v: value([masked(v)]).numpy(), z, 1e-6)
    np.testing.assert_allclose(gradient.numpy().reshape(-1), expected, atol=1e-8)

    S_t = family.cotangents(factor).numpy()
    H = np.einsum("nri,nrj->nij", S_t, S_t)
    expected = dense_blocks(value, masked, z, family)
    np.testing.assert_allclose(H, expected, atol=1e-7)
    # What the solvers in the space of the residuals ask for: g = S r + rest, and S v.
    r, (rest,) = curvature.residuals_and_rests([gradient], [factor])
    np.testing.assert_allclose(
        np.einsum("nri,nr->ni", S_t, r) + np.reshape(rest, [BATCH, -1]),
        gradient.numpy().reshape(BATCH, -1),
        atol=1e-12,
    )
    v = RNG.normal(size=r.shape)
    expected = np.einsum("nri,nr->ni", S_t, v)
    np.testing.assert_allclose(family.mv(factor, tf.constant(v)), expected, atol=1e-12)
    if curvature.quadratic:
        r = curvature.residuals([gradient], [factor]).numpy()
        np.testing.assert_allclose(
            np.einsum("nri,nr->ni", S_t, r), gradient.numpy().reshape(BATCH, -1), atol=1e-15
        )


def dense_blocks(value, masked, z, family):
    """Each example's block of the Hessian, by differences of the differentiated loss."""

    def gradient(v):
        v = masked(v)
        with tf.GradientTape() as tape:
            tape.watch(v)
            f = value([v])
        return tape.gradient(f, v).numpy().reshape(-1)

    size = z[0].size
    H = differences(gradient, z, 1e-6).reshape(BATCH, size, BATCH, size)
    for i in range(BATCH):
        for j in set(range(BATCH)) - {i}:
            np.testing.assert_allclose(H[i, :, j], 0, atol=1e-8)
    blocks = np.stack([H[i, :, i] for i in range(BATCH)])
    if isinstance(family, Bernoulli | Multinomial):
        # The Fisher information: c / (p (1 - p)) or c diag(1 / p). An example's weight c is read
        # off the true Hessian where all labels give the same.
        level = 0.5 if isinstance(family, Bernoulli) else 1 / z.shape[-1]
        H = differences(gradient, np.full_like(z, level), 1e-6).reshape(BATCH, size, BATCH, size)
        at_level = np.stack([H[i, :, i] for i in range(BATCH)])
        if isinstance(family, Bernoulli):
            c = np.einsum("nii->ni", at_level) / 4
            p = z.reshape(BATCH, -1)
            return c[:, :, None] * np.eye(size) / (p * (1 - p))[:, :, None]
        classes = z.shape[-1]
        c = -np.stack([at_level[:, k, k + 1] for k in range(0, size, classes)], axis=1)
        return (np.repeat(c, classes, axis=1) / z.reshape(BATCH, -1))[:, :, None] * np.eye(size)
    eigenvalues, V = np.linalg.eigh((blocks + blocks.transpose(0, 2, 1)) / 2)
    return np.einsum("nij,nj,nkj->nik", V, np.maximum(eigenvalues, 0), V)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", ["categorical", "binary"])
def test_probabilities_and_logits_have_the_same_curvature(kind, weighted, float64):
    """Through a softmax or sigmoid, the form of probabilities is that of logits."""
    logits = real(BATCH, CLASSES)
    weight = RNG.uniform(0, 2, BATCH) if weighted else None
    if kind == "categorical":
        y, p = one_hot(BATCH, CLASSES), np.asarray(tf.nn.softmax(logits))
        J = np.stack([np.diag(q) - np.outer(q, q) for q in p])
        make = losses.CategoricalCrossentropy
    else:
        y, p = binary(BATCH, CLASSES), 1 / (1 + np.exp(-logits))
        J = np.stack([np.diag(q * (1 - q)) for q in p])
        make = losses.BinaryCrossentropy

    def block(from_logits, z):
        loss = make(from_logits=from_logits)
        family = family_of(loss)
        curvature = OutputCurvature([family], [z[0].size], keras_loss(loss, y, weight))
        *_, (factor,) = curvature([tf.constant(z)])
        S_t = family.cotangents(factor).numpy()
        return np.einsum("nri,nrj->nij", S_t, S_t)

    through = np.einsum("nai,nij,nbj->nab", J, block(False, p), J)
    np.testing.assert_allclose(through, block(True, logits), atol=1e-12)


def test_two_outputs_do_not_disturb_each_other(float64):
    y, z = real(BATCH, 2), real(BATCH, 2)
    labelled, logits = labels(BATCH, CLASSES), real(BATCH, CLASSES)
    mse, sparse = losses.MeanSquaredError(), CASES["sparse logits"][0]()

    def both(outputs):
        return 0.3 * mse(y, outputs[0]) + 2 * sparse(labelled, outputs[1])

    families = [family_of(mse), family_of(sparse)]
    curvature = OutputCurvature(families, [2, CLASSES], both)
    _, gradients, factors = curvature([tf.constant(z), tf.constant(logits)])
    for i, (share, loss, target, output) in enumerate(
        [(0.3, mse, y, z), (2, sparse, labelled, logits)]
    ):
        size = output[0].size
        alone = OutputCurvature([families[i]], [size], lambda v, f=loss, t=target: f(t, v[0]))
        _, (gradient,), (factor,) = alone([tf.constant(output)])
        np.testing.assert_allclose(gradients[i], share * gradient, atol=1e-15)
        np.testing.assert_allclose(factors[i], np.sqrt(share) * factor, atol=1e-15)
    # Side by side, the rows of each output are zero in the other's columns.
    S_t = curvature.rows(factors).numpy()
    blocks = [f.cotangents(factor) for f, factor in zip(families, factors, strict=True)]
    assert S_t.shape == (BATCH, 2 + CLASSES, 2 + CLASSES)
    np.testing.assert_array_equal(S_t[:, :2, :2], blocks[0])
    np.testing.assert_array_equal(S_t[:, 2:, 2:], blocks[1])
    assert not S_t[:, :2, 2:].any()
    assert not S_t[:, 2:, :2].any()
    alpha = real(BATCH, 2 + CLASSES)
    S_alpha = np.einsum("nro,nr->no", S_t, alpha)
    combined = curvature.combined(factors, tf.constant(alpha))
    np.testing.assert_allclose(np.concatenate(combined, axis=1), S_alpha, atol=1e-14)


@pytest.mark.parametrize("loss", ["mae", "mape", "hinge", losses.CategoricalHinge()])
def test_losses_without_curvature_are_refused(loss):
    with pytest.raises(ValueError, match="`loss` must be smooth"):
        family_of(loss)


def test_a_subclass_is_not_taken_for_its_parent():
    own = type("Own", (losses.MeanSquaredError,), {})()
    assert isinstance(family_of(own), Dense)
