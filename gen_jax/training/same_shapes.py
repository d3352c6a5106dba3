"""One operation on many leaves, compiled once for all small ones of one shape.

A network has hundreds of leaves and a few dozen shapes. What is written for each leaf on its own can take longer to
compile than the train step; stacked, the small ones cost one operation a shape, and a copy that is small too.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax.training.game import Array

# Elements of the largest leaf that is stacked.
SMALL = 2**14


def over_leaves(function: Callable[[Array], Array], leaves: Sequence[Array], small: int = SMALL) -> Array:
    """jnp.stack([function(leaf) for leaf in leaves]); for use inside jit.

    Args:
      function: of one leaf; its result has the same shape and dtype for all.
      leaves: one or more.
      small: elements of the largest leaf that is stacked with others of its shape and dtype.
    """
    groups: dict[object, list[int]] = {}
    for number, leaf in enumerate(leaves):
        groups.setdefault((leaf.shape, leaf.dtype) if leaf.size <= small else number, []).append(number)
    # Traced once for each shape.
    each = jax.vmap(jax.jit(function))
    found = jnp.concatenate([each(jnp.stack([leaves[number] for number in group])) for group in groups.values()])
    return found[np.argsort([number for group in groups.values() for number in group])]
