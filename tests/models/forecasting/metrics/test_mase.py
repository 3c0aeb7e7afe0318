import numpy as np
import pytest

from kerazoo.models.forecasting import mase


def test_by_hand():
    train = [1.0, 2.0, 4.0, 8.0]
    # naive errors 1, 2, 4 of mean 7/3; seasonal ones, 3 and 6, of mean 4.5
    assert mase([10.0, 12.0], [9.0, 15.0], train) == pytest.approx(2 / (7 / 3))
    assert mase([10.0, 12.0], [9.0, 15.0], train, season_length=2) == pytest.approx(2 / 4.5)


def test_several_features_give_their_mean():
    train = np.array([[0.0, 0.0], [1.0, 10.0], [2.0, 20.0]])
    assert mase([[5.0, 5.0]], [[6.0, 25.0]], train) == pytest.approx((1 + 2) / 2)


def test_missing_values_do_not_count():
    assert mase([np.nan, 5.0], [0.0, 7.0], [1.0, 2.0, np.nan, 3.0, 4.0]) == pytest.approx(2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mase([1.0], [1.0, 2.0], [1.0, 2.0]), "`y_pred`"),
        (lambda: mase([1.0], [1.0], [2.0, 2.0, 2.0]), "`y_train`"),
        (lambda: mase([1.0], [1.0], [2.0, 3.0], season_length=2), "`y_train`"),
        (lambda: mase([1.0], [1.0], [2.0]), "`y_train`"),
        (lambda: mase([1.0], [1.0], np.ones((5, 2))), "`y_train`"),
        (lambda: mase([np.nan], [1.0], [1.0, 2.0]), "`y_true`"),
        (lambda: mase([1.0], [np.nan], [1.0, 2.0]), "`y_pred`"),
        (lambda: mase([1.0], [1.0], [1.0, 2.0], season_length=0), "`season_length`"),
        (lambda: mase([1.0], [1.0], [1.0, np.inf, 2.0]), "`y_train`"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()
