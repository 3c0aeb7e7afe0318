"""`fit_curve` against scipy's `curve_fit`, and what it refuses."""

import gc
import weakref

import keras
import numpy as np
import pytest
import scipy.stats
from keras import ops
from scipy.optimize import curve_fit

from kerazoo.models import fit_curve
from kerazoo.models.least_squares import _curve

X = np.linspace(0.2, 8, 40)


def logistic(xp, x, a, b, c, d):
    return a + (d - a) / (1 + (x / c) ** b)


def gauss(xp, x, height, center, width, base):
    return base + height * xp.exp(-(((x - center) / width) ** 2))


def decay(xp, x, height, rate):
    return height * xp.exp(-rate * x)


MODELS = {
    "dose response": (logistic, [1.0, 2.0, 3.0, 4.0], [0.5, 1.0, 2.0, 3.0]),
    "decay": (decay, [3.0, 0.7], [1.0, 1.0]),
    "decay with base": (
        lambda xp, x, a, b, c: a * xp.exp(-b * x) + c,
        [3.0, 0.7, 1.0],
        [1.0, 1.0, 0.5],
    ),
    "two decays": (
        lambda xp, x, a, b, c, d: a * xp.exp(-b * x) + c * xp.exp(-d * x),
        [3.0, 2.0, 2.0, 0.3],
        [2.0, 1.5, 1.0, 0.2],
    ),
    "peak": (gauss, [2.0, 4.0, 1.0, 0.5], [1.5, 3.5, 1.2, 0.0]),
    "step": (
        lambda xp, x, a, b, c: a / (1 + xp.exp(-b * (x - c))),
        [2.0, 2.0, 4.0],
        [1.0, 1.0, 3.0],
    ),
    "oscillation": (
        lambda xp, x, a, w, p: a * xp.sin(w * x + p),
        [1.5, 2.0, 0.3],
        [1.0, 1.95, 0.5],
    ),
    "saturation": (lambda xp, x, a, b: a * x / (b + x), [3.0, 2.0], [1.0, 1.0]),
    "power": (lambda xp, x, a, b: a * x**b, [1.2, 0.8], [1.0, 1.0]),
    "line": (lambda xp, x, a, b: a + b * x, [1.0, 2.0], [0.0, 0.0]),
}


def of_tensors(formula):
    """With the parameters of the formula by name."""
    names = formula.__code__.co_varnames[2 : formula.__code__.co_argcount]

    def f(x, **parameters):
        return formula(ops, x, *(parameters[name] for name in names))

    return f, names


def data_of(name, seed=0):
    formula, truth, start = MODELS[name]
    sigma = np.random.default_rng(7).uniform(0.02, 0.1, len(X))
    noise = np.random.default_rng(seed).normal(size=len(X))
    return formula, truth, start, formula(np, X, *truth) + sigma * noise, sigma


@pytest.mark.parametrize(
    "name",
    [name if name == "decay" else pytest.param(name, marks=pytest.mark.slow) for name in MODELS],
)
def test_values_and_errors_are_scipys(name):
    """In a float32 process."""
    formula, _, start, y, sigma = data_of(name)
    f, names = of_tensors(formula)
    p0 = dict(zip(names, start, strict=True))
    for s, absolute in ((None, False), (0.05, True), (sigma, False), (sigma, True)):
        found = fit_curve(f, X, y, p0, sigma=s, absolute_sigma=absolute)
        expected, covariance = curve_fit(
            lambda x, *p: formula(np, x, *p),
            X,
            y,
            start,
            sigma=None if s is None else np.broadcast_to(s, X.shape),
            absolute_sigma=absolute,
            ftol=1e-14,
            xtol=1e-14,
            gtol=1e-14,
        )
        np.testing.assert_allclose(list(found.values.values()), expected, rtol=1e-6)
        # scipy's derivatives are differences: it has about 5 digits of the errors.
        errors = np.sqrt(np.diag(covariance))
        np.testing.assert_allclose(list(found.standard_errors.values()), errors, rtol=1e-4)
        np.testing.assert_allclose(
            found.correlations, covariance / np.outer(errors, errors), atol=1e-4
        )
        assert found.converged
        assert found.stop_reason.startswith("Converged")
        assert list(found.values) == list(names)
    assert keras.config.floatx() == "float32"


