import backends
import checks
import keras
import numpy as np
import pytest

from kerazoo.losses import PackedTargetsLoss, SoftFBeta

RNG = np.random.default_rng(0)
# On torch many of Keras 3.15's operations on float64 give float32.
STEP = 1e-6
RTOL = 1e-9 if backends.BACKEND != "torch" else 1e-5
AVERAGES = ("binary", "macro", "micro", "weighted")


@pytest.fixture
def double():
    with backends.double_precision():
        yield


def sample(*shape):
    return RNG.integers(2, size=shape).astype("float32"), RNG.uniform(size=shape)


def numpy_soft_f_beta(y, p, average="binary", beta=1.0, smooth=1.0, weight=None):
    """By precision and recall, example by example, and the harmonic mean of the two."""
    y, p = (np.asarray(a, "float64").reshape(-1, np.shape(y)[-1]) for a in (y, p))
    weight = np.ones(len(y)) if weight is None else np.asarray(weight, "float64").ravel()

    def f_beta(columns):
        tp = fp = fn = 0.0
        for i in range(len(y)):
            for c in columns:
                tp += weight[i] * y[i, c] * p[i, c]
                fp += weight[i] * (1 - y[i, c]) * p[i, c]
                fn += weight[i] * y[i, c] * (1 - p[i, c])
        tp += smooth / (1 + beta**2)
        precision, recall = tp / (tp + fp), tp / (tp + fn)
        return (1 + beta**2) * precision * recall / (beta**2 * precision + recall)

    outputs = range(y.shape[1])
    if average in ("binary", "micro"):
        return 1 - f_beta(outputs)
    share = weight @ y if average == "weighted" and (weight @ y).any() else np.ones(len(outputs))
    return 1 - np.average([f_beta([c]) for c in outputs], weights=share)


@pytest.mark.parametrize("average", AVERAGES)
@pytest.mark.parametrize(("beta", "smooth"), [(1.0, 1.0), (2.0, 1e-6), (0.5, 0.3)])
def test_equals_numpy(average, beta, smooth, double):
    loss = SoftFBeta(beta, average, smooth=smooth, dtype="float64")
    for rows in ((7,), (1,), (3, 4)):
        y, p = sample(*rows, 1 if average == "binary" else 3)
        weight = RNG.uniform(size=rows)
        expected = numpy_soft_f_beta(y, p, average, beta, smooth)
        np.testing.assert_allclose(float(loss(y, p)), expected, rtol=RTOL)
        np.testing.assert_allclose(float(loss.call(y, p)), expected, rtol=RTOL)
        expected = numpy_soft_f_beta(y, p, average, beta, smooth, weight)
        np.testing.assert_allclose(float(loss(y, p, weight)), expected, rtol=RTOL)


def test_is_dice_where_dice_is_right():
    y, p = sample(20, 1)
    found = float(SoftFBeta(smooth=1e-7)(y, p))
    np.testing.assert_allclose(found, float(keras.losses.Dice()(y, p)), rtol=1e-5)


def test_hard_predictions_give_the_f1_score_of_keras():
    y, p = sample(200, 3)
    decided = (p > 0.5).astype("float32")
    for average in ("macro", "micro", "weighted"):
        metric = keras.metrics.F1Score(average=average, threshold=0.5)
        found = 1 - float(SoftFBeta(average=average, smooth=1e-6)(y, decided))
        np.testing.assert_allclose(found, float(metric(y, decided)), rtol=1e-5)


