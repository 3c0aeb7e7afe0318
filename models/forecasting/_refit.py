"""A forecaster that is trained anew at each origin of a backtest."""

import numpy as np


class Refit:
    """A fresh model of the same configuration, trained from the same first weights each time.

    It is one model with its weights put back, not a new one for each origin, because that would
    trace its graphs anew each time.
    """

    def __init__(self, model, fit_arguments):
        if not model.compiled:
            raise ValueError(
                "`refit` needs a compiled model: call `compile` first. Received: refit of a model "
                "without optimizer and loss"
            )
        self.model = type(model).from_config(model.get_config())
        optimizer = type(model.optimizer).from_config(model.optimizer.get_config())
        model.compile_alike(self.model, optimizer)
        self.model.optimizer.build(self.model.trainable_variables)
        self.fit_arguments = fit_arguments
        self.variables = [*self.model.variables, *self.model.optimizer.variables]
        self.first = [variable.numpy() for variable in self.variables]

    def on(self, series):
        """The model trained on `series`; a loss that ends as NaN or infinite is an error."""
        for variable, value in zip(self.variables, self.first, strict=True):
            variable.assign(value)
        history = self.model.fit(series, **{"verbose": 0, **self.fit_arguments})
        losses = history.history.get("loss", [])
        if losses and not np.isfinite(losses[-1]):
            raise ValueError(f"training diverged: its loss is {losses[-1]}")
        return self.model
