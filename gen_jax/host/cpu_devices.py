"""How many devices JAX sees in a CPU."""

import os

from gen_jax.host.launched import PROCESSES

NOT_SET = -1
"""JAX's number of CPU devices where the user has set none."""

_split = False


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def split_the_cpu(devices: int, required: bool = False) -> None:
    """Makes JAX see several devices in a CPU; does nothing where the user has set how many, or JAX has looked.

    A command calls it, for the whole process. Programs for one of the devices are those of a CPU that is not split.
    """
    global _split
    if devices == 1:
        return
    import jax

    several = PROCESSES in os.environ or "xla_force_host_platform_device_count" in os.environ.get("XLA_FLAGS", "")
    chosen = getattr(jax.config, "jax_num_cpu_devices", NOT_SET)
    if not several and (chosen == NOT_SET or (required and chosen < devices)):
        try:
            jax.config.update("jax_num_cpu_devices", devices)
        except RuntimeError:
            return
        _split = True


def was_split() -> bool:
    """Whether `split_the_cpu` has split it, and not the user, who wants all devices used."""
    return _split
