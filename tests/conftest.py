"""Settings of the whole test run: no silent broadcasting, eight virtual devices, nothing written outside."""

import os

# Before JAX is imported: the tests of sharding want several devices on one CPU.
os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"
os.environ["JAX_PLATFORMS"] = "cpu"

import jax
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture(autouse=True)
def cache_in_temporary_directory(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the code under test caches does not reach the user's cache directory."""
    monkeypatch.setenv("GEN_JAX_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
