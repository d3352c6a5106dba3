"""Classification by a head on an encoder, which may be another run's: frozen, trained on, or new."""

from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from gen_jax.losses.classification import cross_entropy
from gen_jax.methods.nets import Nets, init
from gen_jax.methods.reported import LOSS
from gen_jax.training import keys
from gen_jax.training.game import (
    Array,
    Aux,
    Batch,
    Game,
    Now,
    Params,
    Player,
    Reported,
    Transform,
    Turn,
    Variables,
)

Encode = Callable[[Params, Variables, Array, Array], Array]
"""(params, variables, x, key) -> codes (batch, …)."""


def classifier(
    head: nn.Module,
    encode: Encode,
    *,
    nets: Mapping[str, Any],
    learn: bool,
    optimizer: optax.GradientTransformation,
    transform: Transform,
) -> Game:
    """The class of x by a head on its code.

    Args:
      head: codes -> logits (batch, classes).
      encode: makes codes.
      nets: {net: variables} of the encoder to begin with, "params" among them; or {net: (key, x) -> variables} of a
        new one.
      learn: whether the encoder is trained on with the head, rather than frozen.
      optimizer: of what is trained.
      transform: from stored data to x.
    """

    def logits(using: Nets, params: Params, variables: Variables, x: Array, key: Array) -> Array:
        return using("classifier", encode(params, variables, x, keys.derive(key, "encode")))

    def loss(params: Params, variables: Variables, batch: Batch, key: Array, now: Now) -> tuple[Array, Aux]:
        using = Nets({"classifier": head}, params, variables, key, train=True)
        found = logits(using, params, variables, batch["x"], key)
        return cross_entropy(found, batch["label"]), using.aux({"accuracy": right(found, batch["label"])})

    def evaluate(params: Params, variables: Variables, batch: Batch, key: Array) -> dict[str, Array]:
        found = logits(Nets({"classifier": head}, params, variables), params, variables, batch["x"], key)
        return {"loss": cross_entropy(found, batch["label"]), "accuracy": right(found, batch["label"])}

    new = {net: make for net, make in nets.items() if callable(make)}
    given = {net: variables for net, variables in nets.items() if net not in new}

    def initialise(key: Array, example: Batch) -> dict[str, Any]:
        found = {net: make(keys.derive(key, net), example["x"]) for net, make in new.items()} | given
        params = {net: variables.get("params", {}) for net, variables in found.items()}
        variables = {net: {c: v for c, v in tree.items() if c != "params"} for net, tree in found.items()}
        codes = jax.eval_shape(lambda: encode(params, variables, example["x"], key))
        return {**found, "classifier": init(head, keys.derive(key, "classifier"), jnp.zeros(codes.shape))}

    owned = ("classifier", *(nets if learn else ()))
    return Game(
        init=initialise,
        players={"classifier": Player(owned, loss, optimizer)},
        turns=(Turn(("classifier",)),),
        transforms={"x": transform},
        evaluate=evaluate,
        reports={"loss": LOSS, "accuracy": Reported("Accuracy", "share", "larger")},
        given_nets=given,
    )


def right(logits: Array, label: Array) -> Array:
    """1 where the most probable class is the true one, else 0."""
    return (logits.argmax(axis=-1) == label).astype(jnp.float32)