COVERED = ("dose response", "decay with base", "peak", "step", "saturation")


@pytest.mark.slow
@pytest.mark.parametrize("name", COVERED)
def test_intervals_cover_95_percent(name):
    """Of the parameters, of the curve, and of new observations, where sigma is estimated."""
    formula, truth, _start, *_ = data_of(name)
    f, names = of_tensors(formula)
    p0 = dict(zip(names, truth, strict=True))
    curve = formula(np, X, *truth)
    rng = np.random.default_rng(0)
    inside = {"parameters": [], "curve": [], "observations": []}
    t = scipy.stats.t.ppf(0.975, len(X) - len(truth))
    for _ in range(300):
        found = fit_curve(f, X, curve + 0.05 * rng.normal(size=X.shape), p0)
        error = np.array(list(found.standard_errors.values()))
        inside["parameters"].append(
            np.abs(list(found.values.values()) - np.array(truth)) < t * error
        )
        bands = found.bands(X)
        inside["curve"].append((bands.mean_lower < curve) & (curve < bands.mean_upper))
        new = curve + 0.05 * rng.normal(size=X.shape)
        inside["observations"].append(
            (bands.observation_lower < new) & (new < bands.observation_upper)
        )
    covered = {kind: np.mean(values) for kind, values in inside.items()}
    assert all(0.93 <= value <= 0.97 for value in covered.values()), covered


def straight(x, a, b):
    return a + b * x


@pytest.fixture(scope="module")
def line():
    y = 1 + 2 * X + 0.1 * np.random.default_rng(0).normal(size=X.shape)
    return fit_curve(straight, X, y, [0.0, 0.0]), y


def test_line_against_its_formula(line):
    fitted, y = line
    A = np.column_stack([np.ones_like(X), X])
    b, squares = np.linalg.lstsq(A, y, rcond=None)[:2]
    covariance = squares[0] / 38 * np.linalg.inv(A.T @ A)
    np.testing.assert_allclose(list(fitted.values.values()), b, rtol=1e-12)
    np.testing.assert_allclose(fitted.covariance.matrix, covariance, rtol=1e-11)
    np.testing.assert_allclose(fitted.residuals, y - A @ b, atol=1e-13)
    np.testing.assert_allclose(fitted.predict([3.0]), b[0] + 3 * b[1])
    bands = fitted.bands([3.0], level=0.8)
    reach = scipy.stats.t.ppf(0.9, 38) * np.sqrt(np.array([1, 3]) @ covariance @ [1, 3])
    np.testing.assert_allclose(bands.mean_upper, b[0] + 3 * b[1] + reach)
    of_one = fitted.bands([3.0], 0.8, sigma=2.0).observation_upper - bands.prediction
    expected = np.hypot(reach, scipy.stats.t.ppf(0.9, 38) * 2 * fitted.covariance.sigma)
    np.testing.assert_allclose(of_one, expected)


def test_summary(line):
    fitted, _ = line
    lines = fitted.summary().splitlines()
    assert lines[0].split()[:2] == ["parameter", "value"]
    assert lines[1].split()[0] == "a"
    assert lines[1].split()[1] == f"{fitted.values['a']:.6g}"
    assert lines[3].startswith("40 points, 38 degrees of freedom, sigma 0.")
    assert lines[4].startswith("Correlations: a and b -0.8")


def test_picture(line, tmp_path):
    fitted, _ = line
    fitted.plot(tmp_path / "line.png")
    assert (tmp_path / "line.png").stat().st_size > 5000


