"""Exact steps in as many unknowns as there are residuals: for networks of millions of weights.

`(J^T J + M)^-1 J^T r = M^-1 J^T (I + J M^-1 J^T)^-1 r`, so it takes no more than the inner
products of the rows of J, which come from the layers one by one (jacobian/), one
Cholesky factorization of (residuals, residuals), and one backward pass.
"""

import copy
import itertools
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from . import symmetric
from .scaling import scale_of


class ResidualSystem(NamedTuple):
    """The gradient as `g = J^T r + rest`, and what scales the weights."""

    r: tf.Tensor  # (rows,)
    rest: tf.Tensor  # (weights,); None: nothing
    squares: tf.Tensor  # (variables,), of the columns of J


class Candidate(NamedTuple):
    alpha: tf.Tensor  # (rows,)
    damping: tf.Tensor


class Dual:
    """The solver for fewer residuals than weights.

    The scale D is one number for each variable, the root mean square of its columns' norms: one
    for each weight would need every row of J written out.

    Args:
        scaled: Whether D is wanted at all.
    """

    norms_by_variable = True

    def __init__(self, scaled):
        self.scaled = scaled

    def linearize(self, objective, w):
        """The `Linearization` at w, with gradient and `ResidualSystem`."""
        near_w = objective.linearize(w)
        gradients, factors = near_w.output_gradients, near_w.output_factors
        rest = near_w.penalty_gradient if objective.penalty.regularized else None
        if objective.curvature.quadratic:
            r = objective.curvature.residuals(gradients, factors)
        else:
            r, rests = objective.curvature.residuals_and_rests(gradients, factors)
            of_loss = objective.vector_jacobian_product(w, rests)
            rest = of_loss if rest is None else rest + of_loss
        r = tf.reshape(tf.cast(r, w.dtype), [-1])
        g = objective.transpose_mv(w, near_w, r)
        if rest is not None:
            g += rest
        squares = tf.ones([len(objective.weights.sizes)], w.dtype)
        if self.scaled:
            (squares,) = objective.over_chunks(
                lambda i, total: (total + objective.jacobian.squares(near_w.layers(i)),),
                tf.zeros_like(squares),
            )
        system = ResidualSystem(r, rest, squares)
        return near_w._replace(gradient=g, system=system)

    def norms(self, objective, linearization):
        """Root mean square of the norms of each variable's columns, (variables,)."""
        sizes = tf.constant(objective.weights.sizes, linearization.gradient.dtype)
        of_penalty = objective.weights.by_variable(linearization.penalty_curvature)
        return tf.sqrt((linearization.system.squares + of_penalty) / sizes)

    def gradient_sizes(self, objective, g):
        """What the convergence test holds against the norms, (variables,)."""
        sizes = tf.constant(objective.weights.sizes, g.dtype)
        return tf.sqrt(objective.weights.by_variable(g**2) / sizes)

    def model(self, objective, w, linearization, norms, drift=None):
        return ResidualModel(objective, w, linearization, norms, drift)


class Drifting:
    """Momentum: a model of the loss seen from where the weights drift to by themselves.

    Damping pulls the step towards v, a fraction of the last step, instead of towards zero:
    `|J (v + s) + r|^2 + lambda |D s|^2` is least for the s of the residuals `r + J v` (SPRING).
    v = 0 without momentum, and from the second attempt of a step on.
    """

    def __init__(self, objective, linearization, drift):
        self.objective = objective
        self.linearization = linearization
        self.r = linearization.system.r
        self.drift = 0.0 if drift is None else drift
        self.J_drift = None if drift is None else objective.mv(linearization, drift)
        if drift is not None:
            self.r += self.J_drift

    def at_attempt(self, number):
        """The model for an attempt, counted from 0."""
        if self.J_drift is None:
            return self
        keep = tf.cast(number == 0, self.r.dtype)
        model = copy.copy(self)
        model.drift = keep * self.drift
        model.J_drift = keep * self.J_drift
        model.r = self.r - self.J_drift + model.J_drift
        return model

    def gradient(self):
        """Of the loss where the drift leads, (weights,)."""
        g = self.linearization.gradient
        if self.J_drift is None:
            return g
        return g + self.objective.transpose_mv(self.w, self.linearization, self.J_drift)

    def with_drift(self, along_g, reduction):
        """The prediction for drift and step, from that of the step where the drift leads."""
        if self.J_drift is None:
            return along_g, reduction
        r = self.r - self.J_drift
        along_drift = tf.tensordot(r, self.J_drift, 1)
        return along_g + along_drift, reduction - along_drift - tf.reduce_sum(self.J_drift**2) / 2

    def after_constraints(self, candidate, moved):
        return candidate


