"""Memory as the C library takes it from the system and returns it.

XLA takes the memory for all that lies between a step's inputs and outputs afresh at each step and frees it after it.
The kernel clears it every time: in pages of 4 KiB 146,000 of them a step of a small U-Net, a seventh of its time, in
pages of 2 MiB 1,200. glibc asks for large pages if GLIBC_TUNABLES says so before a program begins; no function of it
does.
"""

import ctypes
import functools
import platform
from collections.abc import Callable
from pathlib import Path

TUNABLES = "GLIBC_TUNABLES"
HUGE_PAGES = "glibc.malloc.hugetlb=1"
"""The tunable, as the variable above holds it."""
ENABLED = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def huge_pages_are_given_on_request() -> bool:
    """Whether a program has pages of 2 MiB if glibc asks for them, and not otherwise."""
    try:
        return "[madvise]" in ENABLED.read_text() and platform.libc_ver()[0] == "glibc"
    except OSError:
        return False


def return_freed_memory() -> None:
    """Returns free pages to the system, where the C library can; some 50 ms.

    Compiling takes gigabytes in small pieces. Freed, they stay with the C library, which returns only what lies at the
    end of its heap: of 2.2 GB after the first step of a small U-Net 1.5 GB was in use by nobody.
    """
    if trim := _malloc_trim():
        trim(0)


@functools.cache
def _malloc_trim() -> Callable[[int], int] | None:
    """glibc's function, or None with another C library."""
    try:
        return ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):
        return None
