import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.shell.launch import launch
from gen_jax.training.compilation import CompiledTogether

# Process 1 takes two seconds more to trace the function each time it is compiled, for which nothing makes process 0
# wait but what is tested: the function exchanges nothing.
SCRIPT = """
import os, signal, time
signal.alarm(120)
from gen_jax.training import distributed
distributed.initialize(False)
import jax
import numpy as np
from gen_jax.training.compilation import CompiledTogether
process = int(os.environ["GEN_JAX_PROCESS_ID"])
traced = []

@CompiledTogether
@jax.jit
def double(x):
    time.sleep(2.0 * process)
    traced.append(time.time())
    return 2 * x

finished = []
for size in (3, 3, 4):
    jax.block_until_ready(double(np.ones(size, np.float32)))
    finished.append(time.time())
np.savez(f"{process}.npz", traced=traced, finished=finished)
distributed.leave(0)
"""


@pytest.mark.slow
def test_no_process_runs_what_another_still_compiles(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert launch([sys.executable, "-c", SCRIPT], processes=2, devices=1) == 0
    first, second = (dict(np.load(tmp_path / f"{process}.npz")) for process in (0, 1))
    # Of the three calls the second has the shapes of the first.
    assert len(first["traced"]) == len(second["traced"]) == 2
    assert first["finished"][0] > second["traced"][0]
    assert first["finished"][2] > second["traced"][1]


def test_one_process_calls_the_function_as_it_is():
    calls = []

    def scaled(x, *, by):
        calls.append(by)
        return by * x

    function = CompiledTogether(jax.jit(scaled, static_argnames="by"))
    assert [function(jnp.ones(2), by=by).tolist() for by in (2, 2, 3)] == [[2, 2], [2, 2], [3, 3]]
    assert calls == [2, 3]
