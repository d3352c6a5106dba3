"""Group normalisation with the activation that follows it, and on a CPU a gradient that needs the input alone.

Wu & He, Group Normalization, arXiv 1803.08494, section 3. Differentiated operation by operation, much between the input
and the activation's output is kept for the backward pass. Here it is computed again, from the input and two numbers a
group: on a CPU in three fifths of the time too, for it passes over the images less often. A TPU fuses the operations
with the convolutions around them, and would move a tenth more bytes in a step of the published U-Net.
"""

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gen_jax.kernels.linear import linear

EPSILON = 1e-6
"""Added to the variance of a group."""

Activation = Callable[[jax.Array], jax.Array]

# A network has many norms of one shape. Each form is traced once for it, and put in its place operation by operation.
traced_once = functools.partial(jax.jit, static_argnames=("groups", "activation"), inline=True)


def identity(x: jax.Array) -> jax.Array:
    """No activation."""
    return x


@functools.partial(jax.custom_jvp, nondiff_argnums=(3, 4))
def normalised(
    x: Float[Array, "batch height width channels"],
    scale: Float[Array, "1 1 1 channels"],
    bias: Float[Array, "1 1 1 channels"],
    groups: int,
    activation: Activation,
) -> Float[Array, "batch height width channels"]:
    """activation(scale * (x - mean) / sqrt(variance + EPSILON) + bias), mean and variance of each example's groups."""
    cpu, default = (functools.partial(form, groups=groups, activation=activation) for form in (by_hand, of_flax))
    return jax.lax.platform_dependent(x, scale, bias, cpu=cpu, default=default)


def _tangent(
    groups: int, activation: Activation, primals: tuple[jax.Array, ...], tangents: tuple[Any, ...]
) -> tuple[jax.Array, jax.Array]:
    values, gradients = (
        [functools.partial(form, groups=groups, activation=activation) for form in forms]
        for forms in ((by_hand, of_flax), (gradient_by_hand, gradient_of_flax))
    )

    def push(primals: tuple[jax.Array, ...], tangents: tuple[jax.Array, ...]) -> jax.Array:
        cpu, default = (_pushed_forward(value) for value in values)
        return jax.lax.platform_dependent(primals, tangents, cpu=cpu, default=default)

    def pull(primals: tuple[jax.Array, ...], cotangent: jax.Array) -> tuple[jax.Array, ...]:
        cpu, default = gradients
        return jax.lax.platform_dependent(*primals, cotangent, cpu=cpu, default=default)

    return normalised(*primals, groups, activation), linear(push, pull, primals, tangents)


def _pushed_forward(function: Callable[..., jax.Array]) -> Callable[..., jax.Array]:
    """(arguments, their tangents) -> the tangent of the value."""
    return lambda primals, tangents: jax.jvp(function, primals, tangents)[1]


normalised.defjvp(_tangent, symbolic_zeros=True)


@traced_once
def of_flax(
    x: jax.Array, scale: jax.Array, bias: jax.Array, groups: int, activation: Activation
) -> Float[Array, "batch height width channels"]:
    """`normalised`, computed by `flax.linen.GroupNorm`."""
    norm = nn.GroupNorm(groups, epsilon=EPSILON, dtype=x.dtype, parent=None)
    y: Any = norm.apply({"params": {"scale": scale.reshape(-1), "bias": bias.reshape(-1)}}, x)
    return activation(y)


@traced_once
def gradient_of_flax(
    x: jax.Array, scale: jax.Array, bias: jax.Array, cotangent: jax.Array, groups: int, activation: Activation
) -> tuple[jax.Array, ...]:
    """The gradients in x, scale and bias. XLA merges the forward pass in it with the first one."""
    return jax.vjp(functools.partial(of_flax, groups=groups, activation=activation), x, scale, bias)[1](cotangent)


@traced_once
def by_hand(
    x: jax.Array, scale: jax.Array, bias: jax.Array, groups: int, activation: Activation
) -> Float[Array, "batch height width channels"]:
    """`normalised`, with all intermediate values in float32."""
    mean, inverse = _statistics(x, groups)
    y = activation((x.astype(jnp.float32) - mean) * (inverse * scale) + bias)
    return y.astype(x.dtype)


@traced_once
def gradient_by_hand(
    x: jax.Array, scale: jax.Array, bias: jax.Array, cotangent: jax.Array, groups: int, activation: Activation
) -> tuple[jax.Array, ...]:
    """The gradients in x, scale and bias. With n the normalised x and d the cotangent of scale * n + bias, that in x is

    (scale d - mean(scale d) - n mean(scale d n)) / sqrt(variance + EPSILON),   means over a group.
    """
    mean, inverse = _statistics(x, groups)
    n = (x.astype(jnp.float32) - mean) * inverse
    (d,) = jax.vjp(activation, n * scale + bias)[1](cotangent.astype(jnp.float32))
    of_bias, of_scale = d.sum((1, 2), keepdims=True), (d * n).sum((1, 2), keepdims=True)
    pixels = x.shape[1] * x.shape[2]
    mean_d, mean_dn = (_mean(scale * total / pixels, groups) for total in (of_bias, of_scale))
    of_x = (scale * d - mean_d - n * mean_dn) * inverse
    return of_x.astype(x.dtype), of_scale.sum(0, keepdims=True), of_bias.sum(0, keepdims=True)


def _statistics(
    x: Float[Array, "batch height width channels"], groups: int
) -> tuple[Float[Array, "batch 1 1 channels"], Float[Array, "batch 1 1 channels"]]:
    """The mean and 1 / sqrt(variance + EPSILON) of the group of each channel."""
    wide = x.astype(jnp.float32)
    mean = _mean(wide, groups)
    # Rounding can make the difference negative.
    variance = jnp.maximum(_mean(jnp.square(wide), groups) - jnp.square(mean), 0.0)
    return mean, jax.lax.rsqrt(variance + EPSILON)


def _mean(x: Float[Array, "batch height width channels"], groups: int) -> Float[Array, "batch 1 1 channels"]:
    """The mean over the pixels and channels of each group of an example, repeated for each channel of the group."""
    batch, _, _, channels = x.shape
    # The sum over pixels comes first: it leaves the channels in place, and little is left to regroup.
    of_groups = x.mean((1, 2)).reshape(batch, groups, -1).mean(-1)
    return of_groups.repeat(channels // groups, axis=1).reshape(batch, 1, 1, channels)
