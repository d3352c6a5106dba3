"""What a worker holds and runs: the same few questions to gen_jax and to PyTorch."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from benchmarks.speed.workloads import Workload


@dataclass(frozen=True)
class Order:
    """What a worker is asked to build.

    Attributes:
      workload: what to run.
      images: uint8 (n, height, width, channels).
      device: "cpu" or "gpu".
      precision: "float32", "tensorfloat32" or "bfloat16".
      mode: a PyTorch mode's fields; gen_jax has but one.
    """

    workload: Workload
    images: np.ndarray
    device: str
    precision: str
    mode: dict[str, Any]


class Subject(Protocol):
    """A workload on one side, ready for its first step."""

    @property
    def parameters(self) -> dict[str, int]:
        """The number of parameters of each network."""
        ...

    def run(self, steps: int) -> None:
        """So many steps, or batches of samples; all of their work is done when it returns."""
        ...

    def flops(self) -> float | None:
        """Floating-point operations of matrix products and convolutions in one step, where they can be counted."""
        ...

    def disagreement(self) -> float | None:
        """By how much this way of running differs from the plain one, as a share; None where it is the plain one."""
        ...

    def accelerator_peak(self) -> int | None:
        """Peak of the bytes in use on the accelerator; None on a CPU."""
        ...

    def reset_accelerator_peak(self) -> None:
        """Begins to watch for a new peak, where that can be asked for."""
        ...


class Side(Protocol):
    """A module that can do workloads."""

    def describe(self, device: str) -> dict[str, Any]:
        """{"version": …, "device": "cpu" or "gpu", "name": of the device}."""
        ...

    def build(self, order: Order) -> Subject:
        """The workload, with its data in place."""
        ...

    def product(self, size: int, device: str, precision: str) -> Subject:
        """A product of two square matrices of random numbers."""
        ...
