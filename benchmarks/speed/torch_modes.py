"""The ways in which PyTorch runs a workload; the best of them is its figure."""

import dataclasses
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Mode:
    """One way.

    Attributes:
      name: as it is shown.
      compile: arguments of `torch.compile`; None for eager.
      channels_last: whether images and the weights of convolutions are stored with the channels last.
      compiles_optimizer: whether Adam is compiled too, in place of PyTorch's fused kernel.
      huge_pages: whether the process's memory is in pages of 2 MiB, as glibc asks for by GLIBC_TUNABLES.
    """

    name: str
    compile: dict[str, Any] | None = None
    channels_last: bool = False
    compiles_optimizer: bool = False
    huge_pages: bool = False

    def as_json(self) -> dict[str, Any]:
        """What makes the same mode again."""
        return dataclasses.asdict(self)

    def with_huge_pages(self) -> "Mode":
        """The same in pages of 2 MiB."""
        return dataclasses.replace(self, name=f"{self.name}, huge pages", huge_pages=True)


EAGER = Mode("eager")
COMPILED = Mode("compiled", {})
# Kernels recorded once and replayed; kernels chosen by trying. Both are for accelerators.
ON_ACCELERATORS = (
    Mode("compiled, reduce-overhead", {"mode": "reduce-overhead"}),
    Mode("compiled, max-autotune", {"mode": "max-autotune"}),
)


def modes(*, convolutional: bool, trains: bool, accelerator: bool) -> list[Mode]:
    """All that may be the best for a workload, the plainest first."""
    found = [EAGER, COMPILED, *(ON_ACCELERATORS if accelerator else ())]
    if convolutional:
        return found + [dataclasses.replace(m, name=f"{m.name}, channels last", channels_last=True) for m in found]
    # Adam is a part of the time worth speaking of where there is little else.
    return [*found, Mode("compiled, Adam too", {}, compiles_optimizer=True)] if trains else found
