import jax
import pytest

from gen_jax.compilation_cache import keep_compiled_programs


@pytest.fixture
def setting(monkeypatch, tmp_path):
    """JAX's cache directory, which is put back."""
    monkeypatch.setenv("GEN_JAX_CACHE", str(tmp_path / "cache"))
    before = jax.config.values["jax_compilation_cache_dir"]
    yield lambda: jax.config.values["jax_compilation_cache_dir"]
    jax.config.update("jax_compilation_cache_dir", before)


def test_programs_are_kept_in_the_users_cache_directory(setting, tmp_path):
    jax.config.update("jax_compilation_cache_dir", None)
    keep_compiled_programs()
    assert setting() == str(tmp_path / "cache" / "compiled")


def test_a_directory_that_the_user_chose_stays(setting, tmp_path):
    jax.config.update("jax_compilation_cache_dir", str(tmp_path / "mine"))
    keep_compiled_programs()
    assert setting() == str(tmp_path / "mine")
