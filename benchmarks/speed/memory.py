"""Peak resident memory of this process, watched from a moment on."""

import resource
import sys
from pathlib import Path

import psutil

STATUS = Path("/proc/self/status")
CLEAR = Path("/proc/self/clear_refs")


def resident() -> int:
    """Bytes resident now."""
    return psutil.Process().memory_info().rss


def peak() -> int:
    """The most bytes that were resident since `reset`, or since the process began where that is not to be had."""
    try:
        lines = STATUS.read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:
        if line.startswith("VmHWM:"):
            return 1024 * int(line.split()[1])
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else 1024 * most


def reset() -> bool:
    """Forgets the peak so far. Returns whether the system lets it."""
    try:
        CLEAR.write_text("5")
    except OSError:
        return False
    return True
