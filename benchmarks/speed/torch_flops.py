"""Floating-point operations of matrix products and convolutions, counted as PyTorch dispatches them."""

from collections.abc import Callable
from typing import Any

from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry


class Counter(TorchDispatchMode):
    """Counts while it is entered; a multiplication and an addition are two.

    PyTorch's own counter also follows which module is at work, by hooks that a gradient inside a loss does not bear.

    Attributes:
      total: operations so far.
    """

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None) -> Any:
        options = kwargs or {}
        count = flop_registry.get(func._overloadpacket)
        if count is None:
            # Without gradients an operation that is made of others arrives in one piece.
            with self:
                result = func.decompose(*args, **options)
            return func(*args, **options) if result is NotImplemented else result
        result = func(*args, **options)
        self.total += count(*args, **options, out_val=result)
        return result


def counted(step: Callable[[], Any]) -> float:
    """The operations of one step that is not compiled."""
    # Attention as two products; of its fused kernels some are not known to the registry.
    with sdpa_kernel(SDPBackend.MATH), Counter() as counter:
        step()
    return float(counter.total)
