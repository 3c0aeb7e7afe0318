from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from ..._arguments import (
    boolean,
    choice,
    in_words,
    integer,
    integer_or_none,
    integers,
    number,
    positive_integer,
    wrong,
)
from ..._keras_objects import keras_object
from .._fit_arguments import checked, checked_losses
from ._read_series import read_series
from .backtest import roll_origin
from .carried_state import CarriedState
from .pack_series import forward_fill, pack_series
from .recurrent_network import RecurrentNetwork
from .rollout import CompiledNetwork
from .scaling import TRANSFORM_NAMES, Scaling, Units, units_of

# Rows of one compiled call, and the time steps they are padded to together: these bound memory,
# not what a caller may pass.
_MOST_SERIES = 256
_MOST_STEPS = 2**18
# Evaluation carries its state too, so the length of its chunks only bounds memory.
_EVALUATION_STEPS = 256
_MOST_ROWS = 32
# Inputs beyond would overflow, squared in the loss or as they are.
_LARGEST = {"float16": 6.5e4, "float32": 1e18, "float64": 1e150}
_OTHER_ARGUMENTS = {
    "x": "pass the series, one or a list, as the first argument",
    "y": "it takes series and no targets, as the target of each value is the one that follows",
    "validation_split": ("pass series of their own, such as the end of each, as `validation_data`"),
    "sample_weight": "every observed value counts the same; NaN takes one out",
    "class_weight": "series have no classes",
}
_FIT_ARGUMENTS = (
    "batch_size",
    "bptt_steps",
    "epochs",
    "covariates",
    "validation_data",
    "callbacks",
    "shuffle",
    "verbose",
    "initial_epoch",
    "validation_freq",
)
_NO_COVARIATES = "this model has num_covariates=0"
_NO_DISTRIBUTION = 'it needs another distribution than "point"'


class ForecasterState(NamedTuple):
    """What a forecaster knows of one or several series after it has seen them.

    `prediction` is its forecast of the next step, in the series' own units.
    """

    recurrent: tuple
    last: np.ndarray  # (series, features), the last observed input, in the network's units
    observed: np.ndarray  # (series, m, features), the last season of transformed values
    history: np.ndarray  # the same without gaps
    units: Units  # of (series, features)
    prediction: np.ndarray
    single: bool


class _Scaled(NamedTuple):
    z: np.ndarray  # (time - m, features) in the network's units, NaN where missing
    y: np.ndarray  # (time, features) transformed
    units: Units