@pytest.mark.parametrize("average", AVERAGES)
@pytest.mark.parametrize("from_logits", [False, True])
@pytest.mark.parametrize("positives", [True, False])
def test_gradient_equals_finite_differences(average, from_logits, positives, double):
    y, p = sample(5, 1 if average == "binary" else 3)
    y = y * positives
    weight = RNG.uniform(0.5, 1, size=5)
    inputs = np.log(p / (1 - p)) if from_logits else p
    loss = SoftFBeta(2.0, average, from_logits, dtype="float64")
    value, (gradient,) = backends.value_and_gradients(lambda x: loss(y, x, weight), inputs)
    expected = numpy_soft_f_beta(y, p, average, 2.0, weight=weight)
    np.testing.assert_allclose(value, expected, rtol=RTOL)
    expected = np.zeros_like(inputs)
    for index in np.ndindex(inputs.shape):
        for step in (STEP, -STEP):
            moved = inputs.copy()
            moved[index] += step
            moved_p = 1 / (1 + np.exp(-moved)) if from_logits else moved
            difference = numpy_soft_f_beta(y, moved_p, average, 2.0, weight=weight)
            expected[index] += difference / (2 * step)
    np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-6 if RTOL > 1e-9 else 1e-9)
    if not positives:  # Keras's Dice has none here and learns nothing from such a batch.
        assert (gradient > 0).all()


def test_what_dice_gets_wrong():
    """The traps of Keras's own loss: these fail when it has caught up and ours can go."""
    y, p = sample(20, 1)
    threefold = np.full(20, 3.0)
    ours, dice = SoftFBeta(), keras.losses.Dice()
    np.testing.assert_allclose(float(dice(y, p, threefold)), 3 * float(dice(y, p)), rtol=1e-5)
    weighted, plain = (float(SoftFBeta(smooth=1e-7)(y, p, w)) for w in (threefold, None))
    np.testing.assert_allclose(weighted, plain, rtol=1e-5)
    for loss, learns in ((ours, True), (dice, False)):
        _, gradients = backends.value_and_gradients(
            lambda x, loss=loss: loss(np.zeros_like(y), x), p.astype("float32")
        )
        assert np.any(gradients[0] > 1e-6) == learns
    nothing = np.zeros_like(y)
    assert ours(nothing, nothing) == 0
    assert dice(nothing, nothing) == 1


def test_shapes_of_one_output():
    y, p = sample(6, 1)
    weight = RNG.uniform(size=6)
    for w in (None, weight, weight[:, None]):
        expected = numpy_soft_f_beta(y, p, weight=w)
        for true in (y, y[:, 0]):
            for pred in (p, p[:, 0]):
                found = float(SoftFBeta()(true, pred, w))
                np.testing.assert_allclose(found, expected, rtol=1e-5)
    y, p = sample(4, 4, 1)
    found = float(SoftFBeta()(y[..., 0], p))
    np.testing.assert_allclose(found, numpy_soft_f_beta(y, p), rtol=1e-5)
    assert SoftFBeta()(y, p, np.zeros(4)) == 0


def test_half_types_keep_count():
    y, p = np.ones((200_000, 1)), np.full((200_000, 1), 0.5)  # 1e5 is infinite in float16
    found = SoftFBeta(dtype="float16")(y, p)
    assert keras.backend.standardize_dtype(found.dtype) == "float16"
    np.testing.assert_allclose(float(found), 1 / 3, rtol=1e-3)


def test_a_probability_counts_as_the_nearer_of_0_and_1():
    y, p = np.float32([[0], [1], [1]]), np.float32([[-3], [7], [0.4]])
    for p_in_range in (np.clip(p, 0, 1), p):
        value, (gradient,) = backends.value_and_gradients(lambda x: SoftFBeta()(y, x), p_in_range)
        np.testing.assert_allclose(value, numpy_soft_f_beta(y, np.clip(p, 0, 1)), rtol=1e-5)
    assert (gradient[:2] == 0).all()
    assert gradient[2] < 0


