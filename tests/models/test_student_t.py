import numpy as np
import pytest
import scipy.stats

from kerazoo.models._student_t import student_quantile


@pytest.mark.parametrize("degrees", [1, 2, 7, 40, 41, 1000, 10**6, 10**9, np.inf])
def test_quantiles_are_scipys(degrees):
    p = [0.6, 0.975, 0.9995]
    found = [student_quantile(one, degrees) for one in p]
    np.testing.assert_allclose(found, scipy.stats.t.ppf(p, degrees), rtol=1e-7)
