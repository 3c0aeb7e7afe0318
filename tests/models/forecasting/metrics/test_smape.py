import numpy as np
import pytest

from kerazoo.models.forecasting import smape


def test_by_hand():
    # 200 * 1 / 3 and 200 * 2 / 10
    assert smape([1.0, 4.0], [2.0, 6.0]) == pytest.approx((200 / 3 + 40) / 2)


def test_zeros_signs_and_the_largest_value():
    assert smape([0.0, 0.0], [0.0, 5.0]) == 100  # 0 where both are 0, 200 where one is
    assert smape([-1.0], [3.0]) == 200
    assert smape([-2.0], [-1.0]) == smape([2.0], [1.0])


def test_missing_values_do_not_count():
    assert smape([np.nan, 1.0], [0.0, 3.0]) == pytest.approx(100)


def test_several_features():
    y_true, y_pred = np.random.default_rng(0).normal(size=(2, 9, 3))
    expected = 200 * np.mean(np.abs(y_true - y_pred) / (np.abs(y_true) + np.abs(y_pred)))
    assert smape(y_true, y_pred) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: smape([1.0], [1.0, 2.0]), "`y_pred`"),
        (lambda: smape([np.nan], [1.0]), "`y_true`"),
        (lambda: smape([1.0], [np.nan]), "`y_pred`"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()
