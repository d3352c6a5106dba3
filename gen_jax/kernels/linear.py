"""Linear functions with a transpose of their own, from which both modes of differentiation get their derivatives.

A function whose gradient is computed in a form of its own (`jax.custom_vjp`) has no derivative in forward mode. Where
its tangent is a linear function that knows its transpose, JAX has both: forward mode computes the tangent, and reverse
mode transposes it. `jax.custom_derivatives.linear_call` is such a function, but cannot be differentiated in what it is
not linear in, and so not a second time.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

Function = Callable[..., Any]

linear_p = Primitive("linear")
linear_p.multiple_results = True


def linear(function: Function, transpose: Function, residuals: Any, x: Any) -> Any:
    """`function(residuals, x)`, which is linear in x and has the transpose `transpose(residuals, y)`.

    The result can be differentiated in x and in the residuals, in both modes, as often as `function` and `transpose`
    can. Its derivatives in the residuals are those of `function`, or of `transpose` once it is transposed.

    Args:
      function: (residuals, x) -> y, of trees of arrays. It must not close over traced arrays, nor must `transpose`.
      transpose: (residuals, y) -> x, with <transpose(residuals, y), x> = <y, function(residuals, x)>.
      residuals: the arguments in which `function` need not be linear; reverse mode keeps them for the backward pass.
      x: the argument in which it is linear. A leaf that is a `SymbolicZero` is no operand and gets no gradient.
    """
    leaves, tree = jax.tree.flatten(x)
    zeros = [leaf if isinstance(leaf, SymbolicZero) else None for leaf in leaves]

    def of_present(residuals: Any, given: Sequence[Any]) -> Any:
        values = iter(given)
        filled = [next(values) if zero is None else jnp.zeros(zero.shape, zero.dtype) for zero in zeros]
        return function(residuals, jax.tree.unflatten(tree, filled))

    def to_present(residuals: Any, y: Any) -> list[jax.Array]:
        made = jax.tree.leaves(transpose(residuals, y))
        return [leaf for leaf, zero in zip(made, zeros, strict=True) if zero is None]

    given = [leaf for leaf, zero in zip(leaves, zeros, strict=True) if zero is None]
    traced_once = jax.jit(of_present, inline=True)
    out_tree = jax.tree.structure(jax.eval_shape(traced_once, residuals, given))
    operands, in_tree = jax.tree.flatten((residuals, given))
    number = len(operands) - len(given)
    # Inside `jax.shard_map` the transpose of this sums the gradient of a replicated x over the devices.
    varying = frozenset().union(*(jax.typeof(operand).mat.varying for operand in operands))
    operands[number:] = [_varying(leaf, varying) for leaf in given]
    made = linear_p.bind(
        *operands, function=traced_once, transpose=to_present, in_tree=in_tree, out_tree=out_tree, residuals=number
    )
    return jax.tree.unflatten(out_tree, made)


def total(terms: Sequence[Callable[[Any], Any]], tangents: Sequence[Any]) -> Any:
    """The sum over arguments of term(tangent), without the terms of tangents that are symbolically zero."""
    found = [term(t) for term, t in zip(terms, tangents, strict=True) if not _is_zero(t)]
    return functools.reduce(functools.partial(jax.tree.map, jnp.add), found)


def _is_zero(tangent: Any) -> bool:
    return all(isinstance(leaf, SymbolicZero) for leaf in jax.tree.leaves(tangent))


def _varying(x: Any, axes: frozenset[str]) -> Any:
    """x, typed as varying along these axes of `jax.shard_map`."""
    missing = tuple(sorted(axes - jax.typeof(x).mat.varying))
    return jax.lax.pcast(x, missing, to="varying") if missing else x


def _leaves(*operands: Any, function: Any, in_tree: Any, **_: Any) -> list[Any]:
    """The value, operation by operation; `function` is jitted only so that its traces are cached."""
    return jax.tree.leaves(function.__wrapped__(*in_tree.unflatten(operands)))


def _traced_leaves(*operands: Any, function: Any, in_tree: Any, **_: Any) -> list[Any]:
    return jax.tree.leaves(function(*in_tree.unflatten(operands)))


def _types(*operands: Any, **params: Any) -> list[Any]:
    return jax.make_jaxpr(lambda *operands: _traced_leaves(*operands, **params))(*operands).out_avals


def _tangent(primals: Any, tangents: Any, *, residuals: int, **params: Any) -> tuple[Any, Any]:
    """The value, and the sum of its tangent in x, which is the function itself, and of its tangent in the residuals."""
    made = linear_p.bind(*primals, residuals=residuals, **params)
    terms = []
    if not all(isinstance(tangent, ad.Zero) for tangent in tangents[residuals:]):
        of_x = [ad.instantiate_zeros(tangent) for tangent in tangents[residuals:]]
        terms.append(linear_p.bind(*primals[:residuals], *of_x, residuals=residuals, **params))
    moved = [n for n in range(residuals) if not isinstance(tangents[n], ad.Zero)]
    if moved:

        def of_moved(*values: Any) -> list[Any]:
            operands = list(primals)
            for n, value in zip(moved, values, strict=True):
                operands[n] = value
            return _leaves(*operands, **params)

        terms.append(jax.jvp(of_moved, [primals[n] for n in moved], [tangents[n] for n in moved])[1])
    return made, [ad.add_tangents(*pair) if len(pair) > 1 else pair[0] for pair in zip(*terms, strict=True)]


def _transposed(
    cotangents: Any, *operands: Any, transpose: Function, in_tree: Any, out_tree: Any, residuals: int, **_: Any
) -> list[Any]:
    """The cotangents of x. The transpose is called, not bound, so that its own rules decide its derivatives."""
    tree, _ = in_tree.children()
    y = out_tree.unflatten([ad.instantiate_zeros(cotangent) for cotangent in cotangents])
    made = transpose(tree.unflatten(operands[:residuals]), y)
    wanted = [ad.is_undefined_primal(operand) for operand in operands[residuals:]]
    return [None] * residuals + [leaf if is_wanted else None for leaf, is_wanted in zip(made, wanted, strict=True)]


def _mapped(
    operands: Any, axes: Any, *, function: Any, transpose: Function, in_tree: Any, residuals: int, **params: Any
) -> tuple[list[Any], list[int]]:
    """The function mapped by `jax.vmap`. An x that is not mapped is broadcast, whose transpose sums the gradients."""
    size = next(x.shape[axis] for x, axis in zip(operands, axes, strict=True) if axis is not None)
    x = [batching.bdim_at_front(*pair, size) for pair in zip(operands[residuals:], axes[residuals:], strict=True)]
    tree, _ = in_tree.children()
    in_axes = (tree.unflatten(axes[:residuals]), 0)
    mapped = {
        "function": jax.jit(jax.vmap(function.__wrapped__, in_axes), inline=True),
        "transpose": jax.vmap(transpose, in_axes),
    }
    made = linear_p.bind(*operands[:residuals], *x, in_tree=in_tree, residuals=residuals, **mapped, **params)
    return made, [0] * len(made)


linear_p.def_impl(_leaves)
linear_p.def_abstract_eval(_types)
ad.primitive_jvps[linear_p] = _tangent
ad.primitive_transposes[linear_p] = _transposed
batching.primitive_batchers[linear_p] = _mapped
mlir.register_lowering(linear_p, mlir.lower_fun(_traced_leaves, multiple_results=True))
