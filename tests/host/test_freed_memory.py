import platform
import subprocess
import sys

import pytest

from gen_jax.host import freed_memory
from gen_jax.host.freed_memory import give_back

# Every second of many small pieces is freed: the heap's end stays in use, so that nothing is given back unasked.
LITTERED = """
import ctypes
from gen_jax.host.freed_memory import give_back
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
give_back()
print(before - resident())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc alone gives back on request")
def test_what_is_free_inside_the_heap_is_given_back():
    done = subprocess.run([sys.executable, "-c", LITTERED], capture_output=True, text=True, check=True)
    assert int(done.stdout) > 200_000, "kB of 250,000"


@pytest.mark.parametrize("failure", [AttributeError, OSError, TypeError])
def test_another_c_library_is_left_alone(monkeypatch, failure):
    def missing(name):
        raise failure

    freed_memory._malloc_trim.cache_clear()
    monkeypatch.setattr(freed_memory.ctypes, "CDLL", missing)
    assert freed_memory._malloc_trim() is None
    give_back()
    freed_memory._malloc_trim.cache_clear()
