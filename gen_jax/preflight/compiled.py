"""Compiling for devices that are not here, once: what a compilation found is kept in the user's cache directory.

JAX's own cache is of no use here: it writes programs for devices that are not attached, but cannot read them back.
"""

import contextlib
import dataclasses
import gzip
import hashlib
import json
import os
import re
import tempfile
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
from jax.experimental.compilation_cache import compilation_cache

from gen_jax.host.cache_directory import cache_directory

# Part of every key: raise it when the meaning of what is stored changes.
VERSION = 1
UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


@dataclass(frozen=True)
class Memory:
    """Bytes of memory that a program needs on one device.

    Attributes:
      arguments: what it is given: the state, the data.
      output: what it returns.
      aliased: how much of the output takes the place of arguments.
      temporaries: what it needs in between.
      code: the program itself.
    """

    arguments: int
    output: int
    aliased: int
    temporaries: int
    code: int

    @property
    def total(self) -> int:
        """All that is there at once."""
        return self.arguments + self.output - self.aliased + self.temporaries + self.code


@dataclass(frozen=True)
class OutOfMemory:
    """A program that does not fit.

    Attributes:
      needed: bytes on one device, as far as the compiler says; at least that much.
      available: bytes on one device; None where it does not say.
    """

    needed: int | None
    available: int | None


@dataclass(frozen=True)
class Compiled:
    """What is known of a compiled program.

    Attributes:
      text: its optimised HLO; empty where it does not fit.
      memory: what it needs; None where it does not fit.
      trouble: where it does not fit.
      seconds: that compiling took.
    """

    text: str
    memory: Memory | None
    trouble: OutOfMemory | None
    seconds: float


def compile_once(lowered: Any, target: str) -> Compiled:
    """Compiles what `jax.jit(...).lower(...)` gave, or finds what came of it before.

    Args:
      lowered: the program.
      target: the devices that it was lowered for, in words; "" for those at hand, for which nothing is kept.

    Raises:
      jax.errors.JaxRuntimeError: anything but too little memory.
    """
    if not target:
        return compile_now(lowered)
    with no_jax_cache():
        return compile_or_find(lowered, target)


def compile_or_find(lowered: Any, target: str) -> Compiled:
    """The same, of devices that are not here. Raises as `compile_once`."""
    path = cache_directory() / "preflight" / f"{key(lowered, target)}.json.gz"
    found = read(path)
    if found is None:
        found = compile_now(lowered)
        # OSError: no such right, no space, a file where the directory should be.
        with contextlib.suppress(OSError):
            write(path, found)
    return found


def compile_now(lowered: Any) -> Compiled:
    """Compiles, whatever is kept here. Raises as `compile_once`."""
    start = time.perf_counter()
    try:
        program = lowered.compile()
    except jax.errors.JaxRuntimeError as error:
        trouble = out_of_memory(str(error))
        if trouble is None:
            raise
        return Compiled("", None, trouble, time.perf_counter() - start)
    seconds = time.perf_counter() - start
    stats = program.memory_analysis()
    memory = Memory(
        arguments=stats.argument_size_in_bytes,
        output=stats.output_size_in_bytes,
        aliased=stats.alias_size_in_bytes,
        temporaries=stats.temp_size_in_bytes,
        code=stats.generated_code_size_in_bytes,
    )
    return Compiled(program.as_text(), memory, None, seconds)


def out_of_memory(message: str) -> OutOfMemory | None:
    """What XLA says of a program that does not fit; None for any other message."""
    if not message.startswith("RESOURCE_EXHAUSTED"):
        return None
    size = r"([\d.]+)([KMGT]?)i?B?"
    used = re.search(rf"Used {size} of {size} hbm", message)
    if used is not None:
        needed, available = used.groups()[:2], used.groups()[2:]
        return OutOfMemory(in_bytes(*needed), in_bytes(*available))
    parts = re.search(rf"\({size}\) exceeds available HBM \({size}\)", message)
    if parts is not None:
        return OutOfMemory(in_bytes(*parts.groups()[:2]), in_bytes(*parts.groups()[2:]))
    return OutOfMemory(None, None)


def in_bytes(number: str, unit: str) -> int:
    """ "15.75", "G" as XLA writes them, in bytes."""
    return int(float(number) * UNITS[unit])


@contextlib.contextmanager
def no_jax_cache() -> Iterator[None]:
    """Without JAX's persistent cache; otherwise each program would be written there, and never found again."""
    was = getattr(jax.config, "jax_enable_compilation_cache", True)
    jax.config.update("jax_enable_compilation_cache", False)
    compilation_cache.reset_cache()
    try:
        yield
    finally:
        jax.config.update("jax_enable_compilation_cache", was)
        compilation_cache.reset_cache()


def key(lowered: Any, target: str) -> str:
    """Hexadecimal digits that depend on the program, the devices and the compiler."""
    versions = [version(name) for name in ("jax", "jaxlib", "libtpu")]
    flags = [os.environ.get(name, "") for name in ("XLA_FLAGS", "LIBTPU_INIT_ARGS")]
    options = [str(getattr(jax.config, "jax_disable_most_optimizations", False)), str(VERSION)]
    parts = "\n".join([target, *versions, *flags, *options, lowered.as_text()])
    return hashlib.sha256(parts.encode()).hexdigest()[:32]


def version(package: str) -> str:
    """Of an installed package; "" where it does not say."""
    try:
        return f"{package} {metadata.version(package)}"
    except metadata.PackageNotFoundError:
        return ""


def read(path: Path) -> Compiled | None:
    """What was stored; None where there is nothing, or nothing intact."""
    try:
        stored = json.loads(gzip.decompress(path.read_bytes()))
        memory, trouble = stored["memory"], stored["trouble"]
        return Compiled(
            stored["text"],
            None if memory is None else Memory(**memory),
            None if trouble is None else OutOfMemory(**trouble),
            stored["seconds"],
        )
    except (OSError, EOFError, ValueError, KeyError, TypeError, zlib.error):
        return None


def write(path: Path, compiled: Compiled) -> None:
    """Stores it, whole or not at all. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(gzip.compress(json.dumps(dataclasses.asdict(compiled)).encode(), compresslevel=3))
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
