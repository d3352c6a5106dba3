"""What a measurement was made on, in words."""

import datetime
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processor() -> str:
    """The processor's name."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def describe(sides: Mapping[str, Mapping[str, Any]], threads: int) -> dict[str, str]:
    """The machine, the versions and the day.

    Args:
      sides: {"gen_jax" or "torch": what its worker says of itself}.
      threads: that PyTorch uses.
    """
    jax, torch = sides["gen_jax"], sides.get("torch")
    found = {
        "processor": f"{processor()}, {cores()} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "jax": jax["version"],
    }
    if torch is not None:
        found["torch"] = f"{torch['version']}, {threads} threads"
    if jax["device"] != "cpu":
        found["accelerator"] = jax["name"]
    return {**found, "date": datetime.date.today().isoformat()}
