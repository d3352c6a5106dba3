import jax
import pytest

from gen_jax.host.compilation_cache import keep_compiled_programs


@pytest.fixture
def setting(monkeypatch, tmp_path):
    """A setting of JAX's cache by its name; all are put back."""
    monkeypatch.setenv("GEN_JAX_CACHE", str(tmp_path / "cache"))
    names = "jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs"
    before = {name: jax.config.values[name] for name in names}
    yield lambda name: jax.config.values[name]
    for name, value in before.items():
        jax.config.update(name, value)


def test_programs_are_kept_in_the_users_cache_directory(setting, tmp_path):
    jax.config.update("jax_compilation_cache_dir", None)
    keep_compiled_programs()
    assert setting("jax_compilation_cache_dir") == str(tmp_path / "cache" / "compiled")


def test_a_directory_that_the_user_chose_stays(setting, tmp_path):
    jax.config.update("jax_compilation_cache_dir", str(tmp_path / "mine"))
    keep_compiled_programs()
    assert setting("jax_compilation_cache_dir") == str(tmp_path / "mine")


@pytest.mark.parametrize(("chosen", "kept"), [(1.0, 0.1), (0.0, 0.0), (30.0, 30.0)])
def test_programs_of_less_than_a_second_are_kept_unless_the_user_chose(setting, chosen, kept):
    jax.config.update("jax_persistent_cache_min_compile_time_secs", chosen)
    keep_compiled_programs()
    assert setting("jax_persistent_cache_min_compile_time_secs") == kept
