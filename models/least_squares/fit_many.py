"""`LeastSquares.fit_many`: what it checks, and in which order."""

from ..._arguments import boolean, positive_integer
from .._fit_arguments import checked
from .many_fits import ManyFits
from .side_by_side import data_sets, fit_side_by_side, starts_of, warn_of_failures
from .side_by_side.run import check_model


def fit_many(model, x, y, sample_weight, starts, epochs, shared_x, absolute_sigma, verbose):
    epochs = positive_integer("epochs", epochs)
    absolute_sigma = boolean("absolute_sigma", absolute_sigma)
    verbose = checked(verbose=verbose)["verbose"]
    check_model(model)
    sets = data_sets(x, y, sample_weight, shared_x)
    starts = starts_of(starts, model.optimizer.weights, len(sets.y))
    ends = fit_side_by_side(model, sets, starts, epochs, 1 if verbose == "auto" else verbose)
    warn_of_failures(ends, stacklevel=3)
    return ManyFits(model, sets, ends, absolute_sigma)
