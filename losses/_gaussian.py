"""A Gaussian log likelihood that stays finite, and so does its gradient, for any prediction."""

import math

from keras import ops

# The logarithm of a standard deviation is taken as it is from -5 to 5 (a deviation of 0.0067 to
# 148); beyond these ends it moves by less than the margin, and so stays between -7 and 7.
END = 5.0
MARGIN = 2.0
# Standard deviations from the mean up to which the density is the Gaussian's.
REACH = 50.0
# A distance that float32 can still multiply by 1 / std.
FARTHEST = 1e30


def bounded_log_std(log_std):
    """`log_std` itself from -5 to 5; beyond, d further out counts as d / (1 + d / 2).

    The slope is 1 at both ends and never 0, so that a prediction far outside can come back.
    """
    inside = ops.clip(log_std, -END, END)
    beyond = log_std - inside
    return inside + beyond / (1 + ops.abs(beyond) / MARGIN)


def gaussian_log_p(value, mean, log_std):
    """log N(value; mean, exp(log_std)^2) with a bounded `log_std`.

    More than `REACH` standard deviations from the mean, z^2 / 2 goes on as
    REACH^2 (1 / 2 + log(|z| / REACH)): the slope is the same there, and it falls from there on
    instead of growing.
    """
    z = ops.clip(value - mean, -FARTHEST, FARTHEST) * ops.exp(-log_std)
    near = ops.clip(z, -REACH, REACH)
    far = ops.log(ops.maximum(ops.abs(z) / REACH, 1.0))
    return -(0.5 * near**2 + REACH**2 * far + log_std + 0.5 * math.log(2 * math.pi))


def gaussian_entropy(log_std):
    return log_std + 0.5 * math.log(2 * math.pi * math.e)
