import keras
import numpy as np
import tensorflow as tf

from ..._arguments import boolean, choice, integer, integers, number, positive_integer, wrong
from .._fit_arguments import checked
from ._carried_state import CarriedState
from ._fit_record import FitRecord
from ._reader import Reader
from ._series_model import NO_TARGETS, SeriesModel, refuse
from ._series_set import read_series
from .codec import SCALING_NAMES, make_codec
from .forecaster_state import ForecasterState
from .recurrent_network import CELL_NAMES, RecurrentNetwork
from .transforms import TRANSFORM_NAMES


@keras.saving.register_keras_serializable(package="kerazoo")
class StatefulLSTMForecaster(SeriesModel):
    """Forecasts time series with an LSTM whose state follows each series from end to end.

    `h[t], c[t] = LSTM(inputs[t], h[t - 1], c[t - 1])`
    `prediction[t + 1] = anchor[t] + scale[t] * (W h[t] + b)`

    where `anchor` is a naive forecast and `scale` the mean error of such forecasts, both of the
    last one or two seasons, and `inputs` are the last values relative to their level, in units of
    that scale. So nothing looks ahead: no number that the network sees, or is compared with,
    depends on a later value. A constant series forecasts itself, and `forecast(k * y + c)` is
    `k * forecast(y) + c` for `k > 0`. Outliers far beyond the recent values are moved towards them
    before the network sees them.

    Training is truncated backpropagation through time: each row of a batch reads its series chunk
    by chunk and carries its state from one chunk to the next, so that the state remembers the
    whole series while gradients reach back `bptt_steps`. Against `LSTM(stateful=True)`: series may
    differ in number and length, the state is reset where a series begins, validation leaves the
    training state alone, and `forecast`, `predict` and `evaluate` change no state.

    Use it where one network should learn from long or from many series. For a single short series
    a `LinearAutoregression` is often as good: `backtest` prints it beside.

    Args:
        units: Tuple of positive integers (or one integer), the recurrent layers' widths.
        num_features: Positive integer, the values a series has at each step.
        initial_state: "zeros", "learned" (trained with the weights) or "noisy" (zeros, with
            noise added in training). See `kerazoo.layers.InitialState`.
        dropout: Float in [0, 1), the share of each layer's outputs dropped in training.
        scaling: "running" as above. The others use one mean and standard deviation, and no
            anchor: "global" those of all training series, learned in the first `fit` and saved;
            None 0 and 1; "whole_series" those of each whole series, later values included (it is
            there for old files: do not train with it).
        transform: None, "log", "log1p" or "sqrt", applied before all else, and undone in whatever
            comes out. See `bias_adjustment`.
        seasonal_difference: Integer `m`, the steps in a season, such as 12 for months. The anchor
            is then the value one season back, moved by the change of level since. 0: no season.
        cell: "lstm" or "gru", the recurrent layers' cell.
        bias_adjustment: Whether undoing the transform gives the mean, from the variance of the
            errors measured at the end of `fit`, rather than the median. After a logarithm the mean
            is at most three times the median.
        **kwargs: `name`, `dtype` and the other arguments of `keras.Model`.

    A series is an array `(time,)` or `(time, num_features)` of real numbers, or a pandas Series or
    DataFrame; NaN marks a missing value. Several go in a list or a dict, as the columns of a frame
    (with `num_features=1`), or in a long frame with the columns `unique_id`, `ds` and `y`, and may
    differ in length. Dates must be sorted and regular; where rows are missing, values are. Results
    come as what was passed: arrays as float64 arrays, pandas as pandas with the dates that follow.

    Called on a tensor `(batch, time, inputs)` of what the codec makes of a series, the model
    returns the network's output `(batch, time, num_features)`, from the initial state on.

    Raises:
        ValueError: an argument is not as described, or the model was never fitted. Weights that
            were loaded or set count as fitted.

    Example:

    >>> keras.utils.set_random_seed(0)
    >>> tide = np.sin(np.arange(120) * np.pi / 6)
    >>> model = kerazoo.models.StatefulLSTMForecaster(units=(8,), seasonal_difference=12)
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
        Smyl, 2020, A hybrid method of exponential smoothing and recurrent neural networks for time
        series forecasting (level and season inside the network)
    """

    def __init__(
        self,
        units=(64,),
        num_features=1,
        initial_state="zeros",
        dropout=0.0,
        scaling="running",
        transform=None,
        seasonal_difference=0,
        cell="lstm",
        bias_adjustment=True,
        **kwargs,
    ):
        super().__init__(**kwargs)
        # The codec's float64 is cast where the network takes it.
        self.autocast = False
        self.units = integers("units", units, minimum=1)
        self.num_features = positive_integer("num_features", num_features)
        self.initial_state = choice("initial_state", initial_state, ("zeros", "learned", "noisy"))
        self.dropout = number("dropout", dropout, minimum=0, below=1)
        self.scaling = choice("scaling", scaling, SCALING_NAMES, also=(None,))
        self.transform = choice("transform", transform, TRANSFORM_NAMES, also=(None,))
        self.seasonal_difference = integer("seasonal_difference", seasonal_difference, minimum=0)
        self.cell = choice("cell", cell, CELL_NAMES)
        self.bias_adjustment = boolean("bias_adjustment", bias_adjustment)

        self.codec = make_codec(
            self.scaling, self.transform, self.seasonal_difference, self.num_features
        )
        self.network = RecurrentNetwork(
            self.cell,
            self.units,
            self.num_features,
            self.initial_state,
            self.dropout,
            # A network that begins with the naive forecast has nothing to unlearn.
            head_initializer="zeros" if self.scaling == "running" else "glorot_uniform",
            dtype=self.dtype_policy,
            name="network",
        )
        self.build((None, None, self.codec.num_inputs))
        self._carried = CarriedState(self.network.state_widths, self.compute_dtype)
        self._record = FitRecord(self.network.trainable_variables)
        self._reader = Reader(self.codec, self.network, self._record, self._global_units)

    def build(self, input_shape):
        self.network.build(input_shape)
        if self.scaling == "global":
            # A scale of zero says that none was learned yet.
            arguments = {"dtype": "float64", "trainable": False}
            shape = (self.num_features,)
            self.location = self.add_weight(shape, "zeros", name="location", **arguments)
            self.scale = self.add_weight(shape, "zeros", name="scale", **arguments)
        self.built = True

    def fit(
        self,
        series=None,
        batch_size=None,
        bptt_steps=48,
        epochs=1,
        validation_data=None,
        callbacks=None,
        shuffle=True,
        verbose="auto",
        initial_epoch=0,
        validation_freq=1,
        validation_horizon=None,
        **kwargs,
    ):
        """Trains on series by truncated backpropagation through time.

        Every series has the same weight in the loss, in units of its own naive error, and within a
        series every observed value has. A second `fit` goes on from the weights of the first (and
        keeps its global scale).

        Args:
            series: One or several series.
            batch_size: Positive integer, the rows trained side by side. With more rows than series
                the longest are cut into segments, each beginning from the initial state. None: one
                row a series, at most 256; few long series are cut into as many rows as leave each
                some 20 chunks, at most 32.
            bptt_steps: Positive integer, the steps that gradients reach back.
            epochs: Integer, passes over all series.
            validation_data: Series of their own, like `series` (so a tuple of two is two series,
                not inputs and targets), evaluated after each epoch from the initial state on.
            callbacks: List of Keras callbacks.
            shuffle: Whether each epoch takes the series in another order. A row keeps its series
                to the end all the same, and its chunks follow one another in time.
            verbose: "auto", 0, 1 or 2, Keras's progress bar.
            initial_epoch: Integer, the epoch to begin with.
            validation_freq: Integer, validate every so many epochs.
            validation_horizon: Positive integer: only the last so many values of each validation
                series count, and what precedes them is read as their past. Without
                `validation_data` these last values are held out of `series`.

        Returns:
            Keras's `History`.

        Raises:
            ValueError, TypeError: an argument is not as described, or one of other Keras models,
                such as `y` or `validation_split`; no weight has changed then.
        """
        refuse("fit", kwargs)
        for name, value in (("batch_size", batch_size), ("bptt_steps", bptt_steps)):
            if hasattr(value, "__array__") and np.ndim(value):
                raise wrong(name, f"a positive integer: {NO_TARGETS}", value)
        arguments = checked(
            epochs=positive_integer("epochs", epochs),
            callbacks=callbacks,
            verbose=verbose,
            initial_epoch=initial_epoch,
            validation_freq=validation_freq,
        )
        laid_out = checked(batch_size=batch_size, bptt_steps=bptt_steps, shuffle=shuffle)
        last = positive_integer("validation_horizon", validation_horizon, also=(None,))
        if not self.compiled:
            raise ValueError(
                "`fit` needs an optimizer and a loss: call `compile` first. "
                "Received: a model that was not compiled"
            )
        found = self._read_series(series, "series")
        held_out = None
        if validation_data is not None:
            name = "validation_data"
            held_out = read_series(validation_data, self.num_features, name, found.columns)
        return self._train(found, held_out, last, laid_out, arguments)

    def evaluate(
        self,
        series=None,
        batch_size=None,
        verbose="auto",
        callbacks=None,
        return_dict=False,
        validation_horizon=None,
        **kwargs,
    ):
        """Loss and metrics of one-step predictions, each series from the initial state on.

        Args:
            series: One or several series.
            batch_size: Positive integer, the rows run side by side; it changes the speed, and
                the result only where there are more rows than series.
            verbose: "auto", 0, 1 or 2.
            callbacks: List of Keras callbacks.
            return_dict: Whether to return a dict by name instead of a list.
            validation_horizon: Positive integer, as in `fit`: only the last so many values of each
                series count. None: all do.
            **kwargs: How Keras's own `fit` hands over its validation data.

        Returns:
            The loss, or a list or dict of loss and metrics: the mean over the series of each one's
            mean over its observed values. No state changes.
        """
        arguments = checked(verbose=verbose, callbacks=callbacks, return_dict=return_dict)
        rows = checked(batch_size=batch_size)["batch_size"]
        last = positive_integer("validation_horizon", validation_horizon, also=(None,))
        if not isinstance(kwargs.get("x"), tf.data.Dataset):
            refuse("evaluate", {name: value for name, value in kwargs.items() if name != "x"})
            found = self._read_series(kwargs.get("x", series), "series")
            chunks = self._evaluation_chunks(found, "series", last, rows)
            data, steps = self._as_data(chunks)
            kwargs = {"x": data, "steps": steps}
        self._carried.begin(False, kwargs["x"].element_spec[0]["reset"].shape[0])
        return super().evaluate(**arguments, **kwargs)

    def predict(self, series, batch_size=None, verbose="auto", **kwargs):
        """One-step-ahead predictions, aligned with the series.

        Row `t` is the prediction of `series[t]` from all that came before it, and NaN where nothing
        was observed before (with "global", "whole_series" or no scaling, in the first season too).

        Args:
            series: One or several series.
            batch_size: Ignored: it changes nothing.
            verbose: As in Keras; there is no progress to show.

        Returns:
            What was passed, holding predictions. No state changes.
        """
        refuse("predict", kwargs)
        checked(batch_size=batch_size, verbose=verbose)
        self._check_fitted("predict")
        found = self._read_series(series, "series")
        return found.aligned(self._reader.predict(found))

    def forecast(self, horizon, context):
        """Forecasts the steps that follow on each context.

        The state is warmed up on the context from the initial state on; then each prediction is
        the next input, all steps in one compiled graph.

        Args:
            horizon: Positive integer, the steps to forecast.
            context: One or several series, what is known until now; or a `ForecasterState`, which
                gives arrays.

        Returns:
            Array `(horizon, features)` in the series' units, a list of them, or pandas objects with
            the dates that follow. No state changes.
        """
        horizon = positive_integer("horizon", horizon)
        self._check_fitted("forecast")
        jit = self.compiled and self.jit_compile
        if isinstance(context, ForecasterState):
            found = self._reader.forecast_from(self._reader.resume(context), horizon, jit)
            return found[0] if context.single else list(found)
        found = self._read_series(context, "context")
        return found.future(self._reader.forecast(found, horizon, jit))

    def warm_up(self, context, state=None):
        """The state after a context, for `step` and `forecast`.

        Args:
            context: One or several series.
            state: A `ForecasterState` that `context` follows on; what it has seen is not read
                again. None: the series begin with `context`.

        Returns:
            A `ForecasterState`; its `prediction` is the forecast of the next step.
        """
        self._check_fitted("warm_up")
        return self._reader.warm_up(self._read_series(context, "context"), state)

    def step(self, x, state):
        """Takes in one new observation and predicts the next, in the series' units.

        Args:
            x: The observation: `(features,)` or a number for one series, `(series, features)` or
                `(series,)` for several. NaN where missing.
            state: A `ForecasterState` from `warm_up` or `step`; it is not changed.

        Returns:
            The prediction of the next observation, `(features,)` or `(series, features)`, and the
            state after `x`.
        """
        state = self._reader.step(x, state)
        return (state.prediction[0] if state.single else state.prediction), state

    def get_config(self):
        return {
            **super().get_config(),
            "units": list(self.units),
            "num_features": self.num_features,
            "initial_state": self.initial_state,
            "dropout": self.dropout,
            "scaling": self.scaling,
            "transform": self.transform,
            "seasonal_difference": self.seasonal_difference,
            "cell": self.cell,
            "bias_adjustment": self.bias_adjustment,
        }
