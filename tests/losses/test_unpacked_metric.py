import backends
import keras
import numpy as np
import pytest

from kerazoo.losses import PackedTargetsLoss, UnpackedMetric

SIZES = {"weight": 1, "price": 1, "kind": 3}
RNG = np.random.default_rng(0)


def packed(n=8):
    parts = {
        "price": RNG.normal(size=(n, 1)),
        "kind": np.eye(3)[RNG.integers(3, size=n)],
        "weight": 50 * RNG.uniform(size=(n, 1)),
    }
    return parts, np.concatenate([parts[name] for name in SIZES], axis=-1).astype("float32")


def squares(y_true, y_pred):
    return (y_true - y_pred) ** 2


@pytest.mark.parametrize("metric", ["mse", keras.metrics.MeanSquaredError(), squares])
def test_sees_its_part_alone(metric):
    parts, y = packed()
    y_pred = RNG.normal(size=(8, 1)).astype("float32")
    ours = UnpackedMetric(metric, SIZES, target="price")
    whole = keras.metrics.MeanSquaredError()
    for rows in (slice(0, 3), slice(3, 8)):
        ours.update_state(y[rows], y_pred[rows])
        whole.update_state(y[rows], y_pred[rows])
    expected = np.mean((parts["price"] - y_pred) ** 2)
    np.testing.assert_allclose(backends.to_numpy(ours.result()), expected, rtol=1e-5)
    assert float(whole.result()) > 10 * expected  # what the packed row gives, without an error
    ours.reset_state()
    ours.update_state(y[:2], y_pred[:2])
    expected = np.mean((parts["price"] - y_pred)[:2] ** 2)
    np.testing.assert_allclose(backends.to_numpy(ours.result()), expected, rtol=1e-5)


def test_in_a_compiled_model():
    """Weighted and plain, over several batches, reset between epochs and under its own name."""
    parts, y = packed()
    x, sample_weight = RNG.normal(size=(8, 2)), RNG.uniform(size=8)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])

    def price_alone(y_pred, weight, price, kind):
        return keras.losses.mean_squared_error(price, y_pred)

    model.compile(
        keras.optimizers.SGD(0.0),
        PackedTargetsLoss(price_alone, SIZES),
        metrics=[UnpackedMetric("mae", SIZES, "price", name="off")],
        weighted_metrics=[UnpackedMetric("mae", SIZES, "price")],
    )
    history = model.fit(x, y, 3, epochs=2, sample_weight=sample_weight, verbose=0).history
    error = abs(parts["price"] - model.predict(x, verbose=0))[:, 0]
    np.testing.assert_allclose(history["off"], [error.mean()] * 2, rtol=1e-5)
    expected = (error * sample_weight).sum() / sample_weight.sum()
    np.testing.assert_allclose(history["mae"], [expected] * 2, rtol=1e-5)


def squaredError(y_true, y_pred):  # noqa: N802
    return (y_true - y_pred) ** 2


class HalfError:
    def __call__(self, y_true, y_pred):
        return abs(y_true - y_pred) / 2


@pytest.mark.slow
def test_named_in_the_logs_as_keras_names_it():
    """With several outputs, in `metrics` and `weighted_metrics`, so that callbacks find them."""

    def of_every_kind():
        return [
            *("mae", "MSE", "mean_squared_error", "MeanAbsoluteError", "AUC", "cosine_similarity"),
            keras.metrics.MeanSquaredError(),
            keras.metrics.RootMeanSquaredError(name="typical_error"),
            keras.metrics.MeanAbsolutePercentageError,
            *(keras.losses.mean_absolute_error, squaredError, HalfError()),
            keras.losses.Huber(reduction=None),
        ]

    def logged(wrap):
        inputs = keras.Input((2,))
        outputs = {name: keras.layers.Dense(1, "sigmoid", name=name)(inputs) for name in "ab"}
        model = keras.Model(inputs, outputs)
        model.compile(
            loss={"a": "mse", "b": "mse"},
            metrics={"a": [wrap(metric) for metric in of_every_kind()], "b": wrap("mae")},
            weighted_metrics={"b": [wrap("mae"), wrap("mape")]},
        )
        y = {"a": np.float32([[0], [1]]), "b": np.ones((2, 1), "float32")}
        return model.evaluate(np.ones((2, 2)), y, return_dict=True, verbose=0)

    ours, theirs = logged(lambda metric: UnpackedMetric(metric, {"y": 1}, "y")), logged(lambda m: m)
    assert {name for name in theirs if "mae" in name} == {"a_mae", "b_mae", "b_weighted_mae"}
    assert list(ours) == list(theirs)


