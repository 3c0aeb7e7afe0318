"""What the arguments of `LevenbergMarquardt` must keep among them."""

from ..._arguments import in_words


def refuse(kwargs):
    """Raises for what `keras.optimizers.Optimizer` takes, and this optimizer does not."""
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


def check_together(optimizer):
    momentum, solver = optimizer.momentum, optimizer.solver
    if momentum and (optimizer.geodesic_acceleration or solver in ("cholesky", "qr")):
        raise ValueError(
            "`momentum` needs solver 'dual' or 'cg', without geodesic acceleration. "
            f"Received: momentum={momentum}, solver={solver!r}"
        )


def check_variables(optimizer, variables):
    """Whether the optimizer's state is that of these variables, and its arguments suit them."""
    known = {id(v) for v in optimizer.weights.variables}
    if len(variables) != len(known) or any(id(v) not in known for v in variables):
        raise ValueError(
            "This optimizer holds the state of other variables: compile with a new "
            "LevenbergMarquardt when the model or what is trainable in it has changed. "
            f"Received: variables={[v.path for v in variables]}"
        )
    for name in ("regularizer", "constraint"):
        own = [v.path for v in optimizer.weights.variables if getattr(v, name) is not None]
        if optimizer.momentum and own:
            raise ValueError(
                f"`momentum` cannot be had together with weight {name}s. "
                f"Received: momentum={optimizer.momentum}, weights with a {name}={own}"
            )
