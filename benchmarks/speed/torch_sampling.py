"""The samplers of `gen_jax.samplers` in PyTorch, a step at a time."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.speed.torch_losses import betas


@dataclass(frozen=True)
class Chain:
    """The diffusion that visits some of the times of another, evenly spaced.

    Attributes:
      times: (kept,) of the long diffusion, increasing; the first and the last are among them.
      alphas_bar: (kept,) share of signal left at each.
    """

    times: np.ndarray
    alphas_bar: np.ndarray

    @classmethod
    def of(cls, schedule: str, steps: int, kept: int) -> "Chain":
        """`kept` of `steps`; 0 keeps all."""
        times = np.round(np.linspace(1, steps, kept or steps)).astype(np.int64) - 1
        return cls(times, np.cumprod(1 - betas(schedule, steps))[times])

    @property
    def alphas_bar_before(self) -> np.ndarray:
        """Of the time that is visited after each, on the way back."""
        return np.concatenate([[1.0], self.alphas_bar[:-1]])


def table(*columns: np.ndarray) -> Tensor:
    """(kept, columns): what a step needs to know of its time."""
    return torch.tensor(np.stack(columns, 1), dtype=torch.float32)


def ancestral_table(chain: Chain) -> Tensor:
    """(kept, 5): sqrt(alpha_bar), sqrt(1 - alpha_bar), the posterior mean's weights of x_0 and x_t, its deviation."""
    now, before = chain.alphas_bar, chain.alphas_bar_before
    beta = 1 - now / before
    deviation = np.sqrt(beta * (1 - before) / (1 - now))
    from_x0, from_xt = beta * np.sqrt(before) / (1 - now), (1 - before) * np.sqrt(1 - beta) / (1 - now)
    return table(np.sqrt(now), np.sqrt(1 - now), from_x0, from_xt, deviation)


def ancestral_step(network: nn.Module, rows: Tensor, times: Tensor, x: Tensor, number: Tensor, noise: Tensor) -> Tensor:
    """x_t to x_{t-1}, for the time that is `number` (1,) among those kept; no noise is added in the last step."""
    signal, deviation, from_x0, from_xt, added = rows.index_select(0, number)[0].unbind()
    predicted = network(x, times.index_select(0, number).expand(len(x)))
    x_0 = ((x - deviation * predicted) / signal).clamp(-1.0, 1.0)
    return from_x0 * x_0 + from_xt * x + added * noise


def ddim_table(chain: Chain) -> Tensor:
    """(kept, 4): sqrt(alpha_bar) and sqrt(1 - alpha_bar) of each time and of the one after it."""
    now, before = chain.alphas_bar, chain.alphas_bar_before
    return table(np.sqrt(now), np.sqrt(1 - now), np.sqrt(before), np.sqrt(1 - before))


def ddim_step(network: nn.Module, rows: Tensor, times: Tensor, x: Tensor, number: Tensor, noise: None) -> Tensor:
    """x_t to x_{t-1} without any noise; that which leads from the clipped x_0 to x_t stays."""
    signal, deviation, signal_before, deviation_before = rows.index_select(0, number)[0].unbind()
    predicted = network(x, times.index_select(0, number).expand(len(x)))
    x_0 = ((x - deviation * predicted) / signal).clamp(-1.0, 1.0)
    return signal_before * x_0 + deviation_before * (x - signal * x_0) / deviation


@dataclass(frozen=True)
class Stepper:
    """A sampler.

    Attributes:
      table: what its step needs to know of each time.
      step: (network, table, times, x, number, noise) -> the next x.
      is_random: whether its steps take noise.
    """

    table: Callable[[Chain], Tensor]
    step: Callable[..., Tensor]
    is_random: bool


STEPPERS = {
    "ancestral": Stepper(ancestral_table, ancestral_step, True),
    "ddim": Stepper(ddim_table, ddim_step, False),
}
