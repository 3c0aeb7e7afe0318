from typing import Any, NamedTuple

import numpy as np

from .._student_t import student_quantile


class Bands(NamedTuple):
    """What a fitted model predicts, and where the truth and new observations lie around it.

    `LeastSquares.prediction_bands` and `CurveFit.bands` make it. Each field is an array like the
    model's output, or a structure of them like its outputs.

    Attributes:
        prediction: What the model gives.
        mean_lower, mean_upper: The band that holds the mean of the observations at each x, with
            the probability `level`: `prediction -/+ t * error`, where the error of the prediction
            follows from the covariance of the weights by the delta method.
        observation_lower, observation_upper: The band that holds one new observation of weight 1
            at each x, with that probability: the variance `sigma^2` of an observation is added.

    Example:

    >>> fitted = kerazoo.models.fit_curve(
    ...     lambda x, a, b: a + b * x, np.arange(4.0), np.array([0.0, 1.1, 1.9, 3.0]), [0.0, 0.0]
    ... )
    >>> bands = fitted.bands(np.array([1.5]))
    >>> [round(float(value[0]), 3) for value in bands]
    [1.5, 1.296, 1.704, 1.044, 1.956]
    """

    prediction: Any
    mean_lower: Any
    mean_upper: Any
    observation_lower: Any
    observation_upper: Any


def bands_around(prediction, gradients, covariance, level, observation_sigma=1.0):
    """`Bands` of one output.

    Args:
        prediction: Array, any shape.
        gradients: (values, weights), derivatives of the prediction, flattened.
        covariance: The `Covariance` of the weights.
        level: Probability.
        observation_sigma: Of a new observation, in units of the covariance's sigma.
    """
    error = covariance.standard_deviations(gradients).reshape(prediction.shape)
    of_one = np.hypot(error, covariance.sigma * observation_sigma)
    degrees = np.inf if covariance.absolute_sigma else covariance.degrees_of_freedom
    t = student_quantile((1 + level) / 2, degrees) if degrees > 0 else np.inf
    reach, reach_of_one = _times(t, error), _times(t, of_one)
    return Bands(
        prediction,
        prediction - reach,
        prediction + reach,
        prediction - reach_of_one,
        prediction + reach_of_one,
    )


def _times(t, error):
    """`t * error`; no error stays none where there are no degrees of freedom."""
    return np.multiply(t, error, out=np.zeros_like(error), where=error != 0)
