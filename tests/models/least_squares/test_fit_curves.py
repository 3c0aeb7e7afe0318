"""`fit_curves` against a loop of `fit_curve`, scipy's `curve_fit` and NIST's certified values."""

import pathlib
import runpy

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops
from scipy.optimize import curve_fit

import kerazoo
from kerazoo.models import fit_curve, fit_curves

POINTS = 30
X = np.linspace(0, 5, POINTS)
START = {"height": 1.0, "rate": 1.0, "floor": 0.0}
traces = []


def decay(x, height, rate, floor):
    if not tf.executing_eagerly():
        traces.append(x.shape)
    return height * ops.exp(-rate * x) + floor


def with_numpy(x, height, rate, floor):
    return height * np.exp(-rate * x) + floor


def make_data(count, seed=0):
    rng = np.random.default_rng(seed)
    truth = rng.uniform([2, 0.5, -1], [4, 2, 1], (count, 3))
    y = with_numpy(X, *truth.T[:, :, None]) + 0.05 * rng.normal(size=(count, POINTS))
    return y, rng.uniform(0.02, 0.1, (count, POINTS))


def array(dictionary):
    return np.stack(list(dictionary.values()), axis=-1)


def test_the_same_as_a_loop_of_fit_curve():
    """In a float32 process, with one sigma for all and with one for each point."""
    y, sigma = make_data(2)
    for s, absolute in ((None, False), (sigma, False), (sigma, True)):
        fits = fit_curves(decay, X, y, START, sigma=s, absolute_sigma=absolute)
        for i in range(len(y)):
            one_sigma = s[i] if np.ndim(s) else s
            one = fit_curve(decay, X, y[i], START, sigma=one_sigma, absolute_sigma=absolute)
            np.testing.assert_allclose(array(fits.values)[i], array(one.values), rtol=1e-9)
            errors = array(fits.standard_errors)[i], array(one.standard_errors)
            np.testing.assert_allclose(*errors, rtol=1e-7)
            relative = one.residuals / (1.0 if s is None else one_sigma)
            np.testing.assert_allclose(fits.losses[i], np.sum(relative**2), rtol=1e-9)
            assert fits.degrees_of_freedom[i] == POINTS - 3
    assert fits.converged.all()
    assert all(fits.stop_reason(i).startswith("Converged") for i in range(len(fits)))
    assert keras.config.floatx() == "float32"


@pytest.mark.slow
def test_points_left_out_and_lists_of_unequal_lengths():
    """Against scipy on what is left; what is left out may be NaN."""
    y, sigma = make_data(3)
    lengths = [POINTS, 20, 12]
    out = np.arange(POINTS) >= np.array(lengths)[:, None]
    left = fit_curves(decay, X, np.where(out, np.nan, y), START, sigma=np.where(out, np.inf, sigma))
    listed = fit_curves(
        decay,
        [X[:n] for n in lengths],
        [one[:n] for one, n in zip(y, lengths, strict=True)],
        START,
        sigma=[one[:n] for one, n in zip(sigma, lengths, strict=True)],
    )
    for i, n in enumerate(lengths):
        expected, covariance = curve_fit(
            with_numpy, X[:n], y[i, :n], [1, 1, 0], sigma[i, :n], ftol=1e-14, xtol=1e-14
        )
        for fits in (left, listed):
            np.testing.assert_allclose(array(fits.values)[i], expected, rtol=1e-6)
            errors = np.sqrt(np.diag(covariance))
            np.testing.assert_allclose(array(fits.standard_errors)[i], errors, rtol=1e-4)
            assert fits.degrees_of_freedom[i] == n - 3
    np.testing.assert_allclose(array(left.values), array(listed.values), rtol=1e-9)
    assert [len(z) for z in listed.predict([X[:n] for n in lengths])] == lengths


def test_what_is_not_finite_spoils_its_own_fit_alone():
    y, _ = make_data(4)
    alone = fit_curves(decay, X, y, START)
    bad = y.copy()
    bad[2, 5] = np.nan
    rates = np.array([1.0, -1e4, 1.0, 1.0])  # where exp overflows
    with pytest.warns(UserWarning, match=r"2 of 4 fits have not converged.* 1, 2\."):
        fits = fit_curves(decay, X, bad, {**START, "rate": rates})
    assert fits.converged.tolist() == [True, False, False, True]
    assert np.isnan(fits.losses).tolist() == [False, True, True, False]
    assert "at the start" in fits.stop_reason(1)
    assert "in this data set" in fits.stop_reason(2)
    assert np.isnan(array(fits.standard_errors)[[1, 2]]).all()
    for i in (0, 3):
        np.testing.assert_allclose(array(fits.values)[i], array(alone.values)[i], rtol=1e-12)


@pytest.mark.slow
def test_the_best_start_is_kept():
    """From the first no step is possible, from the second the minimum is a worse one."""
    y, _ = make_data(3)
    expected = fit_curves(decay, X, y, START)
    starts = [[1.0, -1e4, 0.0], [1.0, 500.0, 0.0], list(START.values())]
    fits = fit_curves(decay, X, y, starts[0], starts=starts[1:])
    assert fits.starts.tolist() == [2, 2, 2]
    np.testing.assert_allclose(array(fits.values), array(expected.values), rtol=1e-9)
    named = fit_curves(decay, X, y, START, starts=[{"rate": np.ones(3), "floor": 0, "height": 9}])
    np.testing.assert_allclose(array(named.values), array(expected.values), rtol=1e-9)


