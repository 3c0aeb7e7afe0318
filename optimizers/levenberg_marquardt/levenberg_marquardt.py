import inspect
import warnings

import keras
import tensorflow as tf

from ..._arguments import boolean, choice, number, positive_integer, text
from .arguments import check_together, check_variables, refuse
from .flat_weights import FlatWeights
from .method import take_step
from .method.damping_rules import RULES
from .method.start import WayBack
from .quadratic_model import SCALINGS
from .solver_choice import may_factor


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

    Use it inside `kerazoo.models.LeastSquares`, for regression and classification where a low loss
    matters and the data are clean: there it reaches in tens of steps what Adam does not in tens of
    thousands. A step is exact for any number of weights, and its price follows the smaller of
    residuals (examples x outputs) and weights: a network of millions of weights takes batches of up
    to a few thousand residuals. Not for where early stopping of a first-order method does the
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

    **State.** `damping`, the lambda of the next attempt, and `trust_radius`, which decides for the
    rule "trust_region", are variables: assign to them at any time, after loading too, as in
    `optimizer.damping.assign(1.0)`. Both are saved with the model; `reset()` forgets them. If all
    attempts of a step are rejected the weights stay as they were, and the next step begins with
    the damping reached (at most 1e30). A batch without a gradient changes nothing. Where nothing is
    left to gain, the trust region is forgotten: the next batch, or `fit`, begins with a new one.

    **Convergence** ends a full-batch `fit` as in MINPACK, by any of three tests, and sets
    `converged`. So does a step whose attempts are all rejected where rounding hides any gain. After
    a `fit`, `stop_reason` says in a sentence why it ended: which test at what value, a start at
    which no output depends on the weights, no finite step, all epochs used up, a callback.

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
            batches crawls. Default False.
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
        ValueError: An argument is none of the above; the `fit` of a plain model; compiled for other
            variables than before; a step that would need too much memory.

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
        refuse(kwargs)
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
        check_together(self)
        self.choice = self.stop_reason = None
        self.examples_expected = 32  # where the graph does not know the size of a batch

    def build(self, variables):
        """Creates the state for these variables; the same variables again keep it."""
        if self.built:
            check_variables(self, variables)
            return
        self.weights = FlatWeights(variables)
        check_variables(self, variables)
        super().build(self.weights.variables)

        def state(name, shape=(), dtype=self.weights.dtype.name):
            return self.add_variable(shape, "zeros", dtype, name=name)

        self.damping, self.trust_radius = state("damping"), state("trust_radius")
        self.growth = state("growth")
        if self.momentum:
            self.last_step = state("last_step", (self.weights.size,))
        # "max" scaling remembers norms by weight or by variable, whichever the solver scales.
        sizes = self.weights.size, self.weights.constrained, bool(self.momentum)
        factored = may_factor(self.solver, *sizes)
        self.column_norms = state("norms", (self.weights.size if factored else 0,))
        self.variable_norms = state("variable_norms", (len(self.weights.variables),))
        self.converged = state("converged", dtype="int32")
        self.cg_iterations = state("cg_iterations", dtype="int32")
        self.failure = state("failure", dtype="int32")
        self.failed_step = state("failed_step", dtype="int64")
        self.way_back = WayBack(self.weights.size, self.weights.dtype.name)
        self.reset()

    def begin_fit(self):
        """Forgets how the fit before ended."""
        self.converged.assign(0)
        self.cg_iterations.assign(0)
        self.stop_reason = None
        self.way_back.check_gradient.assign(0)

    def check_next_gradient(self):
        """Lets the next step look at the gradient where it leads, as if it were not the last."""
        self.way_back.check_gradient.assign(1)

    def reset(self):
        """Forgets damping, trust region and column norms, as if no step had been taken."""
        for variable in self.variables:
            if variable is not self._learning_rate:
                variable.assign(tf.zeros_like(variable.value))
        self.growth.assign(2.0)
        self.stop_reason = None
        self.way_back.forget()

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
            "LevenbergMarquardt needs the Jacobian, and Keras's `fit` gives an optimizer no more "
            "than the gradient: compile and fit `kerazoo.models.LeastSquares(model)` instead. "
            f"Received: a gradient for {variable.name}"
        )

    def step(self, objective, full_batch, data, compiled=False):
        """Takes one step of the weights towards a smaller loss; see `method/step.py`."""
        return take_step(self, objective, full_batch, data, compiled)

    def get_config(self):
        *arguments, _ = inspect.signature(LevenbergMarquardt).parameters  # without kwargs
        return {argument: getattr(self, argument) for argument in arguments}
