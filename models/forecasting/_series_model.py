"""The part of the forecaster that Keras trains and saves: chunks in, their state carried on."""

import warnings

import keras
import numpy as np
import tensorflow as tf

from ..._arguments import boolean, in_words, wrong
from ..._keras_objects import keras_object
from .._fit_arguments import checked_losses
from ._chunks import Chunks
from ._row_queues import sensible_rows
from ._series_set import read_series
from .backtest import roll_origin
from .codec import Units

# Evaluation carries its state too, so the size of its chunks only bounds memory.
_EVALUATION_STEPS, _EVALUATION_ROWS = 256, 64
_FIT_ARGUMENTS = (
    *("batch_size", "bptt_steps", "epochs", "callbacks", "shuffle", "verbose"),
    *("initial_epoch", "validation_data", "validation_freq", "validation_horizon"),
)
NO_TARGETS = "it takes series and no targets, as the target of each value is the one that follows"
_OTHER_ARGUMENTS = {
    "x": "pass the series, one or a list, as the first argument",
    "y": NO_TARGETS,
    "validation_split": "hold out the end of each series with `validation_horizon`",
    "sample_weight": "every observed value counts the same; NaN takes one out",
    "class_weight": "series have no classes",
    "covariates": "covariates are not available yet",
}
# Arguments of older files, of one value each
_GONE = ("num_covariates", "distribution", "quantiles")