def test_bounds_against_scipy():
    formula, _, start, y, _ = data_of("decay")
    bounds = [0.0, 0.0], [2.5, np.inf]
    found = fit_curve(lambda x, a, b: formula(ops, x, a, b), X, y, start, bounds=bounds)
    expected, _ = curve_fit(lambda x, a, b: formula(np, x, a, b), X, y, start, bounds=bounds)
    np.testing.assert_allclose(list(found.values.values()), expected, rtol=1e-5)
    assert np.isnan(found.standard_errors["a"])
    assert "held at a bound" in found.summary()
    # The other error is that of a fit with `a` fixed.
    _, alone = curve_fit(lambda x, b: formula(np, x, 2.5, b), X, y, [expected[1]])
    np.testing.assert_allclose(found.standard_errors["b"] ** 2, alone[0, 0], rtol=1e-3)


def test_what_is_not_determined_is_infinite():
    y = 1 + 2 * X + 0.1 * np.sin(99 * X)
    found = fit_curve(lambda x, a, b, c: a + c + b * x, X, y, [0.0, 0.0, 0.0])
    assert found.standard_errors["a"] == found.standard_errors["c"] == np.inf
    assert 0 < found.standard_errors["b"] < 0.1
    assert "not determined by the data" in found.summary()
    assert np.isfinite(found.bands(X).mean_upper).all()


def with_default(x, a, b, c=3.0):
    return a + b * x + c * x**2


def by_keyword(x, a, *, b):
    return a + b * x


def starred(x, *p):
    return p[0] + p[1] * x


def any_name(x, a, **others):
    return a + others["slope"] * x


@pytest.mark.parametrize(
    ("f", "p0", "values", "at_two"),
    [
        (with_default, {"b": 1.0, "a": 5}, {"a": 5.0, "b": 1.0}, 19.0),
        (with_default, [5, 1], {"a": 5.0, "b": 1.0}, 19.0),
        (with_default, {"a": 5, "c": 1, "b": 0}, {"a": 5.0, "b": 0.0, "c": 1.0}, 9.0),
        (by_keyword, (5, 1), {"a": 5.0, "b": 1.0}, 7.0),
        (starred, np.array([5.0, 1.0]), {"p1": 5.0, "p2": 1.0}, 7.0),
        (any_name, {"slope": 1, "a": 5}, {"a": 5.0, "slope": 1.0}, 7.0),
    ],
)
def test_parameters_by_name_order_and_default(f, p0, values, at_two):
    """A parameter with a default that has no start value keeps it."""
    curve, start = _curve.curve_of(f, p0)
    assert dict(zip(curve.names, start, strict=True)) == values
    assert list(curve.names) == list(values)
    np.testing.assert_array_equal(curve.predict(np.array([2.0]), start), [at_two])


def test_two_predictors():
    x = np.random.default_rng(0).normal(size=(30, 2))
    y = 1 + 2 * x[:, 0] - x[:, 1] + 0.01 * np.cos(9 * x[:, 0])

    def plane(x, a, b, c):
        return a + b * x[:, 0] + c * x[:, 1]

    found = fit_curve(plane, x, y, [0.0, 0.0, 0.0])
    A = np.column_stack([np.ones(30), x])
    b = np.linalg.lstsq(A, y, rcond=None)[0]
    np.testing.assert_allclose(list(found.values.values()), b, rtol=1e-10)
    np.testing.assert_allclose(found.predict(x[:3]), A[:3] @ b, rtol=1e-10)
    with pytest.raises(ValueError, match="one predictor"):
        found.plot("plane.png")
    with pytest.raises(ValueError, match=r"give `x.T`"):
        fit_curve(plane, x.T, y, [0.0, 0.0, 0.0])