def test_metric_with_state_of_its_own_kind():
    parts, y = packed(64)
    y_pred = RNG.dirichlet(np.ones(3), size=64)
    ours, theirs = UnpackedMetric("AUC", SIZES, "kind"), keras.metrics.AUC()
    ours.update_state(y, y_pred)
    theirs.update_state(parts["kind"], y_pred)
    found, expected = backends.to_numpy(ours.result()), backends.to_numpy(theirs.result())
    np.testing.assert_allclose(found, expected)
    assert len(ours.variables) == len(theirs.variables)


def test_config_keeps_metric_and_order_of_parts():
    given = keras.metrics.MeanSquaredError(dtype="bfloat16")
    metric = UnpackedMetric(given, SIZES, "price")
    again = UnpackedMetric.from_config(metric.get_config())
    assert list(again.sizes.items()) == list(SIZES.items())
    assert isinstance(again.metric, keras.metrics.MeanSquaredError)
    assert again.dtype == again.metric.dtype == "bfloat16"
    assert UnpackedMetric(squares, SIZES, "price", dtype="bfloat16").metric.dtype == "bfloat16"
    for named in ("mae", "AUC"):
        metric = UnpackedMetric(named, SIZES, "price", dtype="bfloat16")
        again = UnpackedMetric.from_config(metric.get_config())
        assert again.dtype == again.metric.dtype == "bfloat16"
        assert again.name == metric.name


def test_errors():
    for guess in ("accuracy", "acc", "Accuracy", "ce"):
        with pytest.raises(ValueError, match=r"which accuracy or crossentropy.*Received"):
            UnpackedMetric(guess, SIZES, "kind")
    for wrong in (None, 3, "mea"):
        with pytest.raises(ValueError, match=r"`metric` must be a Keras metric.*metric="):
            UnpackedMetric(wrong, SIZES, "kind")
    for wrong in (None, "colour", ["kind"]):
        with pytest.raises(ValueError, match=r"`target` must be one of 'weight'.*target="):
            UnpackedMetric("mse", SIZES, wrong)
    with pytest.raises(ValueError, match=r"`name` must be a string, or None.*name=3"):
        UnpackedMetric("mse", SIZES, "price", name=3)
    with pytest.raises(ValueError, match=r"`dtype` has no effect on a metric object.*float64"):
        UnpackedMetric(keras.metrics.MeanSquaredError(), SIZES, "price", dtype="float64")
    with pytest.raises(ValueError, match=r"shape \(batch, ..., 5\)"):
        UnpackedMetric("mse", SIZES, "price").update_state(np.ones((2, 4)), np.ones((2, 1)))


def own_measure(y_true, y_pred):
    return keras.ops.mean(keras.ops.abs(y_true - y_pred), axis=-1)


def test_a_function_that_load_model_is_told_of(tmp_path):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    metric = UnpackedMetric(own_measure, {"a": 1, "b": 1}, "a")
    model.compile("sgd", "mse", metrics=[metric])
    x, y = np.ones((2, 2)), np.zeros((2, 2))
    expected = model.evaluate(x, y, verbose=0, return_dict=True)
    model.save(tmp_path / "model.keras")
    known = {"own_measure": own_measure}
    loaded = keras.saving.load_model(tmp_path / "model.keras", custom_objects=known)
    assert loaded.evaluate(x, y, verbose=0, return_dict=True) == expected
    assert "own_measure" in expected
