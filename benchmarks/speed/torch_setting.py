"""What the PyTorch side's methods have in common: where things are, in what precision, and how they are compiled."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.speed.torch_modes import Mode


class Setting:
    """A device, a precision and a mode.

    Attributes:
      device: where everything is.
      mode: how it runs.
    """

    def __init__(self, device: str, precision: str, mode: Mode):
        """`device`: "cpu" or "gpu"; `precision`: "float32", "tensorfloat32" or "bfloat16"."""
        self.device = torch.device("cuda" if device == "gpu" else "cpu")
        self.mode = mode
        self._autocast = precision == "bfloat16"
        # PyTorch multiplies in TensorFloat-32 in convolutions unless it is told not to.
        allowed = precision == "tensorfloat32"
        torch.backends.cuda.matmul.allow_tf32 = allowed
        torch.backends.cudnn.allow_tf32 = allowed
        torch.backends.cudnn.benchmark = True

    @property
    def replays(self) -> bool:
        """Whether kernels are recorded once and replayed."""
        return bool(self.mode.compile) and self.device.type == "cuda"

    @property
    def memory_format(self) -> torch.memory_format:
        """In which order images and the weights of convolutions are stored."""
        return torch.channels_last if self.mode.channels_last else torch.contiguous_format

    def place(self, module: nn.Module) -> nn.Module:
        """The network on the device, in the mode's memory format."""
        return module.to(self.device).to(memory_format=self.memory_format)

    def images(self, images: Any) -> Tensor:
        """uint8 images (n, height, width, channels) as (n, channels, height, width) on the device."""
        stored = torch.from_numpy(images).permute(0, 3, 1, 2)
        return stored.to(self.device).contiguous(memory_format=self.memory_format)

    def plain(self, function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        """The function in the precision, as it is."""

        def in_precision(*arguments: Any) -> Tensor:
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self._autocast):
                return function(*arguments)

        return in_precision

    def prepared(self, function: Callable[..., Tensor], **options: Any) -> Callable[..., Tensor]:
        """The function in the precision, compiled where the mode compiles.

        Args:
          function: of tensors.
          **options: of Inductor; with `fallback_random` it draws the numbers that eager PyTorch draws.
        """
        if self.mode.compile is None:
            return self.plain(function)
        how = {"options": options} if options else self.mode.compile
        # By itself, and not what is around it: PyTorch keeps what it compiles with the code, which that would share.
        # In one piece, or else it fails, and that is said: pieces would pass for what PyTorch can do at best.
        return self.plain(torch.compile(function, fullgraph=True, **how))

    def prepared_optimizer(self, optimizer: torch.optim.Optimizer) -> Callable[[], Any]:
        """The optimizer's step, compiled where the mode says so."""
        return torch.compile(optimizer.step) if self.mode.compiles_optimizer else optimizer.step

    def synchronize(self) -> None:
        """Waits until all that was asked for is done."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def batches(size: int, batch_size: int, device: torch.device) -> Iterator[Tensor]:
    """Positions (batch_size,) of batch after batch, each epoch in a new order, without end."""
    while True:
        order = torch.randperm(size, device=device)
        yield from order[: size - size % batch_size].split(batch_size)
