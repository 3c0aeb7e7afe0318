import contextlib
import warnings
from functools import partial

import keras
import tensorflow as tf

from ..._arguments import boolean, built_model, one_dtype
from ..._keras_objects import keras_object
from ...optimizers import LevenbergMarquardt
from ...optimizers.levenberg_marquardt.objective import ObjectiveMaker
from .._fit_arguments import checked, checked_loss_weights, checked_losses
from .batches import hold_out, one_batch, only_batch, repeated, row_count, with_batch_size
from .data_checks import (
    are_arrays,
    by_output,
    check_arrays,
    check_classes,
    check_count,
    check_given,
    check_lengths,
    check_target,
    check_weights,
    failures_of_data_named,
    with_classes_checked,
    with_shape_of,
    with_weights_checked,
)
from .fit_many import fit_many
from .fit_watch import FitWatch
from .network_checks import (
    build_all,
    check_examples_are_apart,
    check_precision,
    layers_that_training_changes,
)
from .step_report import packed, with_progress_line
from .strategy_scope import check_metrics, failures_of_workers_named, outside_scope
from .train_function import TrainFunction, check_operations, obstacle_to_compiling
from .uncertainty import Uncertainty


@keras.saving.register_keras_serializable(package="kerazoo")
class LeastSquares(keras.Model):
    """Trains any built Keras model with Levenberg-Marquardt, through Keras's own `fit`.

    Wraps a Sequential, functional or subclassed model and shares its weights: what is trained here
    is trained there, and `.model.save(...)` and `.model.export(...)` write the plain network.
    `compile`, `fit`, `evaluate`, `predict`, callbacks and `.keras` files are Keras's. Runs on
    TensorFlow.

    With `kerazoo.optimizers.LevenbergMarquardt` and arrays, `batch_size=None` means the whole data
    set as one batch, its Jacobian accumulated in chunks; `fit` then stops once it has converged. A
    `batch_size` of at least the number of examples means the same, as does a `tf.data.Dataset` of
    one batch.
    Full batches suit small and middle-sized problems where the last digits count. Mini-batches
    (`batch_size=...`, data sets, generators) suit data with much repetition and networks of many
    weights. Every step solves for its batch alone, and the damping carries over from one to the
    next: with fewer residuals than weights each batch can be fitted exactly, so begin with a high
    `initial_damping` there and look at the validation loss.

    Compiled with any other optimizer it trains like any Keras model, so that Adam first and
    Levenberg-Marquardt after is two compiles of one object. An optimizer object that is compiled
    again keeps its state.

    The loss must be a function of the outputs for each example on its own. So Levenberg-Marquardt
    runs the network with `training=False`: dropout is off, and BatchNormalization uses its moving
    statistics and leaves them as they are (one warning says so where it matters). Layers that mix
    the examples of a batch are refused, as are half precision, stateful layers, `add_loss` and
    activity regularizers. Weight regularizers and constraints are honoured.

    Several devices share the rows of a batch if the network is made inside the `scope()` of a
    `tf.distribute.MirroredStrategy`, and several machines inside that of a
    `MultiWorkerMirroredStrategy`: there too `compile`, `fit`, `evaluate` and `predict` are called
    as ever, inside the scope or not. The steps are those of one device on the whole batch, to
    rounding, with every solver, and all copies of the weights stay equal. The devices share what
    takes time, the rows of the Jacobian and their products; the solver's matrix is in every
    process, and factored there. `batch_size` counts the rows of all. Each
    worker must see the same batches and takes its rows of them, so give all the same data, and
    `shuffle=False` or the same `keras.utils.set_random_seed`; each evaluates and predicts all by
    itself, and one of them is to save. A worker that dies ends the `fit` of the others: TensorFlow
    notices within about ten seconds, and a worker that only stops answering is given up after ten
    minutes.

    Each step's log holds, besides the loss after the step and the metrics: `damping` for the next
    attempt, `attempts` made, `gain_ratio` of the last of them (actual over predicted gain),
    `gradient_norm` before the step, `step_norm` (0 if all attempts were rejected), `polish`,
    1 if a polish will end the fit and else 0 (`LevenbergMarquardt` says when), `cg_iterations`, and
    `stop_code`: 0 while the fit goes on, 1 to 4 where it has converged, 5 to 7 where it ends
    without a minimum, 8 if all attempts were rejected, 9 if the weights before the last step came
    back. The history has those of an epoch's last step; the progress line shows loss, metrics and
    damping.
    Unless `verbose=0`, `fit` prints which solver its steps take, and why, and at its end why it
    ended: `optimizer.stop_reason`.

    After a fit of "mse" `standard_errors` and `prediction_bands` say how far the weights and the
    predictions are uncertain. For curves with named parameters `fit_curve` is shorter.

    Args:
        model: A built Keras model. Its outputs go to the loss as they are.
        **kwargs: `name` and the other arguments of `keras.Model`.

    Raises:
        ValueError: `model` is not a built Keras model. In `compile`: half precision or stateful
            layers, no trainable weight, a loss that is not smooth. In `fit`: targets of another
            shape than the outputs (a last axis of one may be missing), masked values, negative
            weights, NaN or Inf in a batch, a loss that is not finite, layers that mix examples or
            draw random numbers, outputs that are complex or without the batch axis, functions with
            a gradient of their own that capture weights, workers with different batches. A loss of
            your own may take targets of another shape; where they could be broadcast, a warning
            says so.
        RuntimeError: In `fit`, another worker has died or does not answer.

    Example:

    >>> keras.utils.set_random_seed(0)
    >>> x = np.linspace(-1, 1, 200)[:, None]
    >>> network = keras.Sequential(
    ...     [keras.Input((1,)), keras.layers.Dense(10, "tanh"), keras.layers.Dense(1)]
    ... )
    >>> model = kerazoo.models.LeastSquares(network)
    >>> model.compile(kerazoo.optimizers.LevenbergMarquardt(), loss="mse")
    >>> history = model.fit(x, np.sin(3 * x), epochs=50, verbose=0)
    >>> history.history["loss"][-1] < 1e-4
    True
    """

    def __init__(self, model, **kwargs):
        built_model("model", model)
        # The network's own precision: in another, inputs would be cast twice.
        super().__init__(**{"dtype": model.dtype_policy, **kwargs})
        self.model = model
        self.built = True
        self._whole_batch = False
        self._watch = None
        self._loss_argument, self._loss_weights = "mse", None
        self._uncertainty = Uncertainty(model)

    @property
    def output_names(self):
        return getattr(self.model, "output_names", None)

    @property
    def distribute_strategy(self):
        # Levenberg-Marquardt has its own way to use the devices (strategy_scope.py).
        if self._is_second_order():
            return tf.distribute.get_strategy()
        return super().distribute_strategy

    def call(self, inputs, training=None):
        return self.model(inputs, training=training)

    def compile(self, optimizer=None, loss="mse", loss_weights=None, metrics=None, **kwargs):
        """Sets optimizer, loss and metrics, as `keras.Model.compile` does.

        Args:
            optimizer: A Keras optimizer or its name. Default None, and "levenberg_marquardt": a
                new `kerazoo.optimizers.LevenbergMarquardt()`.
            loss: A Keras loss, its name or a function; with several outputs a list or dictionary
                of them. It must be smooth for Levenberg-Marquardt. Where targets are wrong, "huber"
                or `kerazoo.losses.SoftL1`, `Cauchy` or `Tukey`. A loss of your own that is a mean
                over the outputs, each with a target of its own, is faster with the attribute
                `elementwise = True`. Default "mse".
            loss_weights: A number for each output, as in Keras.
            metrics: Keras metrics or their names, as in Keras.
            **kwargs: The other arguments of `keras.Model.compile`. For Levenberg-Marquardt
                `steps_per_execution=50` takes 50 steps in one call, which makes small steps faster.
                With `jit_compile="auto"`, the default, XLA compiles steps of 10 or more a call,
                where the weights are at most 128, on a CPU, with the solver "cholesky" and batches
                of floating numbers in known shapes; this takes seconds and pays after thousands of
                steps. True compiles such steps for less than 10 a call too, and is an error for
                others; False leaves it out.
        """
        if optimizer is None or optimizer == "levenberg_marquardt":
            optimizer = LevenbergMarquardt()
        optimizer = keras_object("optimizer", optimizer)
        checked_losses(loss)
        least = 0 if isinstance(optimizer, LevenbergMarquardt) else None
        loss_weights = checked_loss_weights(loss_weights, minimum=least)
        self._loss_argument, self._loss_weights = loss, loss_weights
        named = {"loss": loss, "loss_weights": loss_weights, "metrics": metrics, **kwargs}
        if not isinstance(optimizer, LevenbergMarquardt):
            super().compile(optimizer=optimizer, **named)
            return
        build_all(self.model)
        objectives = ObjectiveMaker(self.model, loss)
        check_precision(self.model)
        check_examples_are_apart(self.model)
        check_metrics([metrics, kwargs.get("weighted_metrics")])
        self._check_execution(kwargs)
        jit_compile = boolean("jit_compile", kwargs.get("jit_compile", "auto"), also=("auto",))
        self._jit_compile_steps = jit_compile
        named["jit_compile"] = False  # the steps are compiled, in train_function.py
        outside_scope(self, super().compile, optimizer=optimizer, **named)
        # Keras builds an optimizer at its first update, and this one's are its own.
        outside_scope(self, optimizer.build, self.trainable_variables)
        self._objective_of = objectives
        self._watch = FitWatch(optimizer)
        self._warn_about_training_mode()
        self._warn_about_precision()

    def get_compile_config(self):
        config = super().get_compile_config()
        if config and self._is_second_order():
            config["jit_compile"] = self._jit_compile_steps
        return config

    def compile_from_config(self, config):
        self.compile(**keras.saving.deserialize_keras_object(config))
        self.optimizer.build(self.trainable_variables)

    def fit(
        self,
        x=None,
        y=None,
        batch_size=None,
        epochs=1,
        verbose="auto",
        callbacks=None,
        validation_split=0.0,
        validation_data=None,
        shuffle=True,
        class_weight=None,
        sample_weight=None,
        initial_epoch=0,
        steps_per_epoch=None,
        validation_steps=None,
        validation_batch_size=None,
        validation_freq=1,
    ):
        """Trains as `keras.Model.fit` does, and takes the same arguments.

        For Levenberg-Marquardt, arrays without `batch_size` are one batch, the whole data set:
        `epochs` then counts its steps, and `fit` stops once it has converged. So are arrays with a
        `batch_size` of at least their length, and a `tf.data.Dataset` of one batch. With
        `steps_per_execution=k` in `compile` they get k steps an epoch, or fewer in the last, where
        the fit converges. To stop at a loss or after
        a time, give a callback that sets `self.model.stop_training = True`.
        """
        checked(x=x, validation_data=validation_data)
        arguments = checked(
            batch_size=batch_size,
            epochs=epochs,
            verbose=verbose,
            callbacks=callbacks,
            validation_split=validation_split,
            shuffle=shuffle,
            class_weight=class_weight,
            initial_epoch=initial_epoch,
            steps_per_epoch=steps_per_epoch,
            validation_steps=validation_steps,
            validation_batch_size=validation_batch_size,
            validation_freq=validation_freq,
        )
        x, y, sample_weight = keras.tree.map_structure(one_dtype, (x, y, sample_weight))
        self._check_data(x, y, sample_weight)
        if isinstance(validation_data, (list, tuple)):
            self._check_data(*validation_data)
        if class_weight is not None:
            if hasattr(y, "__array__"):
                check_classes(y, arguments["class_weight"])
            elif isinstance(x, tf.data.Dataset):
                x = with_classes_checked(x, arguments["class_weight"])
        fit = super().fit
        if not self._is_second_order():
            return fit(
                x=x, y=y, sample_weight=sample_weight, validation_data=validation_data, **arguments
            )
        batch = None
        if steps_per_epoch in (None, 1):
            with failures_of_data_named():
                batch = only_batch(x)
        whole = batch is not None
        if whole:
            x = repeated(batch)
        elif y is not None and steps_per_epoch is None and are_arrays((x, y, sample_weight)):
            check_lengths(x, y, sample_weight)
            arrays = x, y, sample_weight
            held = None
            if validation_split and validation_data is None:
                arrays, held = hold_out(arrays, arguments["validation_split"])
            whole = batch_size is None or batch_size >= row_count(arrays[0])
            if whole:
                x, y, sample_weight = one_batch(*arrays), None, None
                validation_data = validation_data if held is None else held
                arguments["validation_split"] = 0.0
        if whole:
            if batch_size is not None and validation_batch_size is None:
                arguments["validation_batch_size"] = batch_size
            arguments.update(batch_size=None, steps_per_epoch=1, shuffle=False)
        if whole != self._whole_batch:
            self._whole_batch = whole
            self.train_function = None
        self.optimizer.build(self.trainable_variables)  # or says that others were compiled
        self.optimizer.begin_fit()
        x, examples = with_batch_size(x)
        self.optimizer.examples_expected = arguments["batch_size"] or examples
        self._watch = FitWatch(
            self.optimizer,
            max(0, arguments["epochs"] - arguments["initial_epoch"]),
            whole,
            verbose=bool(verbose),
        )
        if verbose:
            arguments["callbacks"] = with_progress_line(callbacks)
        try:
            history = self._alone(fit)(
                x=x, y=y, sample_weight=sample_weight, validation_data=validation_data, **arguments
            )
            self._watch.say_why(len(history.epoch))
        finally:
            self._watch = FitWatch(self.optimizer)
        return history

    def evaluate(
        self,
        x=None,
        y=None,
        batch_size=None,
        verbose="auto",
        sample_weight=None,
        steps=None,
        callbacks=None,
        return_dict=False,
        **kwargs,
    ):
        """Loss and metrics of the network as it is, with `training=False`.

        Args:
            x: Inputs as `fit` takes them: an array or a structure of arrays, or a
                `tf.data.Dataset`, `PyDataset` or generator of `(x, y)` or `(x, y, sample_weight)`.
            y: Targets, shaped like the outputs; a last axis of one may be missing. With a sparse
                cross-entropy class indices, without the outputs' last axis.
            batch_size: Positive integer. None is 32, not the whole data set as in `fit`: it
                changes the speed and the memory, and no result but for rounding.
            verbose: "auto", 0, 1 or 2.
            sample_weight: Weights of the examples, (examples,), or of each step of theirs.
            steps: Positive integer, the batches to take from an endless data set. None: all.
            callbacks: List of Keras callbacks.
            return_dict: Whether to return a dictionary by name instead of a list.
            **kwargs: How Keras's own `fit` hands over its validation data.

        Returns:
            The loss, regularizers included, or a list or dictionary of loss and metrics.
        """
        arguments = checked(
            x=x,
            batch_size=batch_size,
            verbose=verbose,
            steps=steps,
            callbacks=callbacks,
            return_dict=return_dict,
        )
        self._check_data(x, y, sample_weight)
        evaluate = self._alone(super().evaluate)
        return evaluate(y=y, sample_weight=sample_weight, **arguments, **kwargs)

    def train_on_batch(self, x, y=None, sample_weight=None, class_weight=None, return_dict=False):
        """One step on a batch of arrays, as `keras.Model.train_on_batch` does."""
        class_weight = checked(x=x, class_weight=class_weight)["class_weight"]
        self._check_data(x, y, sample_weight)
        return_dict = boolean("return_dict", return_dict)
        if class_weight is not None and hasattr(y, "__array__"):
            check_classes(y, class_weight)
        train = self._alone(super().train_on_batch)
        x, y, sample_weight = keras.tree.map_structure(one_dtype, (x, y, sample_weight))
        return train(x, y, sample_weight, class_weight, return_dict)

    def test_on_batch(self, x, y=None, sample_weight=None, return_dict=False):
        """Loss and metrics of a batch of arrays, as `keras.Model.test_on_batch` does."""
        checked(x=x)
        self._check_data(x, y, sample_weight)
        return_dict = boolean("return_dict", return_dict)
        x, y, sample_weight = keras.tree.map_structure(one_dtype, (x, y, sample_weight))
        return self._alone(super().test_on_batch)(x, y, sample_weight, return_dict)

    def predict(self, x, batch_size=None, verbose="auto", steps=None, callbacks=None):
        """The network's outputs with `training=False`, as NumPy arrays.

        Args:
            x: Inputs as `fit` takes them, without targets.
            batch_size: Positive integer. None is 32: it changes the speed and the memory only.
            verbose: "auto", 0, 1 or 2.
            steps: Positive integer, the batches to take from an endless data set. None: all.
            callbacks: List of Keras callbacks.

        Returns:
            What `.model.predict` gives: an array (examples, ...) or a structure of them.
        """
        arguments = checked(
            x=x, batch_size=batch_size, verbose=verbose, steps=steps, callbacks=callbacks
        )
        check_arrays(x)
        return self._alone(super().predict)(**arguments)

    def covariance(self, x, y, sample_weight=None, absolute_sigma=False):
        """How far the weights, as they are now, are uncertain after a fit of "mse" to these data.

        `sigma^2 (J^T W J)^-1`, W the sample weights. It is meant for models whose weights the data
        determine, such as curves with named parameters; of an ordinary network `rank` says how
        many directions in its weights they do. A warning says if the weights are not at a minimum.

        Args:
            x: Inputs, an array or a structure of arrays.
            y: Targets, as in `fit`.
            sample_weight: As in `fit`; it means 1 / sigma^2, the inverse of the variance of a
                residual, or is proportional to it. Residuals of weight 0 and masked ones are not
                counted. Default None: 1.
            absolute_sigma: Boolean. Default False: the variances are known up to a factor, which
                is estimated from the residuals. True: they are known, and the sizes of the
                residuals say nothing about them. As in scipy's `curve_fit`.

        With several outputs all residuals have the same sigma, divided by the root of their sample
        weight, whatever the sizes and the loss weights of the outputs: it is then the covariance
        of those weights that minimize Keras's loss. J is computed in the network's precision. In
        float32 a standard error keeps about 7 digits minus those of the condition number of the
        scaled J, and from a condition number of some 10^5 on directions count as not determined;
        in float64 it keeps 16 minus those. The time grows with the cube of the number of weights,
        to about half a minute for 2000 on two cores.

        Returns:
            A `kerazoo.optimizers.Covariance`: `.matrix`, `.paths`, `.rank`, `.standard_errors`...

        Raises:
            ValueError: Another loss than "mse"; weight regularizers; a constraint that is not a
                bound of each weight by itself; more than 5000 weights; bad data; derivatives of
                NaN or Inf.
        """
        arguments = x, y, sample_weight, absolute_sigma
        return self._uncertainty.covariance(*arguments, self._loss_argument, self._loss_weights)

    def standard_errors(self, x, y, sample_weight=None, absolute_sigma=False):
        """The standard error of each weight, from `covariance` with the same arguments.

        Returns:
            Dictionary by `weight.path` of arrays of the weight's shape: infinite where the data do
            not determine a weight, NaN where a constraint holds it at a bound.
        """
        found = self.covariance(x, y, sample_weight, absolute_sigma)
        return self._uncertainty.standard_errors(found)

    def prediction_bands(self, x, level=0.95, covariance=None):
        """Predictions, with the bands in which their mean and new observations lie.

        Args:
            x: Inputs, an array or a structure of arrays.
            level: Number between 0 and 1, the probability of each band.
            covariance: What `covariance` returned. Default None: what its last call on this model
                returned (also that of `standard_errors`), an error if the weights have changed
                since. Nothing of it is saved with the model.

        Returns:
            `Bands(prediction, mean_lower, mean_upper, observation_lower, observation_upper)`. They
            are infinitely wide where the data of the fit do not determine the prediction.
        """
        return self._uncertainty.bands(x, level, covariance)

    def fit_many(
        self,
        x,
        y,
        sample_weight=None,
        starts=None,
        epochs=1000,
        shared_x="auto",
        absolute_sigma=False,
        verbose="auto",
    ):
        """Fits the model to many data sets at once, each by itself; its own weights stay.

        For each data set k it minimizes the mean squared error of y_k as a `fit` of the whole of it
        would, to the same weights. All go side by side through one graph, on the device that
        TensorFlow takes: the Jacobians of all, a QR and a singular value decomposition of each, a
        damping and convergence tests for each, which stop it by itself. For hundreds of fits of a
        small model, or of one from hundreds of starts; the larger the model, the less a loop of
        `fit` costs beside.

        It takes what `compile` was given: "mse"; of `LevenbergMarquardt` the damping rule, its
        start, scaling, attempts, polish and tolerances, while every `solver` for few weights stands
        for QR; bounds by `Box` and `NonNeg`. Not `momentum`, `geodesic_acceleration`, the solvers
        "dual" and "cg", regularizers, masks and several outputs.

        A data set with NaN or Inf, or a start where the outputs are not finite, spoils its own fit
        alone: that has a loss of NaN and has not converged, and a warning says which. The first
        call makes a graph, which takes some seconds, with recurrent layers tens of them; more calls
        with arrays of as many points reuse it.

        Args:
            x: Inputs, an array (points, ...) or a structure of arrays, the same for all data sets;
                or (datasets, points, ...).
            y: Targets, an array (datasets, points, ...).
            sample_weight: Array (datasets, points), not negative. What x and y hold at a point of
                weight 0, NaN too, makes no difference: so pad data sets of unequal lengths.
                Default None: 1.
            starts: Weights at which to start, an array (starts, weights) or (datasets, starts,
                weights) of the trainable weights one after the other, or a list with an array
                (starts, ...) or (datasets, starts, ...) for each of them. The best fit of each data
                set is kept. Default None: the present weights of the model.
            epochs: Positive integer, steps that a fit may take. Default 1000.
            shared_x: Boolean, whether x is the same for all. Default "auto": as its shape says,
                which is an error where both are possible.
            absolute_sigma: Boolean, as in `covariance`, for the standard errors. Default False.
            verbose: "auto", 0, 1 (a progress line) or 2.

        Returns:
            A `ManyFits`: `.weights`, `.losses`, `.converged`, `.stop_reason(i)`,
            `.standard_errors`, `.predict(x)`, and `.weights_of(i)` for `set_weights`.

        Raises:
            ValueError: Not compiled with Levenberg-Marquardt, or with what is not taken; more than
                500 weights; shapes that do not fit; layers that mix examples.
        """
        arguments = starts, epochs, shared_x, absolute_sigma, verbose
        return fit_many(self, x, y, sample_weight, *arguments)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        if self._is_second_order():
            self._check_targets(y, y_pred)
        return super().compute_loss(x, y, y_pred, sample_weight, training=training)

    def make_train_function(self, force=False):
        if self.train_function is not None and not force:
            return
        if self._is_second_order():
            self._check_execution({"run_eagerly": self.run_eagerly})
        super().make_train_function(force=True)
        if self._is_second_order():
            take_steps = TrainFunction(
                self._take_step,
                int(self.steps_per_execution),
                self._jit_compile_steps,
                partial(obstacle_to_compiling, self.optimizer, self._objective_of.replicas),
                self._whole_batch,
                of_batches=self.train_function,
            )
            self.train_function = lambda iterator: self._watch.watched(self, take_steps, iterator)

    def train_step(self, data):
        if not self._is_second_order():
            return super().train_step(data)
        return self._take_step(data, compiled=False)

    def _take_step(self, data, compiled, remark=""):
        """One step of Levenberg-Marquardt, in a graph that XLA compiles or not; its logs."""
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)

        def loss(outputs):
            return self.compute_loss(x, y, outputs, sample_weight, training=False)

        optimizer = self.optimizer
        objective = self._objective_of(optimizer.weights, loss, self._loss_of_each_output, x)
        # `loss` sees these, so that no step is taken before they are compared.
        y = self._asserted(y, objective.structured(objective.specs), x)
        if compiled:
            check_operations(objective.layered_jacobian.kinds_of_operations)
        else:  # XLA leaves assertions out
            sample_weight = with_weights_checked(sample_weight)
        step = optimizer.step(objective, self._whole_batch, data, compiled)
        optimizer.choice += remark
        several = len(keras.tree.flatten(step.outputs)) > 1
        # To call it lets the losses of each output be tracked.
        self._track(loss(step.outputs) if several else step.loss, x)
        return {
            **self.compute_metrics(x, y, step.outputs, sample_weight),
            "report": packed(step, optimizer),  # for `_watched`
        }

    def test_step(self, data):
        if not self._is_second_order():
            return super().test_step(data)
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        y_pred = self(x, training=False)
        y = self._asserted(y, y_pred, x)
        sample_weight = with_weights_checked(sample_weight)
        self._track(self.compute_loss(x, y, y_pred, sample_weight, training=False), x)
        return self.compute_metrics(x, y, y_pred, sample_weight)

    def _track(self, loss, x):
        tracker = next(metric for metric in self.metrics if metric.name == "loss")
        tracker.update_state(loss, sample_weight=tf.shape(keras.tree.flatten(x)[0])[0])

    def get_config(self):
        return {**super().get_config(), "model": keras.saving.serialize_keras_object(self.model)}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        model = keras.saving.deserialize_keras_object(config.pop("model"), custom_objects)
        return cls(model, **config)

    def _is_second_order(self):
        return isinstance(getattr(self, "optimizer", None), LevenbergMarquardt)

    def _check_data(self, x, y=None, sample_weight=None):
        check_arrays(x, y, sample_weight)
        if self._is_second_order():
            check_weights(sample_weight)
            check_given(x, y)
            check_count("x", x, getattr(self.model, "inputs", None))
            check_count("y", y, getattr(self.model, "outputs", None))

    def _alone(self, method):
        if not self._is_second_order():
            return method

        def alone(*args, **kwargs):
            of_workers = contextlib.nullcontext()
            if self._objective_of.replicas.several_workers:
                of_workers = failures_of_workers_named()
            with of_workers, failures_of_data_named():
                return outside_scope(self, method, *args, **kwargs)

        return alone

    def _check_execution(self, arguments):
        eagerly = arguments.get("run_eagerly"), tf.config.functions_run_eagerly()
        if any(eagerly):
            raise ValueError(
                "Levenberg-Marquardt runs as a graph: a matrix that cannot be factored is an "
                "error in eager mode, and a rejected attempt in a graph. Received: "
                f"run_eagerly={eagerly[0]}, tf.config.functions_run_eagerly()={eagerly[1]}"
            )

    def _warn_about_training_mode(self):
        names = layers_that_training_changes(self.model)
        if names:
            warnings.warn(
                "Levenberg-Marquardt runs the network with `training=False`: dropout and noise "
                "are off, normalization statistics stay as they are. This makes a difference to: "
                f"{', '.join(names)}",
                stacklevel=3,
            )

    def _warn_about_precision(self):
        if self.optimizer.weights.dtype == tf.float64 and keras.config.floatx() != "float64":
            warnings.warn(
                "The weights are float64, but Keras computes losses in "
                f"{keras.config.floatx()} and casts the data to it: half of the digits are lost. "
                'Call `keras.config.set_floatx("float64")` first',
                stacklevel=3,
            )

    def _check_targets(self, y, y_pred):
        """Refuses targets that the loss would broadcast, which compares each with other outputs."""
        self._for_each_target(check_target, y, y_pred)

    def _asserted(self, y, y_pred, x):
        """`y` that a graph compares with the outputs where their shapes are not known before."""
        first = keras.tree.flatten(x)[0]
        batch = first.shape[0] or tf.shape(first)[0]

        def asserted(target, output, loss):
            return with_shape_of(target, output, batch, loss)

        return self._for_each_target(asserted, y, y_pred)

    def _for_each_target(self, function, y, y_pred):
        """`y` after a function of target, output and loss; as it is where these do not pair."""
        outputs = keras.tree.flatten(y_pred)
        if isinstance(y, dict):
            names = sorted(y_pred) if isinstance(y_pred, dict) else self.output_names
            names = list(names or ())
            targets = [y.get(name) for name in names]
        else:
            targets = keras.tree.flatten(y)
        if len(targets) != len(outputs):
            return y  # Keras says what does not fit together.
        losses = self._loss_of_each_output(y_pred)
        results = [
            target if loss is None or target is None else function(target, output, loss)
            for loss, target, output in zip(losses, targets, outputs, strict=True)
        ]
        if isinstance(y, dict):
            return {**y, **{k: v for k, v in zip(names, results, strict=True) if k in y}}
        return keras.tree.pack_sequence_as(y, results)

    def _loss_of_each_output(self, structure):
        """Each output's loss as it was given, in the order of the flattened outputs."""
        return by_output("loss", self._loss_argument, structure, self.output_names)
