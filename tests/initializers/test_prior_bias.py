import keras
import numpy as np
import pytest
from backends import ON_TENSORFLOW, to_numpy
from scipy import optimize

from kerazoo.initializers import PriorBias

RNG = np.random.default_rng(0)
LABELS = RNG.choice(3, size=200, p=[0.7, 0.25, 0.05])
BINARY = (RNG.uniform(size=(200, 2)) < [0.03, 0.4]).astype("float32")
POSITIVE = RNG.gamma(2.0, 3.0, size=(200, 2))
WEIGHTS = RNG.uniform(0.1, 3.0, size=200)

# How the output is made of the bias, and the loss, by Keras.
CASES = {
    "binary_crossentropy": (BINARY, keras.ops.sigmoid, 2),
    "categorical_crossentropy": (np.eye(3)[LABELS], keras.ops.softmax, 3),
    "sparse_categorical_crossentropy": (LABELS, keras.ops.softmax, 3),
    "mse": (POSITIVE, lambda b: b, 2),
    "poisson": (POSITIVE, keras.ops.exp, 2),
}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("loss", CASES)
def test_no_other_bias_has_a_lower_loss(loss, weighted, float64):
    """Minimise the Keras loss itself over constant predictions."""
    y, link, units = CASES[loss]
    weights = WEIGHTS if weighted else np.ones(200)
    function = keras.losses.get(loss)
    y_true = keras.ops.convert_to_tensor(y, "int32" if y.dtype.kind == "i" else "float64")

    def total(bias):
        outputs = link(keras.ops.convert_to_tensor(np.tile(bias, (200, 1)), "float64"))
        values = to_numpy(function(y_true, outputs))
        return float(weights @ np.reshape(values, (200,)))

    bias = PriorBias.from_targets(y, loss, smoothing=0, sample_weight=weights)((units,))
    # Needs no derivatives: on JAX and PyTorch Keras averages float64 in float32.
    options = {"xatol": 1e-5, "fatol": 1e-8, "maxiter": 2000}
    found = optimize.minimize(total, np.zeros(units), method="Nelder-Mead", options=options)
    tolerance = 1e-9 if ON_TENSORFLOW else 1e-6
    assert total(to_numpy(bias)) <= found.fun + tolerance * abs(found.fun)
    assert total(to_numpy(bias)) == pytest.approx(found.fun, rel=1e-6)


def test_median():
    """Weights are repetitions; between two medians the midpoint is taken, as NumPy does."""
    counts = RNG.integers(1, 4, size=200)
    expected = np.median(np.repeat(POSITIVE, counts, axis=0), axis=0)
    found = PriorBias.from_targets(POSITIVE, "mae", sample_weight=counts).values
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert PriorBias.from_targets([1.0, 2.0, 4.0, 9.0], "mae").values == [3.0]


def test_smoothing_is_that_many_more_of_each_class():
    more = np.concatenate([LABELS, [0, 0, 1, 1, 2, 2]])
    for loss, y, y_more in (
        ("sparse_categorical_crossentropy", LABELS, more),
        ("categorical_crossentropy", np.eye(3)[LABELS], np.eye(3)[more]),
    ):
        smoothed = PriorBias.from_targets(y, loss, smoothing=2).values
        np.testing.assert_allclose(
            smoothed, PriorBias.from_targets(y_more, loss, smoothing=0).values, rtol=1e-12
        )
    y = BINARY[:, 0]
    exact = PriorBias.from_targets(np.concatenate([y, [1, 1, 0, 0]]), smoothing=0).values
    np.testing.assert_allclose(PriorBias.from_targets(y, smoothing=2).values, exact, rtol=1e-12)


def test_a_scale_of_the_weights_changes_nothing():
    values = [PriorBias.from_targets(BINARY, sample_weight=s * WEIGHTS).values for s in (1, 1000)]
    np.testing.assert_allclose(*values, rtol=1e-12)


