"""How many devices JAX sees in a CPU."""

import contextlib
import os

from gen_jax.host.launched import PROCESSES

NOT_SAID = -1
"""JAX's number of CPU devices where the user has set none."""


def split_the_cpu(devices: int, required: bool = False) -> None:
    """Makes JAX see several devices in a CPU; does nothing where the user has said how many, or JAX has looked.

    They keep cores busy that one would leave idle (`training/cpu_parts.py`). And XLA compiles a program for one device
    by other passes than one for several, some of which reorder arithmetic.
    """
    if devices == 1:
        return
    import jax

    several = PROCESSES in os.environ or "xla_force_host_platform_device_count" in os.environ.get("XLA_FLAGS", "")
    said = getattr(jax.config, "jax_num_cpu_devices", NOT_SAID)
    if not several and (said == NOT_SAID or (required and said < devices)):
        with contextlib.suppress(RuntimeError):
            jax.config.update("jax_num_cpu_devices", devices)
