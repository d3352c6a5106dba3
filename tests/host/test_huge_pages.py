import os
import subprocess
import sys
from pathlib import Path

import pytest

from gen_jax.host import huge_pages
from gen_jax.host.huge_pages import are_given_on_request, begin_again_with_huge_pages


@pytest.fixture
def begun(monkeypatch, tmp_path):
    """What would be executed, as [program, arguments, environment], in a program that `python -m` is looking for."""
    found = []
    monkeypatch.setattr(os, "execve", lambda *command: found.extend(command))
    monkeypatch.setattr(sys, "argv", ["-m"])
    monkeypatch.setattr(sys, "orig_argv", ["python", "-X", "dev", "-m", "experiments.vae", "--steps", "3"])
    monkeypatch.setattr(huge_pages, "ENABLED", tmp_path / "enabled")
    (tmp_path / "enabled").write_text("always [madvise] never\n")
    monkeypatch.setattr(huge_pages.platform, "libc_ver", lambda: ("glibc", "2.36"))
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    return found


def test_the_same_command_begins_again_with_the_tunable(begun):
    begin_again_with_huge_pages()
    program, arguments, environment = begun
    assert program == sys.executable
    assert arguments == [sys.executable, "-X", "dev", "-m", "experiments.vae", "--steps", "3"]
    assert environment == {**os.environ, "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}


def test_other_tunables_stay(begun, monkeypatch):
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.check=3")
    begin_again_with_huge_pages()
    assert begun[2]["GLIBC_TUNABLES"] == "glibc.malloc.check=3:glibc.malloc.hugetlb=1"


@pytest.mark.parametrize("tunables", ["glibc.malloc.hugetlb=1", "glibc.malloc.hugetlb=0", "a=1:glibc.malloc.hugetlb=2"])
def test_who_has_chosen_is_left_alone(begun, monkeypatch, tunables):
    monkeypatch.setenv("GLIBC_TUNABLES", tunables)
    begin_again_with_huge_pages()
    assert not begun


@pytest.mark.parametrize("argv", [["/path/experiments/vae.py"], ["-c"], [""], []])
def test_a_program_that_has_begun_is_left_alone(begun, monkeypatch, argv):
    monkeypatch.setattr(sys, "argv", argv)
    begin_again_with_huge_pages()
    assert not begun


@pytest.mark.parametrize("enabled", ["[always] madvise never\n", "always madvise [never]\n", None])
def test_nothing_is_asked_of_a_kernel_that_gives_them_always_or_never(begun, tmp_path, enabled):
    (tmp_path / "enabled").unlink()
    if enabled is not None:
        (tmp_path / "enabled").write_text(enabled)
    begin_again_with_huge_pages()
    assert not begun


def test_another_c_library_is_not_asked(begun, monkeypatch):
    monkeypatch.setattr(huge_pages.platform, "libc_ver", lambda: ("musl", "1.2"))
    begin_again_with_huge_pages()
    assert not begun


@pytest.mark.slow
@pytest.mark.skipif(not are_given_on_request(), reason="the kernel gives huge pages always or never")
def test_an_experiment_runs_with_them(tmp_path):
    root = Path(huge_pages.__file__).parents[2]
    environment = {key: value for key, value in os.environ.items() if key != "GLIBC_TUNABLES"}
    say = "import os\nprint(os.environ.get('GLIBC_TUNABLES'), os.getpid(), flush=True)\n"
    (tmp_path / "sitecustomize.py").write_text(say)
    environment["PYTHONPATH"] = f"{tmp_path}{os.pathsep}{root}"
    command = [sys.executable, "-m", "experiments.vae", "--preset", "none"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path)
    before, after = done.stdout.splitlines()
    assert (before.split()[0], after.split()[0]) == ("None", "glibc.malloc.hugetlb=1")
    assert before.split()[1] == after.split()[1], "it must stay the same process"
    assert done.returncode == 2
    assert "--preset is none" in done.stderr
