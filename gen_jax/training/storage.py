"""What an exception from below says: that bytes are wrong, that a disk is not at hand, or that there is a bug."""

import contextlib
import errno
import gc
import os
import re
import sys
import time
import traceback
from collections.abc import Iterator
from typing import Any

import jax
from etils import epath

from gen_jax.errors import DamagedCheckpoint, GenJaxError, StorageError

# What the file system says of files that are not as they should be. All else (EACCES, EIO, ESTALE, ...) says nothing
# about the bytes.
WRONG_FILES = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EINVAL, errno.ENAMETOOLONG, errno.ELOOP, errno.EEXIST}
# TensorStore raises ValueError for everything; its messages begin with a status, and end with the system's error.
STATUS = re.compile(r"(RESOURCE_EXHAUSTED|PERMISSION_DENIED|UNAUTHENTICATED|UNAVAILABLE|DEADLINE_EXCEEDED|ABORTED)\b")
NUMBER = re.compile(r"os_error_code='(\d+)'")


def first_line(error: BaseException) -> str:
    """Type and first line of an exception's message; of the file system's errors only what the system said."""
    if found := NUMBER.search(str(error)):
        return os.strerror(int(found[1]))
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """An exception, what it was raised from, and so on."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def is_about_storage(error: BaseException, path: epath.Path) -> bool:
    """Whether an exception while `path` was written comes from the file system, and not from a mistake in a program.

    Orbax has words of its own where files that it wrote have vanished, which have the path in common.
    """
    return any(
        isinstance(one, OSError)
        or str(path) in str(one)
        or (isinstance(one, ValueError) and (STATUS.match(str(one)) or NUMBER.search(str(one))))
        for one in chain(error)
    )


def is_unreadable(error: BaseException) -> bool:
    """Whether an exception while reading says that the disk does not answer, which is no damage."""
    for one in chain(error):
        found = NUMBER.search(str(one))
        number = one.errno if isinstance(one, OSError) else int(found[1]) if found else None
        if number is not None:
            return number not in WRONG_FILES
        if isinstance(one, PermissionError | TimeoutError | ConnectionError):
            return True
        if isinstance(one, ValueError) and STATUS.match(str(one)):
            return True
    return False


def ignore_closed_loops() -> None:
    """From now on, threads of TensorStore that find Orbax gone after a failure are not heard of."""
    before = sys.unraisablehook
    if getattr(before, "__name__", "") == "other_than_closed_loops":
        return

    def other_than_closed_loops(unraisable: Any) -> None:
        if str(unraisable.exc_value) != "Event loop is closed":
            before(unraisable)

    sys.unraisablehook = other_than_closed_loops


def let_go(error: BaseException) -> None:
    """Drops what Orbax abandons when one of its reads fails: the others, which nobody awaits any more.

    Each would print an error of its own, from Python's collector or from a thread of TensorStore, pages in all.
    """
    hooks = sys.unraisablehook, sys.excepthook
    sys.unraisablehook = lambda unraisable: None
    sys.excepthook = lambda kind, value, trace: None
    try:
        for one in chain(error):
            traceback.clear_frames(one.__traceback__)
            one.__traceback__ = None
        gc.collect()
        # The threads are busy for some milliseconds more.
        time.sleep(0.1)
        gc.collect()
    finally:
        sys.unraisablehook, sys.excepthook = hooks


@contextlib.contextmanager
def reading(path: epath.Path) -> Iterator[None]:
    """While something is read that may be damaged in any way.

    Raises:
      StorageError: the disk does not answer.
      DamagedCheckpoint: whatever else was raised, of any type; the libraries below check nothing and trip anywhere.
    """
    try:
        yield
    except (GenJaxError, MemoryError, jax.errors.JaxRuntimeError):
        raise
    except Exception as error:
        if is_unreadable(error):
            raise StorageError(f"{path} cannot be read: {first_line(error)}") from error
        why = first_line(error)
        let_go(error)
        raise DamagedCheckpoint(why) from None
