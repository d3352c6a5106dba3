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

    It can be differentiated in x and in the residuals, in both modes and as often as `function` and `transpose` can: in
    the residuals, and after it was transposed, its derivatives are those of the two.

    Args:
      function: (residuals, x) -> y, of trees of arrays. It may hold no array that is differentiated.
      transpose: (residuals, y) -> x, with <transpose(residuals, y), x> = <y, function(residuals, x)>.
      residuals: what `function` needs not be linear in; reverse mode keeps them for the backward pass.
      x: what it is linear in; a leaf that is a `SymbolicZero` is zero, and nothing is computed for it.
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
    # On devices that are told one by one what to do, the transpose of this adds up the parts of a gradient.
    varying = frozenset().union(*(jax.typeof(operand).mat.varying for operand in operands))
    operands[number:] = [_varying(leaf, varying) for leaf in given]
    made = linear_p.bind(
        *operands, function=traced_once, transpose=to_present, in_tree=in_tree, out_tree=out_tree, residuals=number
    )
    return jax.tree.unflatten(out_tree, made)


def total(terms: Sequence[Callable[[Any], Any]], tangents: Sequence[Any]) -> Any:
    """The sum of what each argument's tangent is mapped to by its term; nothing is computed for one that is zero."""
    found = [term(t) for term, t in zip(terms, tangents, strict=True) if not _is_zero(t)]
    return functools.reduce(functools.partial(jax.tree.map, jnp.add), found)


def _is_zero(tangent: Any) -> bool:
    return all(isinstance(leaf, SymbolicZero) for leaf in jax.tree.leaves(tangent))


def _varying(x: Any, axes: frozenset[str]) -> Any:
    """x, as what may differ between the devices along the axes of `jax.shard_map`."""
    missing = tuple(sorted(axes - jax.typeof(x).mat.varying))
    return jax.lax.pcast(x, missing, to="varying") if missing else x


def _leaves(*operands: Any, function: Any, in_tree: Any, **_: Any) -> list[Any]:
    """The value, operation by operation: `function` is jitted for the cache of its traces alone."""
    return jax.tree.leaves(function.__wrapped__(*in_tree.unflatten(operands)))


def _traced_leaves(*operands: Any, function: Any, in_tree: Any, **_: Any) -> list[Any]:
    return jax.tree.leaves(function(*in_tree.unflatten(operands)))


def _types(*operands: Any, **params: Any) -> list[Any]:
    return jax.make_jaxpr(lambda *operands: _traced_leaves(*operands, **params))(*operands).out_avals


def _tangent(primals: Any, tangents: Any, *, residuals: int, **params: Any) -> tuple[Any, Any]:
    """The sum of the tangent in x, which is the function of that of x, and of the tangent in the residuals."""
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
    """The transpose takes the place of the function: its own rules say how it is differentiated."""
    tree, _ = in_tree.children()
    y = out_tree.unflatten([ad.instantiate_zeros(cotangent) for cotangent in cotangents])
    made = transpose(tree.unflatten(operands[:residuals]), y)
    wanted = [ad.is_undefined_primal(operand) for operand in operands[residuals:]]
    return [None] * residuals + [leaf if is_wanted else None for leaf, is_wanted in zip(made, wanted, strict=True)]


def _mapped(
    operands: Any, axes: Any, *, function: Any, transpose: Function, in_tree: Any, residuals: int, **params: Any
) -> tuple[list[Any], list[int]]:
    """Of many at once. x always has the axis: where it had none, the broadcast adds up the gradients of all."""
    size = next(x.shape[axis] for x, axis in zip(operands, axes, strict=True) if axis is not None)
    x = [batching.bdim_at_front(*pair, size) for pair in zip(operands[residuals:], axes[residuals:], strict=True)]
    tree, _ = in_tree.children()
    in_axes = (tree.unflatten(axes[:residuals]), 0)
    function, transpose = (jax.jit(jax.vmap(f.__wrapped__, in_axes), inline=True) for f in (function, transpose))
    made = linear_p.bind(
        *operands[:residuals],
        *x,
        function=function,
        transpose=transpose,
        in_tree=in_tree,
        residuals=residuals,
        **params,
    )
    return made, [0] * len(made)


linear_p.def_impl(_leaves)
linear_p.def_abstract_eval(_types)
ad.primitive_jvps[linear_p] = _tangent
ad.primitive_transposes[linear_p] = _transposed
batching.primitive_batchers[linear_p] = _mapped
mlir.register_lowering(linear_p, mlir.lower_fun(_traced_leaves, multiple_results=True))
