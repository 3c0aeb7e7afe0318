import warnings
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from ..._arguments import boolean, choice, in_words, number, positive_integer, text
from .conjugate_gradients import ConjugateGradients
from .convergence import Measured, largest_cosine, rounding_of_loss, stop_code
from .damping_rules import RULES, DampingState
from .failures import Failure
from .flat_weights import FlatWeights
from .linear_solvers import QR, Cholesky
from .objective import with_masks
from .polish import polish
from .residual_space import Dual
from .scaling import SCALINGS
from .search import search
from .solver_choice import MAX_WEIGHTS_TO_FACTOR, Problem, choose
from .start import WayBack
from .stop_codes import StopCode

# Beyond, the QR factors of the polish take longer than what they add is worth.
_MAX_WEIGHTS_FOR_POLISH = 2000


class Step(NamedTuple):
    """What one step did; all but the outputs are numbers for the log."""

    outputs: list
    attempts: tf.Tensor
    gain_ratio: tf.Tensor
    gradient_norm: tf.Tensor
    step_norm: tf.Tensor
    polish: tf.Tensor
    stop_code: tf.Tensor
    measured: Measured


@keras.saving.register_keras_serializable(package="kerazoo")
class LevenbergMarquardt(keras.optimizers.Optimizer):
    """Damped Gauss-Newton steps: second-order training, from curve fits to millions of weights.

    With the outputs z of the network for a batch, the Keras loss F(z), its gradient g and its
    Hessian H in the outputs, and J = dz/dw, a step s solves

    `(J^T H J + lambda D^2) s = -g`

    and is taken if the loss falls; if not, it is tried again with more damping lambda. For "mse"
    this is the method of Levenberg and Marquardt, for other smooth losses the generalized
    Gauss-Newton method; F is the whole loss, with weights, masks and regularizers, and lambda is
    on the scale of F, so that it means the same for any batch size.

    Use it inside `kerazoo.models.LeastSquares`, which computes Jacobians, for regression and
    classification where a low loss matters and the data are clean: there it reaches in tens of
    steps what Adam does not in tens of thousands. A step is exact for any number of weights, and
    its price follows the smaller of residuals (examples x outputs) and weights. So a network of
    millions of weights takes batches of up to a few thousand residuals. Not for where the best fit
    to the training data is not what is wanted and early stopping of a first-order method does the
    regularizing. It runs on TensorFlow.

    **Solvers.** With n residuals and p weights, "cholesky" factors a (p, p) matrix in
    `n p^2 / 2 + p^3 / 3` multiplications. "dual" factors an (n, n) matrix, the inner products of
    the rows of J, which it adds up layer by layer without ever holding J: with `inputs + outputs`
    multiplications for each pair of rows and each dense layer. "cg" makes neither matrix and solves
    the system of "dual" by preconditioned conjugate gradients. All take the same step, but for
    "max" and "diagonal" scaling: with "dual" and "cg" D is one number a variable. `choice` says in
    words what was chosen, why, and how much memory it may take. If that is more than three quarters
    of what is free, there is an error before anything is allocated.

    float32 suits networks. For the last digits of a curve fit call, before anything is built,
    `keras.config.set_floatx("float64")`: Keras computes losses in floatx, whatever the precision
    of the layers. Prefer losses `from_logits=True`.

    **State.** `damping` is a variable, the lambda of the next attempt; `trust_radius` is the
    variable that decides for the rule "trust_region" (its lambda follows from the radius).
    Assign to them at any time, after loading too: `optimizer.damping.assign(1.0)`. Both are saved
    with the model. `reset()` forgets them. A rejected attempt changes nothing but these. If all
    attempts of a step are rejected the weights stay as they were, and the next step begins with
    the damping reached (at most 1e30). A batch without a gradient leaves them as they are. Where
    nothing is left to gain, the trust region is forgotten: the next batch, or `fit`, begins with a
    new one.

    **Convergence** ends a full-batch `fit` as in MINPACK, by any of three tests, and sets
    `converged`. So does a step whose attempts are all rejected where rounding hides any gain. After
    a `fit`, `stop_reason` says in a sentence why it ended: which test at what value, a start at
    which no output depends on the weights, no finite step, all epochs used up, a callback. Before,
    it is None.

    **Finite weights.** No step ends where the loss or its gradient is NaN or Inf. Such a trial is a
    rejected attempt. If the gradient shows it only at the next step, that step takes the weights
    before back, with more damping.

    **Polish.** Near a minimum the loss agrees with itself in all digits while the weights agree in
    half of them. So when a fit has converged, undamped Gauss-Newton steps by QR follow, each kept
    while the projected gradient `|Q^T r|` falls. Done in float64, for full batches, "mse" with no
    regularizer but L2, no constraints but bounds (`kerazoo.optimizers.Box`, `NonNeg`), at most 2000
    weights, and where J has full column rank.

    Args:
        damping_rule: "trust_region": lambda makes the step as long as a trust region allows, whose
            radius follows the gain ratio (Moré). "nielsen": lambda follows the gain ratio
            smoothly. "marquardt": lambda times 10 after a failure, by 10 after a success.
            Default "auto": "trust_region".
        initial_damping: Positive number, the first lambda, relative to columns of J scaled to
            length 1 (absolute with scaling="identity"); for "trust_region" the first radius is
            then the length of that step. Default "auto": 1e-3; for "trust_region" the radius is
            the scaled length of the weights.
        scaling: D. "max", the default: largest norm of each column of J so far. "diagonal": their
            present norms. "identity": 1. With "dual" and "cg" the root mean square of the norms of
            each variable's columns in place of every single one; with "identity" they are not
            computed, and `gtol` takes them for 1.
        solver: "cholesky" of the normal equations, "qr" of the augmented Jacobian, which keeps
            twice the digits and takes longer, "dual" for fewer residuals than weights, or "cg" for
            many of both. Default "auto": "qr" in float64 and "cholesky" in float32 up to 500
            weights; beyond, "dual" where there are fewer residuals than weights and it takes fewer
            multiplications, else "cholesky", but not for more than 30,000 weights; "cg" where
            memory forbids all these.
        max_attempts: Positive integer, attempts in one step. Default 10.
        geodesic_acceleration: Boolean. Adds the second-order correction of Transtrum and Sethna,
            for two more forward and one more backward pass an attempt: often half the steps in
            narrow curved valleys, and with "nielsen" the first thing to try where a fit with
            batches crawls. With "cholesky" and "qr" only. Default False.
        polish: "auto", as above; False; or True, which is an error where "auto" would leave it out.
        ftol: Relative reduction of the loss, actual and predicted, at which to stop. Default
            "auto": twice the machine epsilon. 0.0 switches the test off, here and below.
        xtol: Length of the step relative to the weights, both scaled by D. Default "auto".
        gtol: Cosine of the angle between residuals and columns of J. Default "auto".
        jacobian_rows: Positive integer, rows of J held at a time, which bounds the memory.
            Default "auto": as many as take three sixteenths of the memory that is free when a step
            is traced, at most 256 MiB, with "dual" and "cg" 1 GiB.
        cg_tolerance: Positive number, the residual at which conjugate gradients stop, relative to
            the right-hand side; they stop after 200 iterations too. Default 1e-4.
        momentum: Number from 0 to below 1, for mini-batches with "dual" and "cg": the part v of the
            last step that damping holds on to, `|J s + r|^2 + lambda |D (s - v)|^2` (SPRING). It is
            made for a lambda that is held: where lambda falls with the gain ratio and every batch
            is fitted by itself, it does harm. Default 0.0.
        name: String.

    Raises:
        TypeError: An argument of Keras's other optimizers, such as `learning_rate`.
        ValueError: An argument is none of the above; in a plain model's `fit`, which has no
            Jacobian to give; when compiled for other variables than before; a step that would need
            too much memory.

    Example:

    >>> keras.utils.set_random_seed(0)
    >>> x = np.linspace(0, 1, 50)[:, None]
    >>> network = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    >>> model = kerazoo.models.LeastSquares(network)
    >>> model.compile(kerazoo.optimizers.LevenbergMarquardt(damping_rule="nielsen"), loss="mse")
    >>> history = model.fit(x, 3 * x - 1, epochs=20, verbose=0)
    >>> np.round(network.predict(np.array([[2.0]]), verbose=0), 3)
    array([[5.]], dtype=float32)

    References:
        Levenberg, 1944, A method for the solution of certain non-linear problems in least squares.
        Marquardt, 1963, An algorithm for least-squares estimation of nonlinear parameters.
        Moré, 1978, The Levenberg-Marquardt algorithm: implementation and theory.
        Nielsen, 1999, Damping parameter in Marquardt's method.
        Transtrum and Sethna, 2012, https://arxiv.org/abs/1201.5885
        Guzmán-Cordero et al., 2025, momentum as in SPRING: https://arxiv.org/abs/2505.12149
        Jnini and Vella, 2025, steps in residual space: https://arxiv.org/abs/2505.21404
    """

    def __init__(
        self,
        damping_rule="auto",
        initial_damping="auto",
        scaling="max",
        solver="auto",
        max_attempts=10,
        geodesic_acceleration=False,
        polish="auto",
        ftol="auto",
        xtol="auto",
        gtol="auto",
        jacobian_rows="auto",
        cg_tolerance=1e-4,
        momentum=0.0,
        name="levenberg_marquardt",
        **kwargs,
    ):
        _refuse(kwargs)
        super().__init__(learning_rate=1.0, name=text("name", name, also=(None,)))
        self.damping_rule = choice("damping_rule", damping_rule, ("auto", *RULES))
        self.initial_damping = number("initial_damping", initial_damping, above=0, also=("auto",))
        self.scaling = choice("scaling", scaling, SCALINGS)
        self.solver = choice("solver", solver, ("auto", "cholesky", "qr", "dual", "cg"))
        self.max_attempts = positive_integer("max_attempts", max_attempts)
        self.geodesic_acceleration = boolean("geodesic_acceleration", geodesic_acceleration)
        self.polish = boolean("polish", polish, also=("auto",))
        self.ftol = number("ftol", ftol, minimum=0, also=("auto",))
        self.xtol = number("xtol", xtol, minimum=0, also=("auto",))
        self.gtol = number("gtol", gtol, minimum=0, also=("auto",))
        self.jacobian_rows = positive_integer("jacobian_rows", jacobian_rows, also=("auto",))
        self.cg_tolerance = number("cg_tolerance", cg_tolerance, above=0)
        self.momentum = number("momentum", momentum, minimum=0, below=1)
        if self.geodesic_acceleration and solver in ("dual", "cg"):
            raise ValueError(
                "`geodesic_acceleration` needs solver 'cholesky' or 'qr'. "
                f"Received: geodesic_acceleration=True, solver={solver!r}"
            )
        if self.momentum and (self.geodesic_acceleration or solver in ("cholesky", "qr")):
            raise ValueError(
                "`momentum` needs solver 'dual' or 'cg', without geodesic acceleration. "
                f"Received: momentum={momentum}, solver={solver!r}"
            )
        # Which solver the last traced step took, and why, in words.
        self.choice = None
        # What it is chosen for where the graph does not know the size of a batch.
        self.examples_expected = 32
        self.stop_reason = None

    def build(self, variables):
        """Creates the state for these variables; the same variables again keep it."""
        if self.built:
            self._check_variables(variables)
            return
        self.weights = FlatWeights(variables)
        super().build(self.weights.variables)
        dtype = self.weights.dtype.name
        self.damping = self.add_variable((), "zeros", dtype, name="damping")
        self.trust_radius = self.add_variable((), "zeros", dtype, name="trust_radius")
        self.growth = self.add_variable((), "zeros", dtype, name="growth")
        if self.momentum:
            self._check_penalty()
            self.last_step = self.add_variable(
                (self.weights.size,), "zeros", dtype, name="last_step"
            )
        # "max" scaling remembers norms by weight or by variable, whichever the solver scales.
        small = self.weights.size <= MAX_WEIGHTS_TO_FACTOR and not self.momentum
        factored = self.solver in ("cholesky", "qr") or (self.solver == "auto" and small)
        size = self.weights.size if factored else 0
        self.column_norms = self.add_variable((size,), "zeros", dtype, name="norms")
        variables = len(self.weights.variables)
        self.variable_norms = self.add_variable((variables,), "zeros", dtype, name="variable_norms")
        self.converged = self.add_variable((), "zeros", "int32", name="converged")
        self.cg_iterations = self.add_variable((), "zeros", "int32", name="cg_iterations")
        self.failure = self.add_variable((), "zeros", "int32", name="failure")
        self.failed_step = self.add_variable((), "zeros", "int64", name="failed_step")
        self._way_back = WayBack(self.weights.size, dtype)
        self.reset()

    def begin_fit(self):
        """Forgets how the fit before ended."""
        self.converged.assign(0)
        self.cg_iterations.assign(0)
        self.stop_reason = None
        self._way_back.check_gradient.assign(0)

    def check_next_gradient(self):
        """Lets the next step look at the gradient where it leads, as if it were not the last."""
        self._way_back.check_gradient.assign(1)

    def tolerances(self):
        """What the sentence of a `StopCode` names: the tolerances as numbers, and the attempts."""
        eps = np.finfo(self.weights.dtype.as_numpy_dtype).eps
        given = {"ftol": self.ftol, "xtol": self.xtol, "gtol": self.gtol}
        numbers = {k: 2 * eps if v == "auto" else v for k, v in given.items()}
        return {**numbers, "max_attempts": self.max_attempts}

    def reset(self):
        """Forgets damping, trust region and column norms, as if no step had been taken."""
        self.iterations.assign(0)
        self.damping.assign(0.0)
        self.trust_radius.assign(0.0)
        self.growth.assign(2.0)
        self.column_norms.assign(tf.zeros_like(self.column_norms.value))
        self.variable_norms.assign(tf.zeros_like(self.variable_norms.value))
        if self.momentum:
            self.last_step.assign(tf.zeros_like(self.last_step.value))
        self.converged.assign(0)
        self.failure.assign(0)
        self.failed_step.assign(0)
        self.stop_reason = None
        self._way_back.forget()

    @property
    def learning_rate(self):
        return super().learning_rate

    @learning_rate.setter
    def learning_rate(self, learning_rate):
        warnings.warn(
            "LevenbergMarquardt has no learning rate, and a schedule of one changes nothing: "
            "assign to `trust_radius`, or with the other damping rules to `damping`",
            stacklevel=2,
        )

    def update_step(self, gradient, variable, learning_rate):
        raise ValueError(
            "LevenbergMarquardt needs the Jacobian of the outputs, and Keras's `fit` gives an "
            "optimizer no more than the gradient: wrap the model, "
            "`kerazoo.models.LeastSquares(model)`, and compile and fit that. "
            f"Received: a gradient for {variable.name}"
        )

    def step(self, objective, full_batch, data):
        """Takes one step of the weights towards a smaller loss.

        Args:
            objective: The `Objective` of the batch.
            full_batch: Whether every step sees this same batch: only then do the convergence
                tests and the polish mean something.
            data: The batch, looked through for NaN and Inf.

        Returns:
            A `Step`. The weights and the optimizer's state are updated.
        """
        solver = self._solver(objective)
        if isinstance(solver, ConjugateGradients):
            self.cg_iterations.assign(0)
        # No step would gain from a start outside the constraints to one inside.
        w = self.weights.constrain(self.weights.vector())
        linearization = solver.linearize(objective, w)
        loss = objective.loss(w, linearization.outputs)
        norms = solver.norms(objective, linearization)
        healthy = _all_finite(loss) & _all_finite(linearization.gradient)
        sloped = objective.agreed(tf.reduce_any(linearization.gradient != 0))
        start = self._way_back.start(
            objective,
            linearization,
            w,
            healthy,
            self.iterations.value == 0,
            data,
            DampingState(self.damping.value, self.growth.value, self.trust_radius.value),
            self._rule,
        )
        healthy = (start.failure == Failure.NONE) & ~start.taken_back
        known_norms = self.variable_norms if solver.norms_by_variable else self.column_norms
        largest_norms = SCALINGS[self.scaling].norms(known_norms.value, norms)
        arguments = objective, w, linearization, largest_norms
        if self.momentum:
            model = solver.model(*arguments, self.momentum * self.last_step.value)
        else:
            model = solver.model(*arguments)
        found = self._search(
            objective, linearization, model, start, loss, norms, healthy, full_batch
        )
        code = tf.where(found.accepted, int(StopCode.GOES_ON), int(StopCode.REJECTED))
        measured = Measured(*[tf.zeros_like(loss)] * len(Measured._fields))
        new_w, z = found.w, found.outputs
        polishes = self._polishes(objective, full_batch)
        finished = found.stop_code != StopCode.GOES_ON
        if full_batch:
            downhill = self.weights.downhill(w, linearization.gradient)
            sizes = solver.gradient_sizes(objective, downhill)
            measured = self._measured(objective, linearization, model, found, loss, norms, sizes)
            is_flat = ~sloped & tf.reduce_all(norms == 0) & (loss != 0)
            tolerances = self._tolerance("ftol"), self._tolerance("gtol")
            code = objective.agreed(stop_code(found, measured, loss, is_flat, *tolerances))
            code = tf.where(healthy, code, int(StopCode.GOES_ON))
            converged = (code > StopCode.GOES_ON) & (code <= StopCode.ROUNDING)
            self.converged.assign(tf.cast(converged, tf.int32))
            finished |= (code > StopCode.GOES_ON) & (code <= StopCode.NO_DESCENT)
            if polishes:
                new_w, z = tf.cond(
                    converged, lambda: self._polished(objective, new_w), lambda: (new_w, z)
                )
        # A region with no room left in it would hold on to the weights for other data too.
        radius = tf.where(finished, tf.zeros_like(found.state.radius), found.state.radius)
        state = found.state._replace(radius=radius)
        self._remember(start, state, known_norms, largest_norms, healthy & sloped)
        step = new_w - w
        step_norm = tf.norm(step)
        self._way_back.remember(w, tf.where(healthy, step_norm, tf.zeros_like(step_norm)))
        self.weights.assign(new_w)
        if self.momentum:
            self.last_step.assign(tf.where(healthy, step, tf.zeros_like(step)))
        return Step(
            outputs=objective.structured(with_masks(z, linearization.outputs)),
            attempts=tf.where(start.taken_back, 1, found.attempts),
            gain_ratio=tf.where(start.taken_back, -tf.ones_like(loss), found.gain_ratio),
            gradient_norm=tf.norm(linearization.gradient),
            step_norm=step_norm,
            polish=tf.constant(float(polishes)),
            stop_code=tf.where(start.taken_back, int(StopCode.TAKEN_BACK), code),
            measured=measured,
        )

    def get_config(self):
        arguments = (
            "damping_rule",
            "initial_damping",
            "scaling",
            "solver",
            "max_attempts",
            "geodesic_acceleration",
            "polish",
            "ftol",
            "xtol",
            "gtol",
            "jacobian_rows",
            "cg_tolerance",
            "momentum",
            "name",
        )
        return {argument: getattr(self, argument) for argument in arguments}

    def _check_variables(self, variables):
        known = {id(v) for v in self.weights.variables}
        if len(variables) != len(known) or any(id(v) not in known for v in variables):
            raise ValueError(
                "This optimizer holds the state of other variables: compile with a new "
                "LevenbergMarquardt when the model or what is trainable in it has changed. "
                f"Received: variables={[v.path for v in variables]}"
            )

    def _check_penalty(self):
        regularized = [v.path for v in self.weights.variables if v.regularizer is not None]
        if regularized:
            raise ValueError(
                "`momentum` cannot be had together with weight regularizers. "
                f"Received: momentum={self.momentum}, regularized weights={regularized}"
            )

    def _solver(self, objective):
        jacobian, penalized = objective.jacobian, bool(objective.penalty.regularized)
        problem = Problem(
            rows=objective.rows * (objective.static_batch or self.examples_expected),
            weights=self.weights.size,
            product_cost=jacobian.product_cost,
            floats_per_row=jacobian.floats_per_row,
            groups=len(self.weights.variables) if penalized else 1,
            double=self.weights.dtype == tf.float64,
            weight_space=self.weights.constrained or self.geodesic_acceleration,
            residual_space=bool(self.momentum),
            replicas=objective.num_replicas,
        )
        choice = choose(self.solver, self.jacobian_rows, problem)
        self.choice = choice.reason
        objective.divide(choice.rows_at_a_time)
        scaled = self.scaling != "identity"
        if choice.solver == "dual":
            return Dual(scaled)
        if choice.solver == "cg":
            return ConjugateGradients(scaled, self.cg_tolerance, self.cg_iterations.assign_add)
        return {"qr": QR, "cholesky": Cholesky}[choice.solver](objective.quadratic)

    @property
    def _rule(self):
        return RULES["trust_region" if self.damping_rule == "auto" else self.damping_rule]

    def _search(self, objective, linearization, model, start, loss, norms, healthy, full_batch):
        first_damping = self._rule.first_damping
        if self.initial_damping != "auto":
            first_damping = tf.constant(self.initial_damping, loss.dtype)
        elif first_damping is not None:
            # Relative to the largest diagonal entry, which is 1 unless scaling="identity".
            first_damping *= tf.reduce_max((norms / model.D) ** 2)
        return search(
            objective,
            linearization,
            model,
            start._replace(state=self._rule.begin(start.state, model, first_damping)),
            loss,
            self._rule,
            tf.where(healthy, self.max_attempts, 0),
            (self._tolerance("ftol"), self._tolerance("xtol")),
            self.geodesic_acceleration,
            self._way_back.check_gradient.value > 0 if full_batch else None,
        )

    def _measured(self, objective, linearization, model, found, loss, norms, gradient_sizes):
        rounding = tf.cond(
            found.accepted,
            lambda: tf.zeros_like(loss),
            lambda: rounding_of_loss(loss, linearization.outputs, linearization.output_gradients),
        )
        gain = tf.maximum(tf.abs(found.reduction), found.predicted)
        return Measured(
            gain=tf.math.divide_no_nan(gain, tf.abs(loss)),
            length=tf.math.divide_no_nan(found.length, model.length_of_weights()),
            cosine=largest_cosine(gradient_sizes, norms, loss),
            predicted=found.predicted,
            rounding=rounding,
        )

    def _remember(self, start, state, known_norms, norms, learned):
        """Keeps the state for the next step.

        A batch with NaN leaves no trace but `failure`, and one without a gradient, as where all
        sample weights are zero, none: it says nothing about how far to go.
        """
        for variable, value, before in (
            (self.damping, state.damping, start.state.damping),
            (self.growth, state.growth, start.state.growth),
            (self.trust_radius, state.radius, start.state.radius),
            (known_norms, norms, known_norms.value),
        ):
            variable.assign(tf.where(learned, value, before))
        self.iterations.assign_add(1)
        first = (start.failure != Failure.NONE) & (self.failure.value == Failure.NONE)
        for variable, value in (
            (self.failure, start.failure),
            (self.failed_step, self.iterations.value),
        ):
            variable.assign(tf.where(first, value, variable.value))

    def _polishes(self, objective, full_batch):
        if self.polish is False:
            return False
        conditions = {
            "float64 weights": self.weights.dtype == tf.float64,
            "a full batch": full_batch,
            "mse with no regularizer but L2": objective.quadratic,
            "no weight constraints but `Box` and `NonNeg`": (
                self.weights.bounded or not self.weights.constrained
            ),
            f"at most {_MAX_WEIGHTS_FOR_POLISH} weights": (
                self.weights.size <= _MAX_WEIGHTS_FOR_POLISH
            ),
        }
        missing = [name for name, holds in conditions.items() if not holds]
        if missing and self.polish is True:
            raise ValueError(
                f"`polish` needs {', '.join(missing)}: leave it at 'auto'. Received: polish=True"
            )
        return not missing

    def _tolerance(self, name):
        return tf.constant(self.tolerances()[name], self.weights.dtype)

    def _polished(self, objective, w):
        w = polish(objective, w)
        return w, objective.outputs(w)


def _all_finite(tensor):
    return tf.reduce_all(tf.math.is_finite(tensor))


def _refuse(kwargs):
    """What `keras.optimizers.Optimizer` takes, and this optimizer does not."""
    for name, value in kwargs.items():
        advice = "see the arguments that it takes"
        if name == "learning_rate":
            advice = (
                "the damping decides how long a step is. Leave `learning_rate` out, or pass "
                "`initial_damping`: the larger, the shorter the first steps"
            )
        raise TypeError(
            f"`{name}` is no argument of LevenbergMarquardt: {advice}. "
            f"Received: {name}={in_words(value)}"
        )
