"""PyTorch's side: the same methods, stepped by hand as an experienced user would write it."""

import math
from typing import Any

import torch

from benchmarks.speed.subject import Order, Subject
from benchmarks.speed.torch_flops import counted
from benchmarks.speed.torch_methods import method_of
from benchmarks.speed.torch_modes import EAGER, Mode
from benchmarks.speed.torch_setting import Setting


class Stepped:
    """A method in one of PyTorch's modes."""

    def __init__(self, order: Order):
        """Nothing is compiled yet."""
        torch.manual_seed(0)
        self._setting = Setting(order.device, order.precision, Mode(**order.mode))
        self._method = method_of(self._setting, order.workload, order.images)

    @property
    def parameters(self) -> dict[str, int]:
        """The number of parameters of each network."""
        return {name: sum(p.numel() for p in net.parameters()) for name, net in self._method.networks.items()}

    def run(self, steps: int) -> None:
        """So many steps."""
        for _ in range(steps):
            self._method.step()
        self._setting.synchronize()

    def flops(self) -> float | None:
        """Of one step; they are counted as eager PyTorch dispatches them."""
        return counted(self._method.step) if self._setting.mode.compile is None else None

    def disagreement(self) -> float | None:
        """Of the compiled gradients from eager ones."""
        return None if self._setting.mode.compile is None else self._method.disagreement()

    def accelerator_peak(self) -> int | None:
        """Since `reset_accelerator_peak`."""
        return torch.cuda.max_memory_allocated() if self._setting.device.type == "cuda" else None

    def reset_accelerator_peak(self) -> None:
        """Begins to watch for a new peak."""
        if self._setting.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()


class Product:
    """The product of two square matrices, over and over."""

    def __init__(self, size: int, device: str, precision: str):
        """Matrices of normal numbers; those of zeros are quicker on some devices."""
        self._size, self._setting = size, Setting(device, precision, EAGER)
        dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
        self._one, self._other = torch.randn(2, size, size, device=self._setting.device).div(math.sqrt(size)).to(dtype)

    @property
    def parameters(self) -> dict[str, int]:
        """It has none."""
        return {}

    def run(self, steps: int) -> None:
        """So many products, each of the last one's result."""
        result = self._one
        for _ in range(steps):
            result = result @ self._other
        self._setting.synchronize()

    def flops(self) -> float:
        """Of one product."""
        return 2.0 * self._size**3

    def disagreement(self) -> None:
        """There is but one way."""

    def accelerator_peak(self) -> None:
        """Of no interest."""

    def reset_accelerator_peak(self) -> None:
        """Of no interest."""


def describe(device: str) -> dict[str, Any]:
    """What PyTorch finds here."""
    if device != "cpu" and torch.cuda.is_available():
        return {"version": torch.__version__, "device": "gpu", "name": torch.cuda.get_device_name()}
    return {"version": torch.__version__, "device": "cpu", "name": "cpu"}


def build(order: Order) -> Subject:
    """The workload, with its data in place."""
    return Stepped(order)


def product(size: int, device: str, precision: str) -> Subject:
    """A product of two square matrices of random numbers."""
    return Product(size, device, precision)
