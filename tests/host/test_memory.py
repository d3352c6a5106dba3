import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from gen_jax.host import memory
from gen_jax.host.memory import huge_pages_are_given_on_request, return_freed_memory

# Every second of many small pieces is freed: the heap's end stays in use, so that nothing is returned unasked.
LITTERED = """
import ctypes
from gen_jax.host.memory import return_freed_memory
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
def resident():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmRSS")).split()[1])
pieces = [libc.malloc(64 * 1024) for _ in range(4000)]
for piece in pieces:
    ctypes.memset(piece, 1, 64 * 1024)
for piece in pieces[:-1]:
    libc.free(piece)
before = resident()
return_freed_memory()
print(before - resident())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc alone returns memory on request")
def test_what_is_free_inside_the_heap_is_returned():
    done = subprocess.run([sys.executable, "-c", LITTERED], capture_output=True, text=True, check=True)
    assert int(done.stdout) > 200_000, "kB of 250,000"


@pytest.mark.parametrize("failure", [AttributeError, OSError, TypeError])
def test_another_c_library_is_left_alone(monkeypatch, failure):
    def missing(name):
        raise failure

    memory._malloc_trim.cache_clear()
    monkeypatch.setattr(memory.ctypes, "CDLL", missing)
    assert memory._malloc_trim() is None
    return_freed_memory()
    memory._malloc_trim.cache_clear()


@pytest.mark.parametrize(
    ("enabled", "library", "on_request"),
    [
        ("always [madvise] never\n", "glibc", True),
        ("[always] madvise never\n", "glibc", False),
        ("always madvise [never]\n", "glibc", False),
        (None, "glibc", False),
        ("always [madvise] never\n", "musl", False),
    ],
)
def test_huge_pages_are_given_on_request_where_linux_says_madvise(monkeypatch, tmp_path, enabled, library, on_request):
    monkeypatch.setattr(memory, "ENABLED", tmp_path / "enabled")
    monkeypatch.setattr(memory.platform, "libc_ver", lambda: (library, "2"))
    if enabled is not None:
        (tmp_path / "enabled").write_text(enabled)
    assert huge_pages_are_given_on_request() == on_request


# A package that replaces the process, or changes its environment, when it is imported would print something else.
IMPORTED = """
import os, sys
before = dict(os.environ), os.getpid()
import experiments
print((dict(os.environ), os.getpid()) == before, "jax" in sys.modules)
"""


def test_importing_the_experiments_imports_nothing_and_leaves_the_process_alone():
    done = subprocess.run([sys.executable, "-c", IMPORTED], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"]


def test_an_experiment_that_is_run_as_a_module_stays_the_process_that_began(tmp_path):
    # What Python reads first in each new program; a program that is replaced reads it twice.
    (tmp_path / "sitecustomize.py").write_text("print('begun', flush=True)\n")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(Path(memory.__file__).parents[2])])}
    command = [sys.executable, "-m", "experiments.vae", "--preset", "none"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, check=False)
    assert (done.returncode, done.stdout.split()) == (2, ["begun"])
    assert "--preset is none" in done.stderr