def test_program_is_kept_and_let_go(line):
    _, y = line
    before = _curve._kept_model.cache_info().hits
    again = fit_curve(straight, X, y, [5.0, 5.0])
    assert _curve._kept_model.cache_info().hits == before + 1
    np.testing.assert_allclose(list(again.values.values()), list(line[0].values.values()))
    assert _curve._kept_model.cache_info().maxsize == 8
    model = weakref.ref(_curve.model_of(_curve.Curve(straight, ("a", "b"), True), None))
    _curve.forget_models()
    gc.collect()
    assert model() is None


@pytest.mark.slow
def test_function_whose_surroundings_change():
    """A graph keeps what the function read when it was made."""
    scale = 1.0
    y = 2 * X + 0.1 * np.sin(9 * X)

    def f(x, a):
        return scale * a * x

    first = fit_curve(f, X, y, [1.0])
    scale = 4.0
    second = fit_curve(f, X, y, [1.0])
    np.testing.assert_allclose(second.values["a"], first.values["a"] / 4, rtol=1e-10)


GOOD = {"f": straight, "x": X, "y": 1 + 2 * X, "p0": [1.0, 1.0]}
BAD = [
    ({"x": np.where(X > 7, np.nan, X)}, "`x` must be finite"),
    ({"y": np.where(X > 7, np.inf, X)}, "`y` must be finite"),
    ({"x": X[:1], "y": X[:1]}, "at least as many points"),
    ({"y": X[:9]}, "`x` must have the points of `y`"),
    ({"y": X[:, None]}, "`y` must be one number for each point"),
    ({"p0": {"a": 1.0, "slope": 2.0}}, r"unknown=\['slope'\], missing=\['b'\]"),
    ({"p0": {"a": 1.0}}, r"missing=\['b'\]"),
    ({"p0": [1.0]}, r"missing=\['b'\]"),
    ({"p0": [1.0, 2.0, 3.0]}, "3 values"),
    ({"p0": [1.0, np.nan]}, "`p0` must be a finite number"),
    ({"p0": None}, "`p0` must be a dictionary"),
    ({"bounds": ([2.0, 0.0], [3.0, 9.0])}, "`p0` must lie within `bounds`"),
    ({"bounds": (1.0, 1.0)}, "`bounds` must be a pair"),
    ({"bounds": ([0.0], [1.0, 2.0, 3.0])}, "`bounds` must be a pair"),
    ({"sigma": -np.ones(40)}, "`sigma` must be positive"),
    ({"sigma": np.eye(40)}, "`sigma` must be positive"),
    ({"f": "decay"}, "`f` must be a function"),
    ({"f": lambda a=1: a}, "parameter of `f`"),
    ({"f": lambda x, a, b: a + b * x[:5]}, "`f` must return one floating number"),
    ({"f": lambda x, a, b: a + b}, r"add `0 \* x` to a constant"),
    ({"f": lambda x, a, b: (a + b * x)[:, None]}, "`f` must return one floating number"),
    ({"f": lambda x, a, b: 3.0}, "`f` must return one floating number"),
    ({"f": lambda x, a, b: a * np.exp(-b * x)}, "`ops.exp` in place of `np.exp`"),
    ({"f": lambda x, a, b: a + b * x - b * ops.mean(x)}, "from its own x"),
    ({"f": lambda x, a, b: a + b * ops.cumsum(x)}, "from its own x"),
    ({"f": lambda x, a, b: ops.log(a - 2) + b * x}, "finite at `p0`"),
    ({"absolute_sigma": 1}, "`absolute_sigma` must be True or False"),
]


@pytest.mark.parametrize(("changed", "message"), BAD)
def test_errors(changed, message):
    with pytest.raises(ValueError, match=message):
        fit_curve(**{**GOOD, **changed})


def test_values_that_are_no_longer_tensors():
    """`math.exp` and `float` fail in a graph too."""
    import math

    with pytest.raises(ValueError, match="`f` must run on tensors"):
        fit_curve(lambda x, a, b: a * x * math.exp(b), X, X, [1.0, 1.0])