def test_a_second_call_makes_no_graph():
    y, _ = make_data(5)
    fit_curves(decay, X, y, START)
    before = len(traces)
    fit_curves(decay, X, y[:2], START)
    assert len(traces) == before


@pytest.mark.slow
def test_epochs_end_a_fit():
    y, _ = make_data(2)
    with pytest.warns(UserWarning, match="2 of 2 fits"):
        fits = fit_curves(decay, X, y, START, epochs=2)
    assert fits.steps.tolist() == [2, 2]
    assert fits.stop_reason(0).startswith("All epochs are used up (2)")


@pytest.mark.slow
def test_table_and_prediction():
    y, _ = make_data(25)
    fits = fit_curves(decay, X, y, START)
    lines = fits.summary(rows=3).splitlines()
    assert len(lines) == 6
    assert lines[0].split() == ["data", "set", *START]
    assert f"{fits.values['rate'][1]:.6g}" in lines[2]
    assert lines[-2:] == ["... 22 more", "25 of 25 fits have converged"]
    new = np.array([0.5, 9.0])
    expected = with_numpy(new, *array(fits.values).T[:, :, None])
    np.testing.assert_allclose(fits.predict(new), expected, rtol=1e-12)
    np.testing.assert_allclose(fits.predict(np.tile(new, (25, 1))), expected, rtol=1e-12)


@pytest.mark.slow
def test_a_function_that_has_changed_is_noticed():
    factor = [1.0]

    def line(x, a):
        return factor[0] * a * x

    y = np.stack([2 * X, 3 * X])
    np.testing.assert_allclose(fit_curves(line, X, y, [1.0]).values["a"], [2, 3])
    factor[0] = 10.0
    np.testing.assert_allclose(fit_curves(line, X, y, [1.0]).values["a"], [0.2, 0.3])


@pytest.mark.slow
def test_bounds_are_those_of_fit_curve():
    """The bound holds the first floor, and not the second."""
    noise = 0.05 * np.random.default_rng(0).normal(size=(2, POINTS))
    y = with_numpy(X, 3.0, 1.0, np.array([[2.0], [0.0]])) + noise
    bounds = [0.0, 0.0, -5.0], [np.inf, np.inf, 0.5]
    fits = fit_curves(decay, X, y, START, bounds=bounds)
    for i in range(2):
        one = fit_curve(decay, X, y[i], START, bounds=bounds)
        np.testing.assert_allclose(array(fits.values)[i], array(one.values), rtol=1e-8)
        errors = array(fits.standard_errors)[i], array(one.standard_errors)
        np.testing.assert_allclose(*errors, rtol=1e-6)
    assert fits.values["floor"][0] == 0.5
    assert np.isnan(fits.standard_errors["floor"]).tolist() == [True, False]


@pytest.mark.slow
def test_what_the_data_do_not_determine_has_an_infinite_error():
    def line(x, a, b, c):
        return a + c + b * x

    fits = fit_curves(line, X, np.stack([1 + X, 2 - X]), [0.0, 0.0, 0.0])
    np.testing.assert_allclose(fits.values["b"], [1, -1], rtol=1e-9)
    assert np.isinf(fits.standard_errors["a"]).all()
    assert np.isfinite(fits.standard_errors["b"]).all()
    assert fits.degrees_of_freedom.tolist() == [POINTS - 2] * 2


@pytest.mark.slow
@pytest.mark.parametrize("name", ["Bennett5", "Lanczos3", "Thurber"])
def test_certified_digits(name):
    """From both of NIST's starts at once."""
    nist = runpy.run_path(pathlib.Path(kerazoo.__file__).parent / "scripts" / "nist.py")
    problem = nist["read"](name)

    def formula(x, *b):
        return nist["MODELS"][name](b, x)

    y = np.repeat(problem.y.T, 2, axis=0)
    fits = fit_curves(formula, problem.x, y, list(problem.starts.T), epochs=500)
    digits = [nist["correct_digits"](b, problem.certified) for b in array(fits.values)]
    assert min(digits) >= 9
    assert fits.converged.all()


def test_refuses_shapes_that_do_not_fit():
    y, _ = make_data(2)
    wrong = {
        "x": ([X[:5], X], X[:5], np.ones((3, POINTS)), [X]),
        "y": (y[0], [y[0], y[1, :2]], [y], np.ones((2, 0))),
        "sigma": (np.ones(POINTS), np.ones(2), [1.0, 2.0], np.inf),
        "p0": ([np.ones(3), 1.0, 0.0], {**START, "rate": np.nan}),
        "starts": ([1.0, 2.0, 3.0], [{"rate": 1.0}], START, 1.0),
    }
    for name, values in wrong.items():
        for value in values:
            arguments = {"x": X, "y": y, "p0": START, name: value}
            if name == "y":
                arguments["x"] = X if not isinstance(value, list) else [X] * len(value)
            with pytest.raises(ValueError, match=f"`{name}`|`x`"):
                fit_curves(decay, **arguments)
    with pytest.raises(ValueError, match="shared_x=True"):
        fit_curves(decay, np.ones((3, 3)), np.ones((3, 3)), START)
    with pytest.raises(ValueError, match="within `bounds`"):
        fit_curves(decay, X, y, {**START, "rate": np.array([1.0, 9.0])}, bounds=(-1, 5))
    with pytest.raises(ValueError, match="run on tensors"):
        fit_curves(lambda x, a: np.exp(a) * x, X, y, [1.0])
