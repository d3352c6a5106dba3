"""The devices of a run: whether they can share its work as configured."""

from collections.abc import Sequence

import jax
from jax.sharding import Mesh

from gen_jax.config import Config
from gen_jax.data.info import DataInfo
from gen_jax.errors import ConfigError
from gen_jax.training.reduction import SHARDS
from gen_jax.training.sharding import make_mesh


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


def in_cpu_parts(config: Config, mesh: Mesh) -> bool:
    """Whether each device of a CPU computes its part of a batch by itself."""
    on_cpu = mesh.devices.flat[0].platform == "cpu"
    return on_cpu and not config.reproducible and 1 < mesh.size == config.cpu_devices and jax.process_count() == 1


def mesh_for_features(config: Config, mesh: Mesh) -> Mesh:
    """The devices that train and run classifiers: of a CPU in parts the first alone.

    Their programs exchange several arrays, for which two devices of a CPU may wait in different orders.
    """
    return make_mesh([mesh.devices.flat[0]]) if in_cpu_parts(config, mesh) else mesh


def mesh_for(config: Config, found: Sequence[jax.Device] | None = None) -> Mesh:
    """All devices, or those found elsewhere, in a mesh as configured.

    Raises:
      ConfigError: there are too many, or too few, for what was asked.
    """
    devices = jax.device_count() if found is None else len(found)
    if devices % config.fsdp:
        raise ConfigError(f"--fsdp is {config.fsdp}; accepted: a number that divides the {devices} devices")
    mesh = make_mesh(None if found is None else list(found), fsdp=config.fsdp)
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
