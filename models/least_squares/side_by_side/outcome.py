import numpy as np

from ...._arguments import integer


class Outcome:
    """What is known of every fit of many, whatever was fitted."""

    def __init__(self, ends, losses, errors):
        self.losses = losses
        self.converged = ends.converged
        self.stop_codes = ends.stop_codes
        self.steps = ends.steps
        self.starts = ends.starts
        self.degrees_of_freedom = ends.degrees_of_freedom
        self._ends = ends
        self._errors = errors

    def __len__(self):
        return len(self.losses)

    def stop_reason(self, i):
        """A sentence that says why the fit of data set i ended.

        Args:
            i: Integer, from 0 to the number of data sets minus 1.
        """
        return self._ends.reasons[self._place(i)]

    def _place(self, i):
        return integer("i", i, minimum=0, maximum=len(self) - 1)

    def _totals(self):
        count = len(self)
        return f"{np.sum(self.converged)} of {count} fits have converged"


def errors_of(ends, sigma):
    """Standard errors (datasets, weights) where residuals of weight 1 have this sigma."""
    unit = ends.unit_errors
    with np.errstate(invalid="ignore"):
        errors = unit * np.reshape(sigma, (-1, 1))
    return np.where(np.isinf(unit), np.inf, errors)


def shortened(lines, rows, count):
    """The first lines of a table, and how many are left out."""
    if rows is None or count <= rows:
        return lines
    return [*lines[:rows], f"... {count - rows} more"]