class ResidualModel(Drifting):
    """The quadratic model of the loss, with everything that damping needs in residual space.

    A candidate holds alpha, and its step is `s = -M^-1 (C J^T alpha + rest)` with
    `M = D^2 (lambda + eta)`, `C = lambda / (lambda + eta)` and `D^2 eta` the curvature of the L2
    penalty, all of which are one number a variable. Then alpha solves
    `(lambda I + sum_v C_v K_v) alpha = r - sum_v u_v / (lambda + eta_v)` with
    `K_v = J_v J_v^T / D_v^2` and `u_v = J_v rest_v / D_v^2`. Without a penalty eta is zero, C is 1
    and all variables are summed beforehand into one group.
    """

    def __init__(self, objective, w, linearization, norms, drift):
        super().__init__(objective, linearization, drift)
        self.w = w
        weights, system = objective.weights, linearization.system
        self.D = scale_of(norms)
        variables = len(weights.sizes)
        self.regularized = bool(objective.penalty.regularized)
        self.groups = variables if self.regularized else 1
        self.K, u = _inner_products(objective, w, linearization, self.D**-2, self.groups)
        if system.rest is None:
            self.u = tf.zeros([self.groups, tf.shape(self.r)[0]], w.dtype)
            self.rest_squares = tf.zeros([self.groups], w.dtype)
        else:
            self.u = self._grouped(u)
            self.rest_squares = self._grouped(weights.by_variable(system.rest**2) / self.D**2)
        sizes = tf.constant(weights.sizes, w.dtype)
        eta = weights.by_variable(linearization.penalty_curvature) / sizes / self.D**2
        self.eta = eta if self.regularized else tf.zeros([1], w.dtype)
        # Damping below the rounding error of K has no effect.
        eps = np.finfo(w.dtype.as_numpy_dtype).eps
        largest = tf.reduce_max(tf.reduce_sum(symmetric.diagonal(self.K), axis=0))
        self.least_damping = eps * tf.cast(tf.shape(self.r)[0], w.dtype) * largest

    def none(self):
        return Candidate(tf.zeros_like(self.r), tf.zeros([], self.r.dtype))

    def gradient_length(self):
        by_variable = self.objective.weights.by_variable(self.gradient() ** 2)
        return tf.sqrt(tf.reduce_sum(by_variable / self.D**2))

    def length_of_weights(self):
        by_variable = self.objective.weights.by_variable(self.w**2)
        return tf.sqrt(tf.reduce_sum(by_variable * self.D**2))

    def solve(self, damping):
        """The candidate, the length of its scaled step, and `-|s| d|s| / d damping`."""
        damping = tf.maximum(damping, self.least_damping)
        C, nu = self._shares(damping)
        A = [tf.tensordot(C, panel, 1) if self.regularized else panel[0] for panel in self.K]
        L = symmetric.Factor(A, tf.fill(tf.shape(self.r), damping))

        def solved(b):
            # Of chunks the shape of K is unknown, where that of r may be known.
            return tf.ensure_shape(L.solve(b[:, None])[:, 0], self.r.shape)

        alpha = solved(self.r - tf.linalg.matvec(self.u, nu, transpose_a=True))
        candidate = Candidate(alpha, damping)
        K_alpha = self._k_times(alpha)
        # The same by d/d lambda: C' = eta nu^2, nu' = -nu^2.
        change = solved(
            tf.linalg.matvec(self.u, nu**2, transpose_a=True)
            - alpha
            - tf.linalg.matvec(K_alpha, self.eta * nu**2, transpose_a=True)
        )
        u_alpha = tf.linalg.matvec(self.u, alpha)
        slope = -tf.reduce_sum(
            C * self.eta * nu**2 * tf.linalg.matvec(K_alpha, alpha)
            + C**2 * tf.linalg.matvec(K_alpha, change)
            + (self.eta * nu - C) * nu**2 * u_alpha
            + C * nu * tf.linalg.matvec(self.u, change)
            - nu**3 * self.rest_squares
        )
        squares = self._squares(candidate, K_alpha)
        return candidate, tf.sqrt(tf.reduce_sum(squares)), slope

    def direction(self, candidate):
        """The step in the weights: one backward pass."""
        weights = self.objective.weights
        C, nu = (
            tf.broadcast_to(share, self.D.shape) / self.D**2
            for share in self._shares(candidate.damping)
        )
        J_alpha = self.objective.transpose_mv(self.w, self.linearization, candidate.alpha)
        s = -weights.spread(C) * J_alpha
        if self.linearization.system.rest is not None:
            s -= weights.spread(nu) * self.linearization.system.rest
        return s + self.drift

    def predicted_reduction(self, candidate):
        """`g^T s`, and `-(g^T s + s^T A s / 2)`: the reduction that the model predicts."""
        C, nu = self._shares(candidate.damping)
        K_alpha = self._k_times(candidate.alpha)
        J_s = -tf.linalg.matvec(K_alpha, C, transpose_a=True)
        J_s -= tf.linalg.matvec(self.u, nu, transpose_a=True)
        of_rest = C * tf.linalg.matvec(self.u, candidate.alpha) + nu * self.rest_squares
        along_g = tf.tensordot(self.r, J_s, 1) - tf.reduce_sum(of_rest)
        of_penalty = tf.reduce_sum(self.eta * self._squares(candidate, K_alpha))
        return self.with_drift(along_g, -along_g - (tf.reduce_sum(J_s**2) + of_penalty) / 2)

    def _shares(self, damping):
        """C and `nu = 1 / (lambda + eta)`, (groups,)."""
        nu = 1 / (damping + self.eta)
        return damping * nu, nu

    def _k_times(self, alpha):
        return symmetric.times(self.K, alpha)

    def _squares(self, candidate, K_alpha):
        """Squared length of the scaled step, by groups."""
        alpha = candidate.alpha
        C, nu = self._shares(candidate.damping)
        return (
            C**2 * tf.linalg.matvec(K_alpha, alpha)
            + 2 * C * nu * tf.linalg.matvec(self.u, alpha)
            + nu**2 * self.rest_squares
        )

    def _grouped(self, by_variable):
        if self.groups > 1 or by_variable.shape[0] == 1:
            return by_variable
        return tf.reduce_sum(by_variable, axis=0, keepdims=True)


