"""What the pictures of several methods have in common: their size, and the way from one latent to another."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gen_jax.training.game import Batch, Codec, Params, Variables, View

ROWS = 8
COLUMNS = 10


def rows_of(x: Float[Array, "batch *shape"]) -> Float[Array, "rows *shape"]:
    """The examples that a view shows, a row each: the first eight, or all where there are fewer."""
    return x[:ROWS]


def spherical_path(
    start: Float[Array, "rows latent"], end: Float[Array, "rows latent"], columns: int = COLUMNS
) -> Float[Array, "rows {columns} latent"]:
    """Latents evenly spaced along the arc from `start` to `end`, both ends among them.

        (sin((1 - s) a) start + sin(s a) end) / sin a,   a the angle between them,   s from 0 to 1

    White, Sampling Generative Networks, arXiv 1609.04468, section 2.1: draws of a Gaussian in many dimensions lie near
    a sphere, and a straight line would lead through its inside, where the model has seen nothing. Latents in line with
    each other, or one of which is zero, have no arc between them and are joined by a straight line.
    """
    s = jnp.linspace(0.0, 1.0, columns)[None, :, None]
    start, end = start[:, None], end[:, None]
    lengths = jnp.linalg.norm(start, axis=-1, keepdims=True) * jnp.linalg.norm(end, axis=-1, keepdims=True)
    cosine = jnp.sum(start * end, axis=-1, keepdims=True) / jnp.where(lengths > 0, lengths, 1.0)
    # Near 0 and near pi the sine is too small to divide by.
    has_arc = (lengths > 0) & (jnp.abs(cosine) < 1 - 1e-6)
    angle = jnp.arccos(jnp.where(has_arc, cosine, 0.0))
    arc = (jnp.sin((1 - s) * angle) * start + jnp.sin(s * angle) * end) / jnp.sin(angle)
    return jnp.where(has_arc, arc, (1 - s) * start + s * end)


def straight_path(
    start: Float[Array, "rows *shape"], end: Float[Array, "rows *shape"], columns: int = COLUMNS
) -> Float[Array, "rows {columns} *shape"]:
    """Points evenly spaced along the straight line from `start` to `end`, both ends among them."""
    s = jnp.linspace(0.0, 1.0, columns).reshape(1, -1, *[1] * (start.ndim - 1))
    return (1 - s) * start[:, None] + s * end[:, None]


def column_steps(steps: int, columns: int = COLUMNS) -> np.ndarray:
    """Numbers of steps left, from all of them to none, at which a chain is looked at: at most `columns`, distinct."""
    return np.round(np.linspace(steps, 0, min(columns, steps + 1))).astype(np.int32)


def flatten(rows: Float[Array, "rows columns *shape"]) -> Float[Array, "examples *shape"]:
    """All examples of a picture one after another, row by row, as a network takes them."""
    return jax.lax.collapse(rows, 0, 2)


def unflatten(examples: Float[Array, "examples *shape"], columns: int) -> Float[Array, "rows {columns} *shape"]:
    """The rows of a picture again."""
    return examples.reshape(-1, columns, *examples.shape[1:])


def reconstructions(codec: Codec, given: Sequence[str] = ()) -> View:
    """Held-out examples beside what encoder and decoder make of them."""
    assert codec.encode is not None
    encode = codec.encode

    def view(params: Params, variables: Variables, batch: Batch, key: Array) -> Array:
        x, asked = rows_of(batch["x"]), {name: rows_of(batch[name]) for name in given}
        codes = encode(params, variables, x, key, **asked)
        return jnp.stack([x, codec.decode(params, variables, codes, key, **asked)], axis=1)

    caption = "Held-out examples, and below each what encoder and decoder make of it."
    return View(view, "Reconstructions", caption)


def interpolations(codec: Codec, given: Sequence[str] = ()) -> View:
    """From each code to the next: of held-out examples, or where there is no encoder of codes that were drawn.

    Each row ends where the next begins, under the conditions of the example that it begins with.
    """

    def view(params: Params, variables: Variables, batch: Batch, key: Array) -> Array:
        x, asked = rows_of(batch["x"]), {name: rows_of(batch[name]) for name in given}
        if codec.encode is not None:
            start = codec.encode(params, variables, x, key, **asked)
        else:
            assert codec.draw is not None
            start = codec.draw(key, len(x))
        path = codec.path(start, jnp.roll(start, -1, axis=0), COLUMNS)
        columns = {name: jnp.repeat(value, COLUMNS, axis=0) for name, value in asked.items()}
        return unflatten(codec.decode(params, variables, flatten(path), key, **columns), COLUMNS)

    caption = "Each row leads from one example to another, in equal steps between codes."
    return View(view, "Interpolations", caption, looks_at_data=codec.encode is not None)
