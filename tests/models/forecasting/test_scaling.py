import numpy as np
import pytest

from kerazoo.models.forecasting.scaling import Scaling, Units, units_of


@pytest.mark.parametrize("transform", [None, "log", "log1p", "sqrt"])
@pytest.mark.parametrize("period", [0, 1, 12])
def test_a_forecast_of_the_true_differences_is_the_truth(transform, period):
    rng = np.random.default_rng(0)
    series = np.exp(rng.normal(size=(60, 2)))
    scaling = Scaling(transform, period)
    y, differences = scaling.difference(series)
    units = units_of([differences])
    z = (differences - units.location) / units.scale
    np.testing.assert_allclose(z.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(z.std(axis=0), 1, rtol=1e-12)

    origin = 33
    history = scaling.history(y[:origin])
    future = z[origin - period :]  # 27 steps: two whole seasons of 12 and a part
    np.testing.assert_allclose(
        scaling.undo_forecast(future, history, units), series[origin:], rtol=1e-12
    )
    sampled = scaling.undo_forecast(np.stack([future, future]), history, units)
    np.testing.assert_allclose(sampled[1], series[origin:], rtol=1e-12)
    np.testing.assert_allclose(
        scaling.undo_one_step(z[1:], y, units), series[period + 1 :], rtol=1e-12
    )


def test_seasonal_difference_by_hand():
    _y, z = Scaling(None, 2).difference(np.array([[1.0], [5.0], [4.0], [np.nan], [9.0], [7.0]]))
    np.testing.assert_array_equal(z[:, 0], [3, np.nan, 5, np.nan])
    forecast = Scaling(None, 2).undo_forecast(
        np.array([[1.0], [2.0], [3.0]]), np.array([[10.0], [20.0]]), Units(np.zeros(1), np.ones(1))
    )
    np.testing.assert_array_equal(forecast[:, 0], [11, 22, 14])


def test_gaps_are_carried_from_the_same_season_and_never_from_the_future():
    nan = np.nan
    y = np.array([[nan], [2.0], [3.0], [nan], [nan], [nan]])
    np.testing.assert_array_equal(Scaling(None, 2).carry_seasons(y)[:, 0], [nan, 2, 3, 2, 3, 2])
    np.testing.assert_array_equal(Scaling(None, 2).history(y)[:, 0], [3, 2])
    # A season that was never observed takes the mean.
    never = np.array([[nan], [2.0], [3.0], [nan]])
    np.testing.assert_array_equal(Scaling(None, 3).history(never)[:, 0], [2, 3, 2.5])


def test_a_constant_series_keeps_the_scale_one():
    assert units_of([np.full((5, 1), 0.1)]).scale == 1
    assert units_of([np.zeros((5, 1))]).scale == 1


@pytest.mark.parametrize("size", [1e-300, 1.0, 1e300])
def test_units_of_the_smallest_and_the_largest_values(size):
    units = units_of([np.array([[1.0], [3.0]]) * size])
    np.testing.assert_allclose(units.location, 2 * size)
    np.testing.assert_allclose(units.scale, size)


def test_a_negative_root_means_zero():
    units = Units(np.zeros(1), np.ones(1))
    steps = Scaling("sqrt", 0).undo_forecast(np.array([[-3.0], [2.0]]), None, units)
    np.testing.assert_array_equal(steps[:, 0], [0, 4])


@pytest.mark.parametrize(
    ("transform", "value"), [("log", 0.0), ("log1p", -1.0), ("sqrt", -0.1), ("log", -3.0)]
)
def test_values_outside_the_transform(transform, value):
    with pytest.raises(ValueError, match=f"`series` must be .* transform='{transform}'"):
        Scaling(transform, 0).difference(np.array([[1.0], [value]]))


def test_too_short_for_the_season():
    with pytest.raises(ValueError, match="seasonal_difference=4"):
        Scaling(None, 4).difference(np.arange(5.0)[:, None])