@pytest.mark.slow
def test_trains_where_the_mask_says():
    x, y = RNG.normal(size=(8, 5, 2)).astype("float32"), RNG.integers(2, size=(8, 5, 1))
    x[::2, 3:] = 0
    real = (x != 0).any(-1)
    inputs = keras.Input((None, 2))
    hidden = keras.layers.LSTM(4, return_sequences=True)(keras.layers.Masking()(inputs))
    model = keras.Model(inputs, keras.layers.Dense(1, "sigmoid")(hidden))
    model.compile(keras.optimizers.Adam(0.05), SoftFBeta())
    expected = numpy_soft_f_beta(y[real], model.predict(x, verbose=0)[real])
    np.testing.assert_allclose(model.evaluate(x, y, verbose=0), expected, rtol=1e-5)
    weight = np.arange(8.0)
    expected = numpy_soft_f_beta(
        y, model.predict(x, verbose=0), weight=np.where(real, weight[:, None], 0)
    )
    found = model.evaluate(x, y, sample_weight=weight, verbose=0)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    before = model.evaluate(x, y, verbose=0)
    model.fit(np.tile(x, (30, 1, 1)), np.tile(y, (30, 1, 1)), batch_size=8, verbose=0)
    assert model.evaluate(x, y, verbose=0) < before - 0.05


@pytest.mark.slow
@backends.needs_tensorflow("replicas of tf.distribute")
def test_two_replicas():
    """Each counts for half, as in Keras's losses of one value a row: gradients are summed."""
    printed = checks.run_in_fresh_process(
        """
        import tensorflow as tf
        cpu = tf.config.list_physical_devices("CPU")[0]
        two = [tf.config.LogicalDeviceConfiguration()] * 2
        tf.config.set_logical_device_configuration(cpu, two)
        import kerazoo, numpy as np
        loss = kerazoo.losses.SoftFBeta()
        y, p = np.array([[0.0], [1.0]]), np.array([[0.3], [0.6]])
        strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
        values = strategy.run(lambda: loss(y, p))
        print(float(loss(y, p)), float(strategy.reduce("SUM", values, axis=None)))
        """
    )
    one, both = map(float, printed.split())
    np.testing.assert_allclose(both, one, rtol=1e-6)


@pytest.mark.parametrize(
    ("average", "true", "pred"),
    [
        ("macro", (4,), (4, 3)),
        ("macro", (4, 1), (4, 3)),
        ("binary", (4, 4), (4,)),
        ("binary", (3, 1), (4, 1)),
        ("micro", (4, 4), (4, 4, 3)),
    ],
)
def test_shapes_must_fit(average, true, pred):
    with pytest.raises(ValueError, match=r"must have the same shape.*Received"):
        SoftFBeta(average=average)(np.ones(true), np.ones(pred))


def test_errors():
    with pytest.raises(ValueError, match=r"`average='binary'` needs one output.*\(4, 3\)"):
        SoftFBeta()(np.ones((4, 3)), np.ones((4, 3)))
    for wrong in ("samples", None, ["macro"]):
        with pytest.raises(ValueError, match=r"`average` must be one of.*Received: average="):
            SoftFBeta(average=wrong)
    for wrong in (1, None, "yes"):
        with pytest.raises(ValueError, match=r"`from_logits` must be True or False.*Received"):
            SoftFBeta(from_logits=wrong)
    with pytest.raises(ValueError, match=r"`name` must be a string, or None.*name=3"):
        SoftFBeta(name=3)
    for wrong in ("average", 3, ["sum"]):
        with pytest.raises(ValueError, match=r"`reduction` must be one of 'sum_over.*, or None"):
            SoftFBeta(reduction=wrong)
    with pytest.raises(ValueError, match=r"`dtype` must be a floating-point dtype.*int32"):
        SoftFBeta(dtype="int32")
    for wrong in (0, -1, np.nan, np.inf, "1", None, True):
        with pytest.raises(ValueError, match="`beta` must be a finite number above 0"):
            SoftFBeta(beta=wrong)
        with pytest.raises(ValueError, match="`smooth` must be a finite number above 0"):
            SoftFBeta(smooth=wrong)
    packed = PackedTargetsLoss(SoftFBeta(reduction=None), {"label": 1}, target="label")
    with pytest.raises(ValueError, match="`loss` must return one value for each row"):
        packed(np.ones((4, 1)), np.ones((4, 1)))
