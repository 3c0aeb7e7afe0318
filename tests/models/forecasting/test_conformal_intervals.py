import numpy as np
import pytest

from kerazoo.models.forecasting import ConformalIntervals

ZEROS = np.zeros((5, 2))


def test_by_hand():
    errors = np.array([[3.0, 50], [-1, 10], [4, -40], [-2, 20]])
    intervals = ConformalIntervals(0.8).fit(10 + errors, np.full((4, 2), 10.0))
    # ceil(5 * 0.8) = 4: the largest of four
    np.testing.assert_array_equal(intervals.radius, [4, 50])
    lower, upper = intervals.interval([100.0, 200.0])
    np.testing.assert_array_equal(lower, [96, 150])
    np.testing.assert_array_equal(upper, [104, 250])
    assert intervals.coverage([97.0, 149.0], [100.0, 200.0]) == 0.5
    # ceil(5 * 0.5) = 3: the third
    np.testing.assert_array_equal(ConformalIntervals(0.5).fit(errors, 0 * errors).radius, [3, 40])


@pytest.mark.parametrize(("level", "n"), [(0.8, 4), (0.8, 25), (0.5, 10), (0.95, 19)])
def test_exchangeable_errors_cover_the_level(level, n):
    # The expected coverage is ceil((n + 1) * level) / (n + 1), whatever the distribution.
    rng = np.random.default_rng(0)
    covered = []
    for _ in range(1500):
        errors = rng.standard_t(3, size=(n + 20, 1))
        intervals = ConformalIntervals(level).fit(errors[:n], np.zeros((n, 1)))
        covered.append(intervals.coverage(errors[n:], np.zeros((20, 1))))
    expected = np.ceil((n + 1) * level - 1e-9) / (n + 1)
    assert np.mean(covered) == pytest.approx(expected, abs=0.015)
    assert expected >= level - 1e-9


def test_series_of_different_size_share_their_errors_in_units_of_scale():
    rng = np.random.default_rng(0)
    scale = 10.0 ** rng.integers(-3, 6, size=400)
    errors = scale[:, None, None] * rng.normal(size=(400, 3, 2)) * [1, 5]
    intervals = ConformalIntervals().fit(errors[:200], np.zeros((200, 3, 2)), scale[:200])
    np.testing.assert_allclose(intervals.radius, np.ones((3, 1)) * [[1.28, 6.4]], rtol=0.15)
    found = intervals.coverage(errors[200:], np.zeros((200, 3, 2)), scale[200:])
    assert found == pytest.approx(0.8, abs=0.04)
    # One forecast of one series, its scale a number or one a feature.
    for own in (scale[7], np.full(2, scale[7])):
        lower, _ = intervals.interval(np.zeros((3, 2)), own)
        np.testing.assert_allclose(lower, -scale[7] * intervals.radius)
    assert intervals.interval(np.zeros((2, 1, 2)), scale[:2])[0].shape == (2, 1, 2)


def test_missing_values_and_unknown_scales_do_not_count():
    rng = np.random.default_rng(0)
    errors = rng.normal(size=(30, 2))
    y_true, y_pred = errors.copy(), np.zeros((30, 2))
    y_true[3, 0] = y_pred[5, 1] = np.nan
    scale = np.ones(30)
    scale[[10, 20]] = 0, np.nan
    radius = ConformalIntervals().fit(y_true, y_pred, scale).radius
    for step, out in ((0, [3, 10, 20]), (1, [5, 10, 20])):
        alone = np.delete(errors[:, step], out)[:, None]
        expected = ConformalIntervals().fit(alone, 0 * alone).radius[0]
        assert radius[step] == expected


def test_few_errors_are_pooled_with_those_of_neighbouring_steps():
    errors = np.array([[1.0, 2, 3, 9, 5], [1.5, 2.5, 3.5, 9.5, 5.5]])
    radius = ConformalIntervals(0.8).fit(errors, 0 * errors).radius
    # Each step has 2 errors and needs 4. With one neighbour on each side: 4, 6, 6, 6, 4 errors,
    # of which the 4th, 6th, 6th, 6th and 4th smallest.
    np.testing.assert_array_equal(radius, [2.5, 3.5, 9.5, 9.5, 9.5])
    errors = np.array([[9.0, 2, 1], [9.5, 2.5, 1.5]])
    radius = ConformalIntervals(0.8).fit(errors, 0 * errors).radius
    np.testing.assert_array_equal(radius, [9.5, 9.5, 9.5])  # 2.5 at the end, alone


def test_without_pooling_each_step_stands_alone():
    errors = np.tile([5.0, 1.0, 3.0], (10, 1))
    np.testing.assert_array_equal(ConformalIntervals().fit(errors, 0 * errors).radius, [5, 1, 3])


def fitted(scale=None):
    return ConformalIntervals().fit(ZEROS, ZEROS + 1, scale)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ConformalIntervals(1.0), "`level`"),
        (lambda: ConformalIntervals(80), "`level`"),
        (lambda: ConformalIntervals().fit([1.0], [1.0]), "`y_true` and `y_pred`"),
        (lambda: ConformalIntervals().fit(ZEROS, ZEROS[:4]), "`y_true` and `y_pred`"),
        (lambda: ConformalIntervals().fit([["a"]], [[1.0]]), "`y_true`"),
        (lambda: ConformalIntervals().fit(ZEROS, ZEROS, [1.0]), "`scale`"),
        (lambda: ConformalIntervals().fit(ZEROS, ZEROS, -np.ones(5)), "`scale`"),
        (lambda: ConformalIntervals(0.95).fit(ZEROS, ZEROS), "at least 19 errors.*Received: 10"),
        (lambda: ConformalIntervals().fit(ZEROS, ZEROS, np.zeros(5)), "at least 4.*Received: 0"),
        (lambda: ConformalIntervals().interval(ZEROS), "call `fit` first"),
        (lambda: fitted().interval(np.zeros(3)), "`y_pred`"),
        (lambda: fitted().interval(ZEROS, 1.0), "`scale`.*`fit` had none"),
        (lambda: fitted(np.ones(5)).interval(ZEROS), "`scale`.*`fit` had one"),
        (lambda: fitted(np.ones(5)).interval(ZEROS, np.ones(4)), "`scale`"),
        (lambda: fitted().coverage(ZEROS[0], ZEROS), "`y_true`"),
        (lambda: fitted().coverage(ZEROS * np.nan, ZEROS), "`y_true`"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_no_interval_reaches_below_the_lowest_value():
    errors = np.ones((9, 2))
    lower, upper = ConformalIntervals(lowest=0).fit(errors, 0 * errors).interval([0.25, 7.0])
    np.testing.assert_array_equal(lower, [0, 6])
    np.testing.assert_array_equal(upper, [1.25, 8])
    lower, _ = ConformalIntervals().fit(errors, 0 * errors).interval([0.25, 7.0])
    np.testing.assert_array_equal(lower, [-0.75, 6])
