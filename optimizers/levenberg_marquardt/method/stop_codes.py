import enum


class StopCode(enum.IntEnum):
    """What a step means for the fit: the number in the logs, `history["stop_code"]`.

    Up to `ROUNDING` the fit has converged, the first three by MINPACK's tests. `NO_SLOPE` to
    `NO_DESCENT` end a full-batch fit too, but without a minimum. After the others it goes on.
    """

    GOES_ON = 0
    FTOL = 1
    XTOL = 2
    GTOL = 3
    ROUNDING = 4
    NO_SLOPE = 5
    NO_FINITE_STEP = 6
    NO_DESCENT = 7
    REJECTED = 8
    TAKEN_BACK = 9

    @property
    def ends_fit(self):
        """Whether a fit that sees the same batch again has nothing more to do."""
        return StopCode.GOES_ON < self <= StopCode.NO_DESCENT

    def sentence(self, measured, tolerances):
        """In words.

        Args:
            measured: The step's `Measured`, as numbers.
            tolerances: Dictionary of ftol, xtol, gtol and max_attempts.
        """
        return _SENTENCES[self].format(**measured._asdict(), **tolerances)


_SENTENCES = {
    StopCode.GOES_ON: "The loss still fell in the last step.",
    StopCode.FTOL: (
        "Converged (ftol): the last step changed the loss, and could change it, by no more than "
        "{gain:.1e} of its value; ftol is {ftol:.1e}."
    ),
    StopCode.XTOL: (
        "Converged (xtol): the last step was {length:.1e} of the length of the weights; "
        "xtol is {xtol:.1e}."
    ),
    StopCode.GTOL: (
        "Converged (gtol): the largest cosine between the residuals and a column of the Jacobian "
        "is {cosine:.1e}; gtol is {gtol:.1e}."
    ),
    StopCode.ROUNDING: (
        "Converged (rounding): no attempt of the last step lowered the loss, and none could have "
        "by more than {predicted:.1e}; rounding leaves the loss uncertain by {rounding:.1e}."
    ),
    StopCode.NO_SLOPE: (
        "Not a minimum: the gradient is zero because no output depends on any weight here, or the "
        "loss on no output. Saturated or dead units do this: scale the inputs to about -1 to 1, or "
        "start elsewhere; so do targets all beyond the scale of a robust loss."
    ),
    StopCode.NO_FINITE_STEP: (
        "No finite step: the loss was NaN or Inf after every attempt, however short the step. The "
        "weights are the best that were seen."
    ),
    StopCode.NO_DESCENT: (
        "No step lowers the loss, however short: the loss may jump here, or its gradient be wrong. "
        "The weights are the best that were seen."
    ),
    StopCode.REJECTED: "All {max_attempts} attempts of the last step were rejected.",
    StopCode.TAKEN_BACK: (
        "The last step was taken back: the gradient was NaN or Inf where the one before had led."
    ),
}
