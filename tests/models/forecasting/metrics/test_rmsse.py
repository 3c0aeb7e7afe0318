import numpy as np
import pytest

from kerazoo.models.forecasting import rmsse


def test_by_hand():
    train = [1.0, 2.0, 4.0, 8.0]
    # squared errors 1 and 9 of mean 5; naive ones 1, 4, 16 of mean 7; seasonal ones 9, 36
    assert rmsse([10.0, 12.0], [9.0, 15.0], train) == pytest.approx(np.sqrt(5 / 7))
    expected = np.sqrt(5 / 22.5)
    assert rmsse([10.0, 12.0], [9.0, 15.0], train, season_length=2) == pytest.approx(expected)


def test_several_features_give_their_mean():
    train = np.array([[0.0, 0.0], [1.0, 10.0], [2.0, 20.0]])
    assert rmsse([[5.0, 5.0]], [[6.0, 25.0]], train) == pytest.approx((1 + 2) / 2)


def test_missing_values_do_not_count():
    assert rmsse([np.nan, 5.0], [0.0, 7.0], [1.0, 2.0, np.nan, 3.0, 4.0]) == pytest.approx(2)


def test_squares_beyond_float64():
    assert rmsse([1e300], [3e300], [1e300, 2e300]) == pytest.approx(2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: rmsse([1.0], [1.0, 2.0], [1.0, 2.0]), "`y_pred`"),
        (lambda: rmsse([1.0], [1.0], [2.0, 2.0, 2.0]), "`y_train`"),
        (lambda: rmsse([np.nan], [1.0], [1.0, 2.0]), "`y_true`"),
        (lambda: rmsse([1.0], [1.0], [1.0, 2.0], season_length=0), "`season_length`"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()