def test_class_weight_is_that_of_fit():
    """Labels 0 and 1 of one unit, and the largest of several."""
    weights = {0: 1.0, 1: 5.0, 2: 20.0}
    by_row = np.array([weights[label] for label in LABELS])
    for loss, y in (
        ("sparse_categorical_crossentropy", LABELS),
        ("sparse_categorical_crossentropy", LABELS[:, None]),
        ("categorical_crossentropy", np.eye(3)[LABELS]),
    ):
        found = PriorBias.from_targets(y, loss, class_weight=weights).values
        expected = PriorBias.from_targets(y, loss, sample_weight=by_row).values
        np.testing.assert_allclose(found, expected, rtol=1e-12)
    y = BINARY[:, :1]
    found = PriorBias.from_targets(y, class_weight={0: 1.0, 1: 50.0}, smoothing=0).values
    rate = 50 * y.sum() / (50 * y.sum() + (1 - y).sum())
    np.testing.assert_allclose(found, [np.log(rate / (1 - rate))], rtol=1e-6)


def test_sequences_are_averaged_over_time():
    y = BINARY.reshape(20, 10, 2)
    assert PriorBias.from_targets(y).values == PriorBias.from_targets(BINARY).values
    labels = LABELS.reshape(20, 10)
    kind = "sparse_categorical_crossentropy"
    assert (
        PriorBias.from_targets(labels, kind).values == PriorBias.from_targets(LABELS, kind).values
    )
    weights = np.repeat(WEIGHTS[:20], 10)
    found = PriorBias.from_targets(labels, kind, sample_weight=WEIGHTS[:20]).values
    assert found == PriorBias.from_targets(LABELS, kind, sample_weight=weights).values


def test_absent_classes():
    kind = "sparse_categorical_crossentropy"
    assert len(PriorBias.from_targets([0, 1, 1], kind, num_classes=4).values) == 4
    with pytest.raises(ValueError, match="`smoothing` must be above 0"):
        PriorBias.from_targets([0, 1, 1], kind, smoothing=0, num_classes=4)
    with pytest.raises(ValueError, match="`smoothing` must be above 0"):
        PriorBias.from_targets([0, 0, 0], smoothing=0)
    with pytest.raises(ValueError, match="mean above 0"):
        PriorBias.from_targets([0, 0, 0], "poisson")


@pytest.mark.parametrize(
    ("y", "arguments", "message"),
    [
        ([0, 1], {"loss": "hinge"}, "`loss` must be one"),
        ([0, np.nan], {}, "`y` must be finite"),
        ([], {}, "`y` must be numbers"),
        (["a"], {}, "`y` must be numbers"),
        ([0, 2], {}, r"`y` must lie in \[0, 1\]"),
        ([0.5, 1], {"loss": "sparse_categorical_crossentropy"}, "must be class labels"),
        ([0, 3], {"loss": "sparse_categorical_crossentropy", "num_classes": 3}, "class labels"),
        ([0, 1], {"smoothing": -1}, "`smoothing` must be"),
        ([0, 1], {"smoothing": True}, "`smoothing` must be"),
        ([0, 1], {"num_classes": 0}, "`num_classes` must be"),
        ([0, 1, 1], {"sample_weight": [1, 2]}, "one value for each example"),
        ([0, 1], {"sample_weight": [0, 0]}, "not all 0"),
        ([0, 1], {"sample_weight": [1, np.inf]}, "must be finite"),
        ([0, 1], {"class_weight": {0: -1.0}}, "of at least 0"),
    ],
)
def test_targets_are_checked(y, arguments, message):
    with pytest.raises(ValueError, match=message):
        PriorBias.from_targets(y, **arguments)


def test_one_value_for_all_units_or_one_each():
    np.testing.assert_array_equal(PriorBias(2)((3,)), [2, 2, 2])
    np.testing.assert_array_equal(PriorBias([1, 2])((2,), dtype="float16"), [1, 2])
    with pytest.raises(ValueError, match="one for each unit"):
        PriorBias([1, 2])((3,))
    for values in ([], [[1]], np.inf, "a", True, None):
        with pytest.raises(ValueError, match="`values` must be"):
            PriorBias(values)
