import keras
import numpy as np
import pytest
from scipy import stats

from kerazoo.models import SeedReport, seed_report

SCORES = {"a": [0.90, 0.93, 0.91, 0.95], "b": [0.92, 0.96, 0.92, 0.96]}


@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.999])
@pytest.mark.parametrize("n", [2, 3, 5, 40])
def test_interval_is_that_of_scipys_paired_test(n, confidence):
    a, b = np.random.default_rng(n).normal(size=(2, n))
    report = SeedReport(range(n), {"a": a, "b": b})
    mean, low, high = report.difference("a", "b", confidence)
    expected = stats.ttest_rel(b, a).confidence_interval(confidence)
    np.testing.assert_allclose((low, high), expected, rtol=1e-7)
    assert mean == pytest.approx(np.mean(b - a))


def test_numbers_and_table():
    report = SeedReport(range(4), SCORES)
    assert report.mean("a") == pytest.approx(np.mean(SCORES["a"]))
    assert report.std("a") == pytest.approx(np.std(SCORES["a"], ddof=1))
    lines = report.table().splitlines()
    assert len(lines) == 4
    assert lines[-1].startswith("b - a: +0.0175, 95 % interval [")


def test_one_seed_tells_nothing():
    report = SeedReport([0], {"a": [1.0], "b": [2.0]})
    assert np.isnan(report.std("a"))
    assert report.difference("a", "b") == (1.0, -np.inf, np.inf)
    report.table()


def test_every_recipe_gets_every_seed_and_the_same_luck():
    seen = []

    def draw(seed):
        seen.append(seed)
        return np.random.normal() + float(keras.random.normal(()))

    report = seed_report({"a": draw, "b": draw}, seeds=[3, 7], verbose=0)
    assert seen == [3, 3, 7, 7]
    np.testing.assert_array_equal(report.scores["a"], report.scores["b"])
    assert report.scores["a"][0] != report.scores["a"][1]
    assert seed_report(draw, seeds=2, verbose=0).seeds == [0, 1]


def test_of_a_network():
    def build_and_train(seed):
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        model.compile("sgd", "mse")
        x = np.random.default_rng(0).normal(size=(32, 3))
        return model.fit(x, x[:, :1], verbose=0).history["loss"][-1]

    first, second = (seed_report(build_and_train, 2, verbose=0).scores["score"] for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert first[0] != first[1]


@pytest.mark.parametrize(
    ("train", "seeds", "message"),
    [
        (lambda seed: 1.0, 0, "`seeds` must be"),
        (lambda seed: 1.0, [], "`seeds` must be"),
        (lambda seed: 1.0, [0.5], "`seeds` must be"),
        (lambda seed: np.nan, 1, "one finite number"),
        (lambda seed: [1.0, 2.0], 1, "one finite number"),
        ({}, 1, "`build_and_train` must be a function"),
        (lambda seed: 1.0, [-1], "`seeds` must be"),
        (lambda seed: {"accuracy": 0.9}, 1, "one finite number"),
        (lambda seed: "good", 1, "one finite number"),
        ({"a": 1}, 1, "`build_and_train` must be a function"),
    ],
)
def test_arguments_are_checked(train, seeds, message):
    with pytest.raises(ValueError, match=message):
        seed_report(train, seeds, verbose=0)


def test_a_seed_twice_is_no_second_run():
    with pytest.raises(ValueError, match="`seeds` must be different integers"):
        seed_report(lambda seed: 1.0, seeds=[1, 1, 2], verbose=0)