@keras.saving.register_keras_serializable(package="kerazoo")
class StatefulLSTMForecaster(keras.Model):
    """Forecasts time series with an LSTM whose state follows each series from end to end.

    `h[t], c[t] = LSTM(z[t], h[t - 1], c[t - 1]);  z'[t + 1] = W h[t] + b`

    where `z` is the series in the network's units (see `transform`, `seasonal_difference` and
    `scaling`). Training is truncated backpropagation through time: each row of a batch reads its
    series chunk by chunk and carries its state from one chunk to the next, so that the state
    remembers the whole series while gradients reach back `bptt_steps`. Against
    `LSTM(stateful=True)`: series may differ in number and length, states begin anew exactly where
    a series begins, validation leaves the training state alone, and `forecast`, `predict` and
    `evaluate` take any number of series and change no state.

    Use it where one network should learn from long or from many series. For a single short
    series a `LinearAutoregression` is often as good: `backtest` prints it beside.

    Args:
        units: Tuple of positive integers (or one integer), the LSTM layers' widths.
        num_features: Positive integer, the values a series has at each step.
        num_covariates: Only 0: covariates are not available yet.
        initial_state: "zeros", "learned" (trained with the weights) or "noisy" (zeros, with
            noise added in training). See `kerazoo.layers.InitialState`.
        distribution: Only "point": one value a step and feature.
        quantiles: Only None: it belongs to a distribution that is not available yet.
        dropout: Float in [0, 1), the share of each LSTM layer's outputs dropped in training.
        scaling: "series" scales each series by its own mean and standard deviation, at forecast
            time the context's; "global" by those of all training series, learned in the first
            `fit` and saved; None not at all.
        transform: None, "log", "log1p" or "sqrt", applied before differencing and scaling, and
            undone in whatever comes out.
        seasonal_difference: Whole number of steps `m`; the network then sees
            `f(y[t]) - f(y[t - m])`. 0 takes no difference.
        **kwargs: `name`, `dtype` and the other arguments of `keras.Model`.

    A series is an array `(time,)` or `(time, num_features)` of any real dtype; several go in a
    list and may differ in length. NaN marks a missing value: its target has no weight, and the
    last value observed before it is fed in. Every series needs at least two observed values in
    each feature. Forecasts are float64 NumPy arrays in the series' own units; losses and metrics
    are in the network's.

    `forecast`, `predict`, `warm_up` and `backtest` need a model that was fitted, or whose weights
    were loaded or set: with the weights that it drew at the beginning they raise an error.
    `evaluate` gives the loss of those too.

    Called on a tensor `(batch, time, num_features)` in the network's units, the model returns its
    one-step predictions of the same shape, from the initial state on.

    Raises:
        ValueError: an argument is not as described here, or the model was never fitted.

    Example:

    >>> keras.utils.set_random_seed(0)
    >>> tide = np.sin(np.arange(120) * np.pi / 6)
    >>> model = kerazoo.models.StatefulLSTMForecaster(units=(8,))
    >>> model.compile("adam")
    >>> history = model.fit(tide, epochs=2, verbose=0)
    >>> model.forecast(12, context=tide).shape
    (12, 1)
    >>> [one.shape for one in model.forecast(3, context=[tide, tide[:50]])]
    [(3, 1), (3, 1)]

    References:
        Hochreiter and Schmidhuber, 1997, Long Short-Term Memory
        Williams and Peng, 1990, An Efficient Gradient-Based Algorithm for On-Line Training of
        Recurrent Network Trajectories (truncated backpropagation through time)
    """

    def __init__(
        self,
        units=(64,),
        num_features=1,
        num_covariates=0,
        initial_state="zeros",
        distribution="point",
        quantiles=None,
        dropout=0.0,
        scaling="series",
        transform=None,
        seasonal_difference=0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if integer_or_none(num_covariates) != 0:
            raise wrong("num_covariates", "0: covariates are not available yet", num_covariates)
        _only_none("quantiles", quantiles, _NO_DISTRIBUTION)
        self.units = integers("units", units, minimum=1)
        self.num_features = positive_integer("num_features", num_features)
        self.num_covariates = 0
        self.initial_state = choice("initial_state", initial_state, ("zeros", "learned", "noisy"))
        self.distribution = choice("distribution", distribution, ("point",))
        self.quantiles = None
        self.dropout = number("dropout", dropout, minimum=0, below=1)
        self.scaling = choice("scaling", scaling, ("series", "global"), also=(None,))
        self.transform = choice("transform", transform, TRANSFORM_NAMES, also=(None,))
        self.seasonal_difference = integer("seasonal_difference", seasonal_difference, minimum=0)

        self.network = RecurrentNetwork(
            self.units,
            self.num_features,
            self.initial_state,
            self.dropout,
            dtype=self.dtype_policy,
            name="network",
        )
        self._scaler = Scaling(self.transform, self.seasonal_difference)
        self._largest_input = _LARGEST.get(self.compute_dtype, _LARGEST["float32"])
        self._fit_arguments = None
        self.build((None, None, self.num_features))
        self._carried = CarriedState(self.network.state_widths, self.compute_dtype)
        self._compiled = CompiledNetwork(self.network, self.num_features)
        # Of the weights as they were drawn, None once they are known to be others.
        self._first_weights = self._fingerprint()

    def build(self, input_shape):
        self.network.build(input_shape)
        if self.scaling == "global":
            # A scale of zero says that none was learned yet.
            arguments = {"dtype": "float64", "trainable": False}
            shape = (self.num_features,)
            self.location = self.add_weight(shape, "zeros", name="location", **arguments)
            self.scale = self.add_weight(shape, "zeros", name="scale", **arguments)
        self.built = True

    def compile(self, optimizer="adam", loss=None, metrics=None, weighted_metrics=None, **kwargs):
        """Sets optimizer, loss and metrics, as `keras.Model.compile` does.

        Args:
            optimizer: A Keras optimizer or its name. Default "adam".
            loss: A Keras loss, its name or a function. It is taken value by value: it sees tensors
                `(rows, steps, features, 1)` and returns them without the last axis. Keep a Keras
                loss's own reduction: others weigh by chunk, and so depend on `bptt_steps`. None:
                the distribution's own, for "point" the mean squared error.
            metrics: Keras metric or list of them. Missing values and padding do not count.
            weighted_metrics: The same.
            **kwargs: The other arguments of `keras.Model.compile`.
        """
        optimizer = keras_object("optimizer", optimizer)
        loss = "mse" if loss is None else checked_losses(loss)
        metrics = [*_as_list(metrics), *_as_list(weighted_metrics)] or None
        super().compile(optimizer=optimizer, loss=loss, weighted_metrics=metrics, **kwargs)

        def compile_alike(model, optimizer):
            model.compile(optimizer, loss, metrics, **kwargs)

        # Through a config, a loss that is a plain function would have to be registered.
        self.compile_alike = compile_alike

    def compile_from_config(self, config):
        config = keras.saving.deserialize_keras_object(config)
        self.compile(**{name: value for name, value in config.items() if name != "metrics"})
        self.optimizer.build(self.trainable_variables)

    def fit(
        self,
        series=None,
        batch_size=None,
        bptt_steps=48,
        epochs=1,
        covariates=None,
        validation_data=None,
        callbacks=None,
        shuffle=False,
        verbose="auto",
        initial_epoch=0,
        validation_freq=1,
        **kwargs,
    ):
        """Trains on series by truncated backpropagation through time.

        Every observed value counts the same in the loss, whatever the padding. A second `fit`
        goes on from the weights of the first (and keeps its global scale).

        Args:
            series: One series or a list of them.
            batch_size: Positive integer, the rows trained side by side (see `pack_series`).
                None: one row a series, at most 32.
            bptt_steps: Positive integer, the steps that gradients reach back.
            epochs: Integer, passes over all series.
            covariates: Only None.
            validation_data: Like `series` (so a tuple of two is two series, not inputs and
                targets); evaluated after each epoch from its own initial state.
            callbacks: List of Keras callbacks.
            shuffle: Only False: chunks follow one another in time.
            verbose: "auto", 0, 1 or 2, Keras's progress bar.
            initial_epoch: Integer, the epoch to begin with.
            validation_freq: Integer, validate every so many epochs.

        Returns:
            Keras's `History`.

        Raises:
            ValueError, TypeError: an argument is not as described, or one of other Keras models,
                such as `y` or `validation_split`; no weight has changed then.
        """
        _refuse("fit", kwargs)
        if hasattr(batch_size, "__array__") and np.ndim(batch_size):
            raise wrong(
                "batch_size",
                f"a positive integer, or None: {_OTHER_ARGUMENTS['y']}",
                batch_size,
            )
        if boolean("shuffle", shuffle):
            raise ValueError(
                "`shuffle` must be False: chunks follow one another in time, and the state of "
                f"one begins the next. Received: shuffle={shuffle!r}"
            )
        _only_none("covariates", covariates, _NO_COVARIATES)
        epochs = positive_integer("epochs", epochs)
        arguments = checked(
            batch_size=batch_size,
            bptt_steps=bptt_steps,
            callbacks=callbacks,
            verbose=verbose,
            initial_epoch=initial_epoch,
            validation_freq=validation_freq,
        )
        batch_size, bptt_steps = arguments.pop("batch_size"), arguments.pop("bptt_steps")
        if not self.compiled:
            raise ValueError(
                "`fit` needs an optimizer and a loss: call `compile` first. "
                "Received: a model that was not compiled"
            )
        arrays, _ = read_series(series, self.num_features, "series")
        learned = self._learn_scale(arrays)
        data = self._chunks(arrays, batch_size, bptt_steps, learned)
        if validation_data is not None:
            held_out, _ = read_series(validation_data, self.num_features, "validation_data")
            validation_data = self._chunks(held_out, None, _EVALUATION_STEPS, learned)
        if learned is not None:
            self.location.assign(learned.location)
            self.scale.assign(learned.scale)
        self._carried.begin(True, _rows(data))
        history = super().fit(
            data,
            epochs=epochs,
            validation_data=validation_data,
            shuffle=False,
            **arguments,
        )
        self._first_weights = None
        self._fit_arguments = {
            "batch_size": batch_size,
            "bptt_steps": bptt_steps,
            "epochs": epochs,
        }
        return history

    def evaluate(
        self,
        series=None,
        covariates=None,
        batch_size=None,
        verbose="auto",
        callbacks=None,
        return_dict=False,
        **kwargs,
    ):
        """Loss and metrics of one-step predictions, each series from the initial state on.

        Args:
            series: One series or a list of them.
            covariates: Only None.
            batch_size: Positive integer, the rows run side by side; it changes the speed, and
                the result only where there are more rows than series. None as in `fit`.
            verbose: "auto", 0, 1 or 2.
            callbacks: List of Keras callbacks.
            return_dict: Whether to return a dict by name instead of a list.
            **kwargs: How Keras's own `fit` hands over its validation data.

        Returns:
            The loss, or a list or dict of loss and metrics. No state changes.
        """
        _only_none("covariates", covariates, _NO_COVARIATES)
        arguments = checked(
            batch_size=batch_size, verbose=verbose, callbacks=callbacks, return_dict=return_dict
        )
        batch_size = arguments.pop("batch_size")
        if not isinstance(kwargs.get("x"), tf.data.Dataset):
            _refuse("evaluate", {name: value for name, value in kwargs.items() if name != "x"})
            arrays, _ = read_series(kwargs.get("x", series), self.num_features, "series")
            kwargs["x"] = self._chunks(arrays, batch_size, _EVALUATION_STEPS)
        self._carried.begin(False, _rows(kwargs["x"]))
        return super().evaluate(**arguments, **kwargs)

    def predict(self, series, covariates=None, verbose="auto", **kwargs):
        """One-step-ahead predictions, aligned with the series.

        Row `t` is the prediction of `series[t]` from all that came before it; the first
        `1 + seasonal_difference` rows have no prediction and are NaN, and so are rows of a season
        in which nothing was observed before. With scaling="series" the scale is that of the whole
        series.

        Args:
            series: One series or a list of them.
            covariates: Only None.
            verbose: As in Keras; there is no progress to show.

        Returns:
            Array `(time, features)` in the series' units, or a list of them. No state changes.

        Raises:
            ValueError: the model was never fitted, or an argument is not as described.
        """
        _refuse("predict", kwargs)
        checked(verbose=verbose)
        _only_none("covariates", covariates, _NO_COVARIATES)
        self._check_fitted("predict")
        scaled, single = self._read_scaled(series, "series")
        found = []
        for group in _groups(scaled):
            predictions = self._compiled.one_step([forward_fill(one.z)[:-1] for one in group])
            for one, z in zip(group, predictions, strict=True):
                steps = self._scaler.undo_one_step(_finite(z), one.y, one.units)
                unknown = np.full((len(one.y) - len(steps), self.num_features), np.nan)
                found.append(np.concatenate([unknown, steps]))
        return found[0] if single else found

    def forecast(
        self, horizon, context, covariates=None, num_samples=None, quantiles=None, seed=None
    ):
        """Forecasts the steps that follow on each context.

        The state is warmed up on the context from the initial state on; then each prediction is
        the next input. Both happen in one compiled graph. After `compile(jit_compile=True)` XLA
        (on a GPU Keras takes it by itself) makes it faster, at the price of a second or more for
        the first call with a new number of series, length of context, or horizon (each rounded up
        to a power of two).

        Args:
            horizon: Positive integer, the steps to forecast.
            context: One series or a list of them: what is known until now.
            covariates: Only None.
            num_samples: Only None: a point forecast has no samples.
            quantiles: Only None: a point forecast has no quantiles.
            seed: Ignored: a point forecast draws nothing.

        Returns:
            Array `(horizon, features)` in the series' units, or a list of them. No state changes.

        Raises:
            ValueError: the model was never fitted, or an argument is not as described. Weights
                that were loaded or set count as fitted.
        """
        horizon = positive_integer("horizon", horizon)
        _only_none("covariates", covariates, _NO_COVARIATES)
        _only_none("num_samples", num_samples, _NO_DISTRIBUTION)
        _only_none("quantiles", quantiles, _NO_DISTRIBUTION)
        integer("seed", seed, also=(None,))
        self._check_fitted("forecast")
        scaled, single = self._read_scaled(context, "context")
        by_xla = self.compiled and self.jit_compile
        found = []
        for group in _groups(scaled):
            inputs = [forward_fill(one.z) for one in group]
            predictions = self._compiled.forecast(inputs, horizon, by_xla)
            for one, z in zip(group, predictions, strict=True):
                history = self._scaler.history(one.y)
                found.append(self._scaler.undo_forecast(_finite(z), history, one.units))
        return found[0] if single else found

    def warm_up(self, context):
        """The state after a context, for `step`.

        Args:
            context: One series or a list of them.

        Returns:
            A `ForecasterState`; its `prediction` is the forecast of the next step. With
            scaling="series" it keeps the context's scale from here on.
        """
        self._check_fitted("warm_up")
        scaled, single = self._read_scaled(context, "context")
        inputs = [forward_fill(one.z) for one in scaled]
        z, recurrent = self._compiled.warm_up(inputs)
        units = Units(*map(np.stack, zip(*(one.units for one in scaled), strict=True)))
        last = np.stack([one[-1] for one in inputs])
        observed = np.stack([one.y[len(one.y) - self.seasonal_difference :] for one in scaled])
        history = np.stack([self._scaler.history(one.y) for one in scaled])
        prediction = self._undo_next(z, history, units)
        return ForecasterState(tuple(recurrent), last, observed, history, units, prediction, single)

    def step(self, x, state):
        """Takes in one new observation and predicts the next, in the series' units.

        Args:
            x: The observation: `(features,)` or a number for one series, `(series, features)` or
                `(series,)` for several. NaN where missing: the last observed one is fed in.
            state: A `ForecasterState` from `warm_up` or `step`; it is not changed.

        Returns:
            The prediction of the next observation, `(features,)` or `(series, features)`, and the
            state after `x`.
        """
        if not isinstance(state, ForecasterState):
            raise wrong("state", "what `warm_up` or `step` returned", state)
        y = self._scaler.check_and_transform(self._read_step(x, len(state.last)), "x")
        observed, history = state.observed, state.history
        difference = y
        if self.seasonal_difference:
            difference = y - observed[:, 0]
            known = np.where(np.isnan(y), history[:, 0], y)
            observed = np.concatenate([observed[:, 1:], y[:, None]], axis=1)
            history = np.concatenate([history[:, 1:], known[:, None]], axis=1)
        z = (difference - state.units.location) / state.units.scale
        self._check_range(z, "x")
        last = np.where(np.isnan(z), state.last, z)
        z, recurrent = self._compiled.step(last, list(state.recurrent))
        prediction = self._undo_next(z, history, state.units)
        after = ForecasterState(
            tuple(recurrent), last, observed, history, state.units, prediction, state.single
        )
        return (prediction[0] if state.single else prediction), after

    def backtest(
        self, series, horizon, start, stride=1, refit=False, season_length=1, verbose="auto"
    ):
        """Forecasts from many origins of a known series, and says how far off it was.

        Args:
            series: One series, `(time,)` or `(time, features)`.
            horizon: Positive integer, the steps to forecast from each origin.
            start: Positive integer, the first origin: how many observations are known there.
            stride: Positive integer, the steps from one origin to the next. The last origin is
                the last one after which `horizon` steps are known.
            refit: False forecasts with the weights as they are. True trains anew at each origin
                on what precedes it, from freshly drawn weights, with the `epochs`, `bptt_steps`
                and `batch_size` of the last `fit`; a dict gives the arguments of `fit` instead,
                for example `{"epochs": 100, "bptt_steps": 24}`. This model's weights stay.
            season_length: Positive integer, the season of MASE and of the seasonal naive
                forecast printed beside.
            verbose: "auto", 0, 1 or 2, the progress bar over the origins.

        Returns:
            A `Backtest` with `.table()`, `.plot(path)` and `.forecasts`.

        Raises:
            ValueError: an argument is not as described; without `refit`, the model was never
                fitted.
        """
        if isinstance(refit, dict):
            if not set(refit) <= set(_FIT_ARGUMENTS):
                wanted = f"True, False or a dictionary of arguments of `fit`: {_FIT_ARGUMENTS}"
                raise wrong("refit", wanted, refit)
            fit_arguments = refit
        elif not boolean("refit", refit):
            fit_arguments = None
            self._check_fitted("backtest")
        elif self._fit_arguments is None:
            raise ValueError(
                "`refit=True` repeats the arguments of the last `fit`, and this model has had "
                "none: call `fit` first, or pass them, e.g. refit={'epochs': 100}. "
                "Received: refit=True"
            )
        else:
            fit_arguments = self._fit_arguments
        return roll_origin(
            self,
            series,
            horizon,
            start,
            stride=stride,
            fit_arguments=fit_arguments,
            season_length=season_length,
            verbose=verbose,
        )

    def call(self, inputs, training=None):
        chunk = inputs if isinstance(inputs, dict) else {"x": inputs}
        states = self.network.initial_states(chunk["x"], training=training)
        if "reset" in chunk:
            states = self._carried.read(bool(training), chunk["reset"], states)
        predictions, states = self.network(chunk["x"], states, training=training)
        if "reset" in chunk:
            self._carried.write(bool(training), states)
        return predictions

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        # A last axis of one makes any Keras loss work value by value, so that each value can
        # have a weight of its own.
        return super().compute_loss(
            x, y[..., None], y_pred[..., None], sample_weight, training=training
        )

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        return super().compute_metrics(x, y[..., None], y_pred[..., None], sample_weight)

    def get_config(self):
        return {
            **super().get_config(),
            "units": list(self.units),
            "num_features": self.num_features,
            "num_covariates": self.num_covariates,
            "initial_state": self.initial_state,
            "distribution": self.distribution,
            "quantiles": self.quantiles,
            "dropout": self.dropout,
            "scaling": self.scaling,
            "transform": self.transform,
            "seasonal_difference": self.seasonal_difference,
        }

    # Between a series and the network

    def _units(self, differences, learned=None):
        if self.scaling == "series":
            return units_of([differences])
        if self.scaling is None:
            return Units(np.zeros(self.num_features), np.ones(self.num_features))
        if learned is not None:
            return learned
        if self._scale_is_unknown():
            raise ValueError(
                'With scaling="global" the scale is learned in `fit`: call it first. '
                "Received: a model whose scale is unknown"
            )
        return Units(self.location.numpy(), self.scale.numpy())

    def _learn_scale(self, arrays):
        """The global scale, if this model has one and it is still unknown."""
        if self.scaling != "global" or not self._scale_is_unknown():
            return None
        return units_of([self._scaler.difference(a, name)[1] for name, a in arrays.items()])

    def _scale_is_unknown(self):
        return not np.any(self.scale.numpy())

    def _scale(self, array, name, learned=None):
        y, differences = self._scaler.difference(array, name)
        units = self._units(differences, learned)
        z = (differences - units.location) / units.scale
        self._check_range(z, name)
        return _Scaled(z, y, units)

    def _fingerprint(self):
        weights = self.network.trainable_variables
        return hash(b"".join(ops.convert_to_numpy(weight).tobytes() for weight in weights))

    def _check_fitted(self, method):
        """Weights that are still the ones drawn at the beginning forecast nothing."""
        if self._first_weights is not None and self._first_weights == self._fingerprint():
            raise ValueError(
                f"`{method}` needs a fitted model: call `fit` first, or load the weights of one. "
                "Received: a model whose weights are still the random ones it began with"
            )
        self._first_weights = None

    def _check_range(self, z, name):
        largest = np.nanmax(np.abs(z), initial=0.0)
        if largest > self._largest_input:
            raise ValueError(
                f"`{name}` must stay within {self._largest_input:.3g} after scaling, for the sake "
                f"of {self.compute_dtype}. Received: a value of {largest:.3g} with "
                f"scaling={self.scaling!r}"
            )

    def _read_step(self, x, series):
        """One observation of each series as `(series, features)`."""
        expected = (series, self.num_features)
        shapes = [expected]
        if series == 1:
            shapes.append((self.num_features,))
        if self.num_features == 1:
            shapes.append((series,))
        if expected == (1, 1):
            shapes.append(())
        wanted = (
            f"a finite number, or NaN where it is missing, for each of {series} series and "
            f"{self.num_features} features, as an array {expected}"
        )
        try:
            array = np.asarray(x)
        except ValueError as error:
            raise wrong("x", wanted, x) from error
        if array.dtype.kind not in "iuf" or array.shape not in shapes or np.isinf(array).any():
            raise wrong("x", wanted, x)
        return array.astype("float64").reshape(expected)

    def _read_scaled(self, series, name):
        arrays, single = read_series(series, self.num_features, name)
        return [self._scale(array, name) for name, array in arrays.items()], single

    def _chunks(self, arrays, batch_size, bptt_steps, learned=None):
        """A dataset of chunks, `({"x", "reset"}, y, weight)`, each a batch of its own."""
        scaled = [self._scale(array, name, learned).z for name, array in arrays.items()]
        rows = min(len(scaled), _MOST_ROWS) if batch_size is None else batch_size
        # No chunk needs to be longer than the longest series.
        steps = min(bptt_steps, max(len(z) for z in scaled) - 1)
        packed = pack_series(scaled, rows, steps)
        # Keras averages over all entries of a chunk and then over chunks. With weights whose mean
        # is one, that is the average over all observed values.
        weight = packed.weight / packed.weight.mean(dtype="float64")
        return tf.data.Dataset.from_tensor_slices(
            (
                {"x": packed.x, "reset": packed.reset},
                packed.y,
                weight.astype(packed.weight.dtype),
            )
        )

    def _undo_next(self, z, history, units):
        """Predictions of the next step, `(series, features)`, in the series' units."""
        per_series = zip(_finite(z), history, *units, strict=True)
        return np.concatenate(
            [
                self._scaler.undo_forecast(one[None], past, Units(*unit))
                for one, past, *unit in per_series
            ]
        )


def _finite(predictions):
    """Predictions unchanged, or an error: NaN must not pass for a forecast."""
    if not np.isfinite(predictions).all():
        raise ValueError(
            "The model's predictions are not finite. Its weights have diverged: train again with a "
            "smaller learning rate or with `clipnorm`."
        )
    return predictions


def _rows(chunks):
    return chunks.element_spec[0]["reset"].shape[0]


def _groups(scaled):
    """Runs of series that fit into one compiled call."""
    group, longest = [], 0
    for one in scaled:
        longest = max(longest, len(one.z))
        full = len(group) == _MOST_SERIES or (len(group) + 1) * longest > _MOST_STEPS
        if group and full:
            yield group
            group, longest = [], len(one.z)
        group.append(one)
    yield group


def _as_list(value):
    if value is None:
        return []
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _refuse(method, kwargs):
    """Says of an argument that other Keras models take what to pass here instead."""
    for name, value in kwargs.items():
        advice = _OTHER_ARGUMENTS.get(name, f"see the arguments of `{method}`")
        raise TypeError(
            f"`{name}` is no argument of a forecaster's `{method}`: {advice}. "
            f"Received: {name}={in_words(value)}"
        )


def _only_none(name, value, reason):
    if value is not None:
        raise ValueError(f"`{name}` must be None: {reason}. Received: {name}={in_words(value)}")
