import numpy as np
import pytest
from sklearn.metrics import root_mean_squared_error

from kerazoo.models.forecasting import rmse


def test_by_hand():
    assert rmse([[1.0, 2.0]], [[4.0, 6.0]]) == pytest.approx(np.sqrt(12.5))
    assert rmse([1.0, 2.0], [1.0, 2.0]) == 0


def test_equals_sklearn():
    y_true, y_pred = np.random.default_rng(0).normal(size=(2, 30))
    assert rmse(y_true, y_pred) == pytest.approx(root_mean_squared_error(y_true, y_pred))


def test_missing_values_do_not_count():
    assert rmse([np.nan, 5.0], [0.0, 7.0]) == pytest.approx(2)


def test_squares_beyond_float64():
    assert rmse([1e200, 1e200], [4e200, 5e200]) == pytest.approx(np.sqrt(12.5) * 1e200)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: rmse([1.0], [[1.0, 2.0]]), "`y_pred`"),
        (lambda: rmse([1.0], [np.nan]), "`y_pred`"),
        (lambda: rmse([np.nan], [1.0]), "`y_true`"),
        (lambda: rmse([np.inf], [1.0]), "`y_true`"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()
