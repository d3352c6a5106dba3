"""The devices of a run: which they are, and whether they can share its work as configured."""

from collections.abc import Sequence
from typing import Any

import jax
from jax.sharding import Mesh

from gen_jax.config import Config
from gen_jax.data.info import DataInfo
from gen_jax.errors import ConfigError
from gen_jax.host.cpu_devices import cores, was_split
from gen_jax.training.reduction import SHARDS
from gen_jax.training.sharding import make_mesh

PARTS = 2
"""Parts of a batch on a CPU, where it is cut. More were not measured."""

CONVOLUTIONS = 12
"""Kernels of convolutions from which on a game is deep: U-Nets and residual networks are, DCGANs are not."""

PARAMETERS = 10_000_000
"""Parameters from which on a game is large: its products are wide enough for two cores, its state costs memory."""


def check_batch_size(config: Config, info: DataInfo, devices: int) -> None:
    """Raises ConfigError for a batch that the data cannot fill or that the devices cannot share."""
    if config.batch_size > info.train_size:
        raise ConfigError(
            f"--batch-size is {config.batch_size}; accepted: at most {info.train_size}, "
            f"the number of training examples in {info.name}"
        )
    for stream, (size, _) in info.streams.items():
        if config.batch_size > size:
            raise ConfigError(
                f"--batch-size is {config.batch_size}; accepted: at most {size}, "
                f"the number of training examples in the stream {stream!r} of {info.name}"
            )
    parts = config.accumulate
    if parts > 1 and config.batch_size % (parts * devices):
        raise ConfigError(
            f"--batch-size is {config.batch_size}; accepted with --accumulate {parts}: "
            f"a multiple of {parts * devices}, {parts} for each of the {devices} devices"
        )
    if config.batch_size % devices:
        raise ConfigError(f"--batch-size is {config.batch_size}; accepted: a multiple of the {devices} devices")


def choose_cpu_parts(config: Config, parameters: Any, devices: Sequence[jax.Device]) -> int:
    """Parts in which each device of a CPU computes a batch by itself, for a run that begins: 2, or 1 for no parts.

    XLA gives each of the many small products of a deep convolutional network to one core: two devices keep two busy.
    Shallow networks, and large ones, whose products are wide, are faster on one device, which all cores share; parts
    cost a second copy of the state and an exchange.

    Args:
      config: of the run.
      parameters: of all networks, as arrays or shapes.
      devices: that there are.
    """
    if len(devices) != PARTS or cores() < PARTS or cpu_parts_here(config, PARTS, devices) == 1:
        return 1
    leaves = jax.tree.leaves(parameters)
    deep = sum(leaf.ndim == 4 for leaf in leaves) >= CONVOLUTIONS
    return PARTS if deep and sum(leaf.size for leaf in leaves) < PARAMETERS else 1


def cpu_parts_here(config: Config, noted: int, devices: Sequence[jax.Device] | None = None) -> int:
    """Parts in which the devices (None: all) compute a batch: as a run has noted on the CPU of one process, else 1.

    What is cut or split in another way is left in one piece, as is a batch that so many do not divide.
    """
    on_cpu = (jax.devices() if devices is None else devices)[0].platform == "cpu" and jax.process_count() == 1
    otherwise = config.reproducible or config.fsdp > 1 or config.accumulate > 1 or config.batch_size % noted
    return noted if on_cpu and not otherwise else 1


def mesh_for_features(mesh: Mesh, cpu_parts: int) -> Mesh:
    """The devices that train and run classifiers: of a CPU in parts the first alone.

    Their programs exchange several arrays, for which two devices of a CPU may wait in different orders.
    """
    return make_mesh([mesh.devices.flat[0]]) if 1 < mesh.size == cpu_parts else mesh


def devices_for(config: Config, cpu_parts: int) -> list[jax.Device]:
    """All devices; of a CPU that was split without the user's asking, the first alone where one is enough."""
    alone = was_split() and cpu_parts == 1 and not config.reproducible
    return jax.devices()[:1] if alone else jax.devices()


def mesh_for(config: Config, cpu_parts: int = 1, found: Sequence[jax.Device] | None = None) -> Mesh:
    """The devices of a run, those here or those found elsewhere, in a mesh as configured.

    Raises:
      ConfigError: there are too many, or too few, for what was asked.
    """
    chosen = devices_for(config, cpu_parts) if found is None else list(found)
    if cpu_parts > 1:
        if len(chosen) < cpu_parts:
            raise ConfigError(
                f"the run computes each batch in {cpu_parts} parts, on as many devices of a CPU; here is "
                f"{len(chosen)}: set JAX_NUM_CPU_DEVICES={cpu_parts} before JAX is used"
            )
        chosen = chosen[:cpu_parts]
    devices = len(chosen)
    if devices % config.fsdp:
        raise ConfigError(f"--fsdp is {config.fsdp}; accepted: a number that divides the {devices} devices")
    mesh = make_mesh(chosen, fsdp=config.fsdp)
    if config.reproducible:
        if config.fsdp > 1:
            raise ConfigError(f"--fsdp is {config.fsdp}; accepted with --reproducible: 1")
        if config.accumulate > 1:
            raise ConfigError(f"--accumulate is {config.accumulate}; accepted with --reproducible: 1")
        if SHARDS % devices:
            raise ConfigError(f"--reproducible needs 1, 2, 4 or 8 devices; there are {devices}")
        if config.batch_size % SHARDS:
            raise ConfigError(f"--batch-size is {config.batch_size}; accepted with --reproducible: a multiple of 8")
        if devices == 1 and mesh.devices.flat[0].platform == "cpu":
            raise ConfigError(
                "--reproducible needs the CPU to be two devices: set JAX_NUM_CPU_DEVICES=2 before JAX is used"
            )
    return mesh
