"""The transforms against NumPy, and the means of their inverses against simulation."""

import numpy as np
import pytest
from scipy.stats import norm

from kerazoo.models.forecasting.transforms import TRANSFORM_NAMES, Transform


@pytest.mark.parametrize("name", [None, *TRANSFORM_NAMES])
def test_there_and_back(name):
    values = np.array([[1e-6, 0.3, np.nan], [1.0, 50.0, 1e12]])
    transform = Transform(name)
    expected = {None: values}.get(name, getattr(np, name or "abs")(values))
    np.testing.assert_array_equal(transform.apply(values), expected)
    np.testing.assert_allclose(transform.invert(transform.apply(values)), values, rtol=1e-12)


def test_zero_belongs_to_the_range_of_all_but_log():
    assert Transform("log1p").apply(np.zeros(1))[0] == 0
    assert Transform("sqrt").apply(np.zeros(1))[0] == 0


@pytest.mark.parametrize("variance", [None, 0.0, 0.5])
@pytest.mark.parametrize("name", TRANSFORM_NAMES)
def test_never_below_the_range(name, variance):
    found = Transform(name).invert(np.linspace(-60, 0, 200), variance)
    assert (found >= 0).all()
    assert np.isfinite(found).all()
    assert (np.diff(found) >= -1e-15).all()  # no lower forecast has a higher mean


@pytest.mark.parametrize("deviation", [0.01, 0.3, 1.0])
@pytest.mark.parametrize("z", [-1.0, -0.2, 0.0, 0.4, 3.0])
@pytest.mark.parametrize("name", TRANSFORM_NAMES)
def test_the_mean_of_the_inverse(name, z, deviation):
    # Equal shares of a normal distribution: a simulation without its noise.
    normal = norm.ppf((np.arange(100_000) + 0.5) / 100_000)
    simulated = Transform(name).invert(z + deviation * normal).mean()
    found = Transform(name).invert(np.array([z]), deviation**2)[0]
    assert found == pytest.approx(simulated, rel=1e-3, abs=1e-6)


def test_the_mean_far_above_zero_is_the_textbook_one():
    z, v = np.array([12.0, 15.0]), np.array([0.1, 0.4])
    np.testing.assert_allclose(Transform("log1p").invert(z, v), np.exp(z + v / 2) - 1, rtol=1e-14)
    np.testing.assert_allclose(Transform("sqrt").invert(z, v), z**2 + v, rtol=1e-14)


def test_small_values_keep_their_digits():
    z = np.array([1e-9])
    np.testing.assert_allclose(Transform("log1p").invert(z, 1e-30), z, rtol=1e-9)


@pytest.mark.parametrize("name", TRANSFORM_NAMES)
def test_no_variance_means_the_plain_inverse(name):
    z = np.array([[-0.5, 0.0], [1.0, np.nan]])
    transform = Transform(name)
    np.testing.assert_array_equal(transform.invert(z, 0.0), transform.invert(z))
    np.testing.assert_array_equal(
        transform.invert(z, np.array([0.0, 1.0]))[:, 0], transform.invert(z)[:, 0]
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Transform("exp"), "`transform` must be one of 'log', 'log1p', 'sqrt', or None"),
        (lambda: Transform("log").apply(np.zeros(2), "y[3]"), r"`y\[3\]` must be above 0"),
        (lambda: Transform("log1p").apply(np.array([-0.5])), "`series` must be at least 0.*-0.5"),
        (lambda: Transform("sqrt").apply(np.array([np.nan, -2.0])), "at least 0.*-2"),
        (lambda: Transform("log").invert(np.array([1.0, 800.0])), "too large.*Received: 800"),
        (lambda: Transform("log1p").invert(np.array([800.0]), 1.0), "too large.*Received: 800"),
        (lambda: Transform("log").invert(np.array([709.0]), 2000.0), "too large.*Received: 709"),
        (lambda: Transform("sqrt").invert(np.array([1e200])), "too large.*Received: 1e\\+200"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_variance_that_a_logarithm_cannot_bear():
    """One series of Tourism monthly was forecast a thousand times too high by its mean."""
    for variance in (2.25, 16.0, 1e6):
        mean = np.exp(5 + 2.25 / 2)
        np.testing.assert_allclose(Transform("log").invert(5.0, variance), mean)
        near = Transform("log1p").invert(5.0, variance)
        np.testing.assert_allclose(near, mean - 1, rtol=1e-3)
    np.testing.assert_allclose(Transform("sqrt").invert(50.0, 16.0), 50.0**2 + 16)