class SeriesModel(keras.Model):
    """Trains `self.network` on series as `self.codec` reads them, and remembers on what.

    The forecaster inherits from it what has to do with training; what is asked of a trained network
    is in `Reader`.
    """

    def compile(self, optimizer="adam", loss=None, metrics=None, weighted_metrics=None, **kwargs):
        """Sets optimizer, loss and metrics, as `keras.Model.compile` does.

        Loss and metrics compare predictions with values in units of each series' own naive error,
        so with "mae" the loss is a one-step MASE (with other scalings than "running" in the
        network's units). Both are given relative to the naive forecast, so take measures of
        differences: percentages would be of nothing. Missing values and padding do not count.

        Args:
            optimizer: A Keras optimizer or its name. Default "adam".
            loss: A Keras loss, its name or a function. It is taken value by value: it sees tensors
                `(rows, steps, features, 1)` and returns them without the last axis. Keep a Keras
                loss's own reduction: others weigh by chunk, and so depend on `bptt_steps`.
                None: the mean squared error.
            metrics: Keras metric or list of them.
            weighted_metrics: The same.
            **kwargs: The other arguments of `keras.Model.compile`.
        """
        optimizer = keras_object("optimizer", optimizer)
        loss = "mse" if loss is None else checked_losses(loss)
        metrics = [*_as_list(metrics), *_as_list(weighted_metrics)] or None
        super().compile(optimizer=optimizer, loss=loss, weighted_metrics=metrics, **kwargs)
        # A model that is saved before it was fitted is then loaded with all that was saved.
        self.optimizer.build(self.trainable_variables)

        def compile_alike(model, optimizer):
            model.compile(optimizer, loss, metrics, **kwargs)

        # Through a config, a loss that is a plain function would have to be registered.
        self.compile_alike = compile_alike

    def compile_from_config(self, config):
        config = keras.saving.deserialize_keras_object(config)
        self.compile(**{name: value for name, value in config.items() if name != "metrics"})

    def call(self, inputs, training=None):
        chunk = inputs if isinstance(inputs, dict) else {"x": inputs}
        states = self.network.initial_states(chunk["x"], training=training)
        if "reset" not in chunk:
            return self.network(chunk["x"], states, training=training)[0]
        states = self._carried.read(bool(training), chunk["reset"], states)
        # `fit` and `evaluate`, which compile as `compile` was told
        outputs, states = self.network(
            chunk["x"], states, training=training, fuse=not self.jit_compile
        )
        self._carried.write(bool(training), states)
        return outputs * tf.cast(chunk["scale"], outputs.dtype)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        # A last axis of one makes any Keras loss work value by value, so that each value can
        # have a weight of its own.
        return super().compute_loss(
            x, y[..., None], y_pred[..., None], sample_weight, training=training
        )

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        # Keras casts the targets of its own metrics, and not those of functions.
        y = tf.cast(y, y_pred.dtype)
        return super().compute_metrics(x, y[..., None], y_pred[..., None], sample_weight)

    # Training

    def _train(self, found, held_out, last, laid_out, arguments):
        """Keras's `fit` on the series of a `SeriesSet`.

        Args:
            found, held_out: `SeriesSet`s of the training and the validation series, or None.
            last: The last values that validation counts; without `held_out` those of `found`,
                which are not trained on then.
            laid_out: Dict of the arguments that lay series into rows.
            arguments: Dict of the others, of Keras's `fit`.
        """
        values, names = found.values, found.names
        if held_out is None and last is not None:
            held_out = found
            pairs = [(one[:-last], name) for one, name in zip(values, names, strict=True)]
            pairs = [(one, name) for one, name in pairs if np.isfinite(one).any(axis=0).all()]
            if not pairs:
                wanted = "so small that all features of a series are observed before"
                raise wrong("validation_horizon", wanted, last)
            values, names = zip(*pairs, strict=True)
        learned = self._reader.learn_units(values, names) if self._scale_is_unknown() else None
        steps = laid_out["bptt_steps"]
        rows = laid_out["batch_size"] or sensible_rows([len(one) for one in values], steps)
        chunks = Chunks(
            self.codec,
            values,
            self._reader.units(values, names, learned),
            rows,
            steps,
            laid_out["shuffle"],
        )
        _check_targets(chunks, values, "series")
        if held_out is not None:
            name = "series" if held_out is found else "validation_data"
            held_out = self._evaluation_chunks(held_out, name, last, learned=learned)
            data, validation_steps = self._as_data(held_out)
            held_out = {"validation_data": data, "validation_steps": validation_steps}
            arguments = {**arguments, **held_out}
        if learned is not None:
            self.location.assign(learned.location)
            self.scale.assign(learned.scale)
        self._carried.begin(True, rows)
        data, steps_per_epoch = self._as_data(chunks)
        history = super().fit(data, steps_per_epoch=steps_per_epoch, shuffle=False, **arguments)
        if history.epoch:
            remembered = {**laid_out, "epochs": arguments["epochs"]}
            self._record.remember(values, remembered, found.columns)
            if self.transform and self.bias_adjustment:
                self._record.variance = self._reader.horizon_variance(values)
        return history

    def _as_data(self, chunks):
        """A data set of chunks and the steps of an epoch, as Keras takes them."""
        # Several steps at once would go on into the next epoch where the data set has no end.
        endless = self.steps_per_execution == 1
        return chunks.dataset(endless), chunks.num_chunks if endless else None

    def _evaluation_chunks(self, found, name, last, rows=None, learned=None):
        units = self._reader.units(found.values, found.names, learned)
        rows = rows or min(len(units), _EVALUATION_ROWS)
        chunks = Chunks(self.codec, found.values, units, rows, _EVALUATION_STEPS, last=last)
        _check_targets(chunks, found.values, name)
        return chunks

    def _read_series(self, series, name):
        return read_series(series, self.num_features, name, self._record.columns)

    def _global_units(self):
        if self._scale_is_unknown():
            raise ValueError(
                'With scaling="global" the scale is learned in `fit`: call it first. '
                "Received: a model whose scale is unknown"
            )
        return Units(self.location.numpy(), self.scale.numpy())

    def _scale_is_unknown(self):
        return self.scaling == "global" and not np.any(self.scale.numpy())

    def backtest(
        self,
        series,
        horizon,
        start,
        stride=1,
        refit=False,
        season_length=None,
        metrics=None,
        verbose="auto",
    ):
        """Forecasts from many origins of known series, and says how far off it was.

        Args:
            series: One or several series.
            horizon: Positive integer, the steps to forecast from each origin.
            start: The first origin: how many observations are known there; negative, how many are
                not; or a date, the last known one, where the series have dates.
            stride: Positive integer, the steps from one origin to the next. The last origin is
                the last one after which `horizon` steps are known.
            refit: False forecasts with the weights as they are. True trains anew at each origin
                on what precedes it, from freshly drawn weights, with the arguments of the last
                `fit`; a dict gives arguments of `fit` instead, for example
                `{"epochs": 100, "bptt_steps": 24}`. This model's weights stay.
            season_length: Positive integer, the season of MASE and of the seasonal naive forecast
                printed beside. None: that of the model.
            metrics: See `Backtest`.
            verbose: "auto", 0, 1 or 2, the progress bar over the origins.

        Returns:
            A `Backtest` with `.table()`, `.plot(path)` and `.forecasts`.

        Raises:
            ValueError: an argument is not as described; without `refit`, the model was never
                fitted.
        """
        arguments = self._refit_arguments(refit)
        if arguments is None:
            self._check_fitted("backtest")
        return roll_origin(
            self, series, horizon, start, stride, arguments, season_length, metrics, verbose
        )

    # What was trained

    def _check_fitted(self, method):
        if not self._record.fitted:
            raise ValueError(
                f"`{method}` needs a fitted model: call `fit` first, or load the weights of one. "
                "Received: a model whose weights are still the random ones it began with"
            )

    def _refit_arguments(self, refit):
        """The arguments of `fit` for `backtest(refit=refit)`, or None for no refit."""
        if isinstance(refit, dict):
            if set(refit) <= set(_FIT_ARGUMENTS):
                return refit
            wanted = f"True, False or a dictionary of arguments of `fit`: {_FIT_ARGUMENTS}"
            raise wrong("refit", wanted, refit)
        if not boolean("refit", refit):
            return None
        if self._record.arguments is None:
            raise ValueError(
                "`refit=True` repeats the arguments of the last `fit`, and this model has had "
                "none: call `fit` first, or pass them, e.g. refit={'epochs': 100}. "
                "Received: refit=True"
            )
        return self._record.arguments

    def save_own_variables(self, store):
        super().save_own_variables(store)
        self._record.save(store)

    def load_own_variables(self, store):
        keys = list(store.keys())
        super().load_own_variables({key: store[key] for key in keys if key.isdigit()})
        self._record.load(store)

    @classmethod
    def from_config(cls, config):
        config = {name: value for name, value in config.items() if name not in _GONE}
        if config.get("scaling") == "series":
            warnings.warn(
                "This file holds a forecaster with the old default scaling, of each whole series "
                "(now scaling='whole_series'), which sees the future in training. It is loaded "
                "with that meaning; train a new model for better forecasts.",
                stacklevel=2,
            )
            config["scaling"] = "whole_series"
        return cls(**config)

    # For `roll_origin`

    @property
    def _columns(self):
        return self._record.columns

    def _forecast_origins(self, values, origins, horizon):
        return self._reader.forecast_origins(values, origins, horizon)

    def _fitted_until(self, values):
        return self._record.fitted_until(values)


def refuse(method, kwargs):
    """Says of an argument that other Keras models take what to pass here instead."""
    for name, value in kwargs.items():
        advice = _OTHER_ARGUMENTS.get(name, f"see the arguments of `{method}`")
        raise TypeError(
            f"`{name}` is no argument of a forecaster's `{method}`: {advice}. "
            f"Received: {name}={in_words(value)}"
        )


def _check_targets(chunks, values, name):
    if not chunks.num_targets:
        raise ValueError(
            f"`{name}` must hold two observed values, the second to be predicted from the first. "
            f"Received: {len(values)} series, the longest of {max(map(len, values))} steps"
        )


def _as_list(value):
    if value is None:
        return []
    return list(value) if isinstance(value, (list, tuple)) else [value]