def _inner_products(objective, w, linearization, factors, groups):
    """The panels of K, (groups, rows, rows), and `J_v rest_v` times the factor of v,
    (variables, rows).

    Rows are made in chunks. With more than one, the rows of a chunk are made again for each pair
    of chunks, so that no more than two are ever held.
    """
    jacobian, weights = objective.jacobian, objective.weights
    rest = linearization.system.rest
    rests = None if rest is None else weights.split(rest * weights.spread(factors))

    data_of = linearization.layers

    def times_rest(data):
        return None if rests is None else jacobian.mv(data, rests)

    if objective.one_chunk:
        data = data_of(0)
        K = _symmetric(jacobian, data, factors, groups, objective.static_batch)
        return K, times_rest(data)

    def strip(i):
        """Inner products of chunk i with itself and all later ones; zeros before."""
        data = data_of(i)

        def add_block(j, blocks):
            others = data_of(j)
            block = jacobian.gram(data, others, factors, groups)
            return j + 1, blocks.write(j - i, tf.transpose(block, [2, 0, 1]))

        count = objective.num_chunks - i
        blocks = tf.TensorArray(
            w.dtype, count, infer_shape=False, element_shape=[None, groups, None]
        )
        own = jacobian.gram(data, data, factors, groups)
        blocks = blocks.write(0, tf.transpose(own, [2, 0, 1]))
        _, blocks = tf.while_loop(lambda j, _: j < objective.num_chunks, add_block, (i + 1, blocks))
        strip = tf.transpose(blocks.concat(), [2, 1, 0])  # (rows, groups, rows from chunk i on)
        total = objective.batch * objective.rows
        return tf.pad(strip, [[0, 0], [0, 0], [total - tf.shape(strip)[2], 0]]), times_rest(data)

    strips = tf.TensorArray(
        w.dtype, objective.num_chunks, infer_shape=False, element_shape=[None, groups, None]
    )
    variables = len(weights.sizes)
    products = tf.TensorArray(
        w.dtype, objective.num_chunks, infer_shape=False, element_shape=[None, variables]
    )

    def add_strip(i, strips, products):
        of_chunk, product = strip(i)
        if product is not None:
            products = products.write(i, tf.transpose(product))
        return i + 1, strips.write(i, of_chunk), products

    _, strips, products = tf.while_loop(
        lambda i, *_: i < objective.num_chunks, add_strip, (0, strips, products)
    )
    upper = tf.transpose(strips.concat(), [1, 0, 2])
    K = symmetric.in_panels(tf.linalg.matrix_transpose(upper))
    return K, None if rests is None else tf.transpose(products.concat())


def _symmetric(jacobian, data, factors, groups, batch):
    """The panels of the inner products of all rows with all, where they are held at once."""
    count = min(symmetric.count_of_panels(batch * jacobian.rows), batch)
    ends = [batch * k // count for k in range(count + 1)]
    return [
        jacobian.gram(
            jacobian.slice(data, start, batch, batch),
            jacobian.slice(data, start, stop, batch),
            factors,
            groups,
        )
        for start, stop in itertools.pairwise(ends)
    ]
