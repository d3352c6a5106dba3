import jax
import jax.numpy as jnp
import pytest

from gen_jax.host.cache_directory import cache_directory
from gen_jax.preflight import compiled as module
from gen_jax.preflight.compiled import Compiled, Memory, OutOfMemory, compile_once, out_of_memory

GIB = 1 << 30


@pytest.mark.parametrize(
    ("message", "needed"),
    [
        (
            "RESOURCE_EXHAUSTED: E1000: CompileTimeHbmOom: Ran out of memory on HBM, the total memory required for HLO "
            "temporaries (768.00G) exceeds available HBM (15.75G). HLO module: jit__lambda.",
            768 * GIB,
        ),
        (
            "RESOURCE_EXHAUSTED: XLA:TPU compile permanent error. Ran out of memory in memory space hbm. Used 17.25G "
            "of 15.75G hbm. Exceeded hbm capacity by 1.50G.",
            int(17.25 * GIB),
        ),
    ],
)
def test_too_little_memory_is_understood(message, needed):
    assert out_of_memory(message) == OutOfMemory(needed, int(15.75 * GIB))


def test_too_little_memory_in_other_words_is_still_that():
    assert out_of_memory("RESOURCE_EXHAUSTED: something new") == OutOfMemory(None, None)
    assert out_of_memory("INVALID_ARGUMENT: Used 1.0G of 2.0G hbm") is None


def test_memory_in_all_counts_what_is_aliased_once():
    assert Memory(arguments=10, output=8, aliased=7, temporaries=3, code=1).total == 15


class Lowered:
    """A program of which it is counted how often it is compiled."""

    def __init__(self, error=None):
        self.lowered, self.error, self.times = jax.jit(jnp.sin).lower(jnp.ones(3)), error, 0

    def as_text(self):
        return self.lowered.as_text()

    def compile(self):
        self.times += 1
        if self.error:
            raise jax.errors.JaxRuntimeError(self.error)
        return self.lowered.compile()


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GEN_JAX_CACHE", str(tmp_path))


@pytest.mark.usefixtures("own_cache")
def test_a_program_is_compiled_once_for_each_target():
    program = Lowered()
    first = compile_once(program, "v5e:2x4 1")
    assert compile_once(program, "v5e:2x4 1") == first
    assert program.times == 1
    assert "sine" in first.text
    compile_once(program, "v5e:2x4 2")
    assert program.times == 2


@pytest.mark.usefixtures("own_cache")
def test_what_does_not_fit_is_remembered_too():
    program = Lowered("RESOURCE_EXHAUSTED: Used 2.0G of 1.0G hbm")
    first = compile_once(program, "v5e:2x4 1")
    assert first == compile_once(program, "v5e:2x4 1") == Compiled("", None, OutOfMemory(2 * GIB, GIB), first.seconds)
    assert program.times == 1


@pytest.mark.usefixtures("own_cache")
def test_other_errors_are_raised_and_not_remembered():
    program = Lowered("INTERNAL: a bug")
    for _ in range(2):
        with pytest.raises(jax.errors.JaxRuntimeError, match="a bug"):
            compile_once(program, "v5e:2x4 1")
    assert program.times == 2


@pytest.mark.usefixtures("own_cache")
def test_damage_and_other_compilers_cost_a_compilation(monkeypatch):
    program = Lowered()
    first = compile_once(program, "v5e:2x4 1")
    (file,) = (cache_directory() / "preflight").iterdir()
    file.write_bytes(file.read_bytes()[:-20])
    assert compile_once(program, "v5e:2x4 1").text == first.text
    assert program.times == 2
    monkeypatch.setattr(module, "version", lambda package: "another")
    compile_once(program, "v5e:2x4 1")
    assert program.times == 3


def test_a_cache_that_cannot_be_written_does_no_harm(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GEN_JAX_CACHE", str(tmp_path / "file"))
    assert "sine" in compile_once(Lowered(), "v5e:2x4 1").text


@pytest.mark.usefixtures("own_cache")
def test_nothing_is_kept_of_devices_at_hand_and_jax_keeps_its_cache():
    program = Lowered()
    compile_once(program, "")
    assert not (cache_directory() / "preflight").exists()
    compile_once(program, "v5e:2x4 1")
    assert jax.config.jax_enable_compilation_cache
