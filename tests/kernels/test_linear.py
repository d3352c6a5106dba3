import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from gen_jax.kernels.linear import linear

X, R = jnp.asarray([1.0, -2.0, 3.0]), jnp.asarray([0.5, 1.5, -1.0])


def scaled(r, x):
    """sin(r) x with a transpose that is off by a factor of 2, so that one can tell that it was taken."""
    return linear(lambda r, x: jnp.sin(r) * x, lambda r, y: 2 * jnp.sin(r) * y, r, x)


def test_the_value_and_the_tangents_are_those_of_the_function():
    value, tangent = jax.jvp(scaled, (R, X), (jnp.full(3, 2.0), jnp.full(3, 5.0)))
    np.testing.assert_allclose(value, np.sin(R) * X, rtol=1e-6)
    np.testing.assert_allclose(tangent, 2 * np.cos(R) * X + 5 * np.sin(R), rtol=1e-6)


def test_the_gradient_in_x_is_that_of_the_transpose_and_in_the_residuals_that_of_the_function():
    of_r, of_x = jax.grad(lambda r, x: scaled(r, x).sum(), (0, 1))(R, X)
    np.testing.assert_allclose(of_x, 2 * np.sin(R), rtol=1e-6)
    np.testing.assert_allclose(of_r, np.cos(R) * X, rtol=1e-6)


def test_the_transpose_itself_is_differentiated_again():
    mixed = jax.grad(lambda r: jax.grad(lambda x: scaled(r, x).sum())(X).sum())
    np.testing.assert_allclose(mixed(R), 2 * np.cos(R), rtol=1e-6)
    np.testing.assert_allclose(jax.jvp(mixed, (R,), (jnp.ones(3),))[1], -2 * np.sin(R), rtol=1e-6)


def test_a_zero_that_is_known_is_neither_handed_over_nor_given_a_gradient():
    @jax.custom_jvp
    def plus(x, y):
        return R * x + y

    def tangent(primals, tangents):
        return plus(*primals), linear(lambda r, pair: r * pair[0] + pair[1], lambda r, y: [r * y, y], R, list(tangents))

    plus.defjvp(tangent, symbolic_zeros=True)
    np.testing.assert_allclose(jax.grad(lambda x: plus(x, X).sum())(X), R)
    np.testing.assert_allclose(jax.grad(lambda y: plus(X, y).sum())(X), jnp.ones(3))
    program = jax.make_jaxpr(lambda y, t: jax.jvp(lambda y: plus(X, y), (y,), (t,))[1])(X, X)
    (equation,) = (equation for equation in program.eqns if equation.primitive.name == "linear")
    assert len(equation.invars) == 2


WRAPPERS = {
    "jit": jax.jit,
    "checkpoint": jax.checkpoint,
    "scan": lambda f: lambda r, x: jax.lax.scan(lambda _, rx: (0, f(*rx)), 0, (r[None], x[None]))[1][0],
    "both": lambda f: jax.jit(jax.checkpoint(jax.jit(f))),
}


DERIVATIVES = [
    jax.grad,
    jax.jacfwd,
    lambda f: lambda r, x: jax.jvp(lambda r: jax.grad(f)(r, x), (r,), (x,))[1],
    lambda f: jax.grad(lambda r, x: jax.jvp(lambda r: f(r, x), (r,), (x,))[1]),
    lambda f: jax.grad(lambda r, x: jnp.sum(jax.grad(f, 1)(r, x) ** 2)),
]


@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
def test_transformations_keep_both_modes(wrap):
    wrapped = wrap(scaled)
    expected, found = (
        [derivative(lambda r, x, f=f: jnp.sum(jnp.tanh(f(r, x))))(R, X) for derivative in DERIVATIVES]
        for f in (scaled, wrapped)
    )
    np.testing.assert_allclose(jnp.hstack(found), jnp.hstack(expected), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("axes", [(0, 0), (0, None), (None, 0), (1, 0)])
def test_it_is_mapped_over_either_or_both(axes):
    many = jnp.stack([R, 2 * R, -R, 0.1 * R])
    r = R if axes[0] is None else many.T if axes[0] else many
    x = X if axes[1] is None else many[::-1]
    rows = [
        (
            np.asarray(r) if axes[0] is None else np.take(np.asarray(r), n, axes[0]),
            np.asarray(x if axes[1] is None else x[n]),
        )
        for n in range(4)
    ]
    np.testing.assert_allclose(jax.vmap(scaled, axes)(r, x), [np.sin(a) * b for a, b in rows], rtol=1e-6)
    # The gradient of what is not mapped is the sum over all.
    of_x = jax.grad(lambda x: jax.vmap(scaled, axes)(r, x).sum())(x)
    expected = np.stack([2 * np.sin(a) for a, _ in rows])
    np.testing.assert_allclose(of_x, expected.sum(0) if axes[1] is None else expected, rtol=1e-5)
    of_r = jax.grad(lambda r: jax.vmap(scaled, axes)(r, x).sum())(r)
    expected = np.stack([np.cos(a) * b for a, b in rows])
    np.testing.assert_allclose(of_r, expected.sum(0) if axes[0] is None else expected.T if axes[0] else expected, 1e-5)


@pytest.mark.parametrize("check", [True, False])
def test_devices_that_compute_their_own_parts_add_up_the_gradient_of_what_they_share(check):
    mesh = jax.make_mesh((4,), ("i",), axis_types=(jax.sharding.AxisType.Auto,), devices=jax.devices()[:4])
    many, shared = np.arange(12.0, dtype=np.float32).reshape(4, 3), np.asarray(X)
    split = PartitionSpec("i")

    @functools.partial(jax.shard_map, mesh=mesh, in_specs=(split, PartitionSpec()), out_specs=split, check_vma=check)
    def each(r, x):
        return scaled(r, x[None])

    np.testing.assert_allclose(jax.jit(each)(many, X), np.sin(many) * shared, rtol=1e-5, atol=1e-6)
    gradient = jax.jit(jax.grad(lambda x: each(many, x).sum()))(X)
    np.testing.assert_allclose(gradient, 2 * np.sin(many).sum(0), rtol=1e-5)
    tangent = jax.jit(lambda x: jax.jvp(functools.partial(each, many), (x,), (jnp.ones(3),))[1])(X)
    np.testing.assert_allclose(tangent, np.sin(many), rtol=1e-5, atol=1e-6)


def test_trees_go_in_and_come_out():
    def function(r, x):
        return {"sum": r["k"] @ x[0] + x[1], "first": x[0]}

    def transpose(r, y):
        return (r["k"].T @ y["sum"] + y["first"], y["sum"])

    k = jnp.arange(6.0).reshape(2, 3)
    x = (X, jnp.asarray([4.0, -1.0]))
    y, pull = jax.vjp(lambda x: linear(function, transpose, {"k": k}, x), x)
    np.testing.assert_allclose(y["sum"], k @ X + x[1])
    np.testing.assert_allclose(
        pull({"sum": jnp.asarray([1.0, 2.0]), "first": X})[0][0], k.T @ np.asarray([1.0, 2.0]) + X
    )
    # What comes out of one alone is transposed by itself.
    np.testing.assert_allclose(
        jax.grad(lambda b: linear(function, transpose, {"k": k}, (X, b))["sum"].sum())(x[1]), [1.0, 1.0]
    )
