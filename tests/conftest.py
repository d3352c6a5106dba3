"""Settings of the whole test run: no silent broadcasting, eight virtual devices, nothing written outside."""

import atexit
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Before JAX is imported: the tests of sharding want several devices on one CPU.
os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"
os.environ["JAX_PLATFORMS"] = "cpu"

import budgets
import jax
import pytest
from jax._src import compiler

jax.config.update("jax_numpy_rank_promotion", "raise")

# Many tests compile the same small programs: each process of the test run keeps them, those that tests start included.
# Two that write to one cache could read each other's halves.
if "GEN_JAX_TESTS" not in os.environ:
    os.environ["GEN_JAX_TESTS"] = tempfile.mkdtemp(prefix="gen_jax-tests-")
    atexit.register(shutil.rmtree, os.environ["GEN_JAX_TESTS"], ignore_errors=True)
compiled = Path(os.environ["GEN_JAX_TESTS"], os.environ.get("PYTEST_XDIST_WORKER", "one"))
for name, value in (("compilation_cache_dir", str(compiled)), ("persistent_cache_min_compile_time_secs", 0)):
    os.environ[f"JAX_{name.upper()}"] = str(value)
    jax.config.update(f"jax_{name}", value)


# Compiling is most of the time here, so it is done as cheaply as XLA can. What is said of bits is tested on programs as
# users have them: in other processes, and in files that use the fixture below.
jax.config.update("jax_disable_most_optimizations", True)
compile_options_for_users = compiler.get_compile_options


def compile_options(*given: Any, env_options_overrides: dict[str, Any] | None = None, **named: Any) -> Any:
    """Those of JAX, and while its optimisations are off XLA's older emitters: half the time of a small program."""
    overrides = dict(env_options_overrides or {})
    if jax.config.values["jax_disable_most_optimizations"]:
        overrides = {"xla_cpu_use_fusion_emitters": False} | overrides
    return compile_options_for_users(*given, env_options_overrides=overrides or None, **named)


# No setting of JAX reaches this one, and XLA reads its flags once a process.
compiler.get_compile_options = compile_options


# Files of a few long tests. Begun last, one would keep one process busy while the other has nothing left to do.
LONGEST = (
    *("experiments/test_training", "reduction", "kills", "mutations", "launch", "scaling", "replay", "extending"),
    *("train", "checkpoints", "program", "sharding", "loaded", "cpu_parts", "resume", "measures"),
)
SLOW_FIXTURES = {"browser"}
"""What uses one of them is for `make test-all`, which no such test has to say."""


def is_among_the_longest(path: Path) -> bool:
    """Whether a file is in LONGEST: by its room too where two have the same name."""
    return path.stem.removeprefix("test_") in LONGEST or f"{path.parent.name}/{path.stem}" in LONGEST


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, which `--no-loadscope-reorder` leaves so; before pytest deselects by marks."""
    items.sort(key=lambda item: not is_among_the_longest(item.path))
    for item in items:
        if SLOW_FIXTURES.intersection(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With `--dist loadfile` each experiment counts as a file; see tests/scheduling.py."""
    if config.getvalue("dist") != "loadfile":
        return None
    from scheduling import Scheduling

    return Scheduling(config, log)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says which tests took longer than they may; the run passes or fails all the same."""
    phases = [report for kind in ("", "passed", "failed") for report in terminalreporter.stats.get(kind, ())]
    excesses = budgets.over_budget(report for report in phases if isinstance(report, pytest.TestReport))
    if excesses:
        terminalreporter.section("longer than their budget, of which nothing fails")
        for line in budgets.lines(excesses):
            terminalreporter.write_line(line)


@pytest.fixture(scope="module")
def compiled_as_for_users() -> Iterator[None]:
    """All of XLA's passes, for the tests of a file."""
    for disabled in (False, True):
        jax.config.update("jax_disable_most_optimizations", disabled)
        jax.clear_caches()
        if not disabled:
            yield


@pytest.fixture(autouse=True)
def cache_in_temporary_directory(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the code under test caches does not reach the user's cache directory."""
    monkeypatch.setenv("GEN_JAX_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
