"""Memory in pages of 2 MiB for a run on a CPU.

XLA takes the memory for all that is between a step's inputs and outputs afresh at each step and gives it back after
it. In pages of 4 KiB the kernel then clears several 100,000 of them a step, which for a small U-Net is a seventh of the
time. The C library asks for large ones if its tunable `glibc.malloc.hugetlb` is 1, which it reads before the first line
of a program runs: so the program is begun again.
"""

import os
import platform
import sys
from pathlib import Path

ENABLED = Path("/sys/kernel/mm/transparent_hugepage/enabled")
TUNABLES = "GLIBC_TUNABLES"
TUNABLE = "glibc.malloc.hugetlb"


def begin_again_with_huge_pages() -> None:
    """Replaces `python -m PACKAGE.MODULE …` by itself with huge pages; called when the package is imported.

    It does nothing where the kernel gives them unasked or never, where the C library is not glibc, where the user has
    set the tunable (to 0, say), and in any program that is not begun by `python -m`.
    """
    # While Python looks for the module, that is what stands for its name; later there would be imports to do again.
    if sys.argv[:1] != ["-m"] or not are_given_on_request():
        return
    tunables = os.environ.get(TUNABLES, "")
    if TUNABLE in tunables:
        return
    chosen = f"{tunables}:{TUNABLE}=1" if tunables else f"{TUNABLE}=1"
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, TUNABLES: chosen})


def are_given_on_request() -> bool:
    """Whether the kernel is set to "madvise", and the C library can ask."""
    try:
        return "[madvise]" in ENABLED.read_text() and platform.libc_ver()[0] == "glibc"
    except OSError:
        return False
