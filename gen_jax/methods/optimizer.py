"""How parameters move: the optimizers of optax under one option, and how their learning rate goes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import optax
from optax import contrib

from gen_jax.config import Betas, Config, Steps, Weight
from gen_jax.errors import ConfigError


class Rule(NamedTuple):
    """An optimizer.

    Attributes:
      make: (learning rate or schedule, **the options that it uses) -> the transformation of gradients.
      uses: fields of `Optimizer`, of those that not all optimizers have.
    """

    make: Callable[..., optax.GradientTransformation]
    uses: tuple[str, ...] = ()


def _muon(rate: Any, betas: tuple[float, float], weight_decay: float) -> optax.GradientTransformation:
    """Muon for the matrices and Adam for all else, by which biases, scales and kernels of convolutions move."""
    return contrib.muon(
        rate, adam_b1=betas[0], adam_b2=betas[1], weight_decay=weight_decay, adam_weight_decay=weight_decay
    )


RULES = {
    "adam": Rule(lambda rate, betas: optax.adam(rate, *betas), ("betas",)),
    "adamw": Rule(
        lambda rate, betas, weight_decay: optax.adamw(rate, *betas, weight_decay=weight_decay),
        ("betas", "weight_decay"),
    ),
    "lion": Rule(
        lambda rate, betas, weight_decay: optax.lion(rate, *betas, weight_decay=weight_decay),
        ("betas", "weight_decay"),
    ),
    "rmsprop": Rule(optax.rmsprop),
    "sgd": Rule(optax.sgd),
    "adagrad": Rule(optax.adagrad),
    "muon": Rule(_muon, ("betas", "weight_decay")),
}


@dataclass(frozen=True)
class Optimizer(Config):
    """Options of the optimizer; with more than one, of each of them."""

    optimizer: Literal["adam", "adamw", "lion", "rmsprop", "sgd", "adagrad", "muon"] = "adam"
    """Which optimizer; muon moves matrices, and adam all else."""
    betas: Betas = (0.9, 0.999)
    """Decay rates of the averages of gradients and of their squares: adam, adamw, lion, muon."""
    weight_decay: Weight = 0.0
    """Share of the weights, times the learning rate, that each step takes away: adamw, lion, muon."""
    warmup: Steps = 0
    """Steps over which the learning rate grows from 0."""
    decay_steps: Steps = 0
    """Step at which the learning rate has fallen to 0; 0: it stays."""
    decay_schedule: Literal["linear", "cosine"] = "linear"
    """How it falls, from the end of the warm-up on."""
    clip_gradients: Weight = 0.0
    """Largest norm of the gradient; 0: no limit."""

    def check(self) -> None:
        """Raises ConfigError, also where the learning rate would have to grow and fall at once."""
        super().check()
        if 0 < self.decay_steps <= self.warmup:
            raise ConfigError(
                f"--warmup is {self.warmup}; accepted: a number below --decay-steps, {self.decay_steps}, "
                "at which the learning rate is back at 0"
            )

    def unused(self) -> dict[str, str]:
        """The options that the optimizer does not have, and how to decay what does not decay."""
        found = super().unused()
        for name in ("betas", "weight_decay"):
            if name not in RULES[self.optimizer].uses:
                able = ", ".join(other for other, rule in RULES.items() if name in rule.uses)
                found[name] = f"--optimizer {self.optimizer} does not use it; these do: {able}"
        if not self.decay_steps:
            found["decay_schedule"] = "without --decay-steps the learning rate stays as it is"
        return found

    def rate(self, moves: int = 1) -> optax.ScalarOrSchedule:
        """The learning rate: a number, or a function of how often the optimizer has moved.

        Args:
          moves: how often it moves in a step.
        """
        parts: list[optax.Schedule] = []
        if self.warmup:
            parts.append(optax.linear_schedule(0.0, self.learning_rate, self.warmup * moves))
        if self.decay_steps:
            fall = (self.decay_steps - self.warmup) * moves
            if self.decay_schedule == "linear":
                parts.append(optax.linear_schedule(self.learning_rate, 0.0, fall))
            else:
                parts.append(optax.cosine_decay_schedule(self.learning_rate, fall))
        if len(parts) == 2:
            return optax.join_schedules(parts, [self.warmup * moves])
        # A warm-up ends where it has come to.
        return parts[0] if parts else self.learning_rate

    def transformation(self, moves: int = 1) -> optax.GradientTransformation:
        """The optimizer that the options describe.

        Args:
          moves: how often it moves in a step; its schedules are in steps.
        """
        rule = RULES[self.optimizer]
        optimizer = rule.make(self.rate(moves), **{name: getattr(self, name) for name in rule.uses})
        if self.clip_gradients:
            return optax.chain(optax.clip_by_global_norm(self.clip_gradients), optimizer)
        # Where clipping is the default, none keeps its place, so that states with and without have one shape.
        return optax.chain(optax.identity(), optimizer) if type(self).clip_gradients else optimizer
