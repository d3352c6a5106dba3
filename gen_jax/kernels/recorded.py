"""What becomes of the convolutions of a program on a CPU: noted while the program is traced, before it is lowered."""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

Convolutions = dict[tuple[int, ...], bool]
"""{shape of a kernel: whether a CPU computes all convolutions with such kernels in another form than XLA's}."""

_found: ContextVar[Convolutions | None] = ContextVar("convolutions", default=None)


@contextlib.contextmanager
def recorded_convolutions() -> Iterator[Convolutions]:
    """Gives the convolutions that are traced within it; those of other libraries are not among them."""
    found: Convolutions = {}
    token = _found.set(found)
    try:
        yield found
    finally:
        _found.reset(token)


def record(kernel_shape: tuple[int, ...], other_form: bool) -> None:
    """Notes a convolution, where somebody wants to know."""
    found = _found.get()
    if found is not None:
        found[kernel_shape] = found.get(kernel_shape, True) and other_form
