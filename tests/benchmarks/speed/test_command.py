import dataclasses
import importlib.util
import subprocess
import sys

import pytest

from benchmarks.speed.__main__ import check, main
from benchmarks.speed.options import Options
from benchmarks.speed.session import agreed_device
from gen_jax.errors import ConfigError

BOTH_CPU = {"gen_jax": {"device": "cpu"}, "torch": {"device": "cpu"}}


@pytest.fixture
def everything_installed(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)


@pytest.fixture
def nothing_installed(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"workloads": "dcgn"}, r"--workloads has 'dcgn'; the nearest is 'dcgan'; accepted: "),
        ({"pairs": 0}, "--pairs is 0; accepted: a number of at least 1"),
        ({"threads": 0}, "--threads is 0; accepted: a number of at least 1"),
        ({"seconds": 0.0}, r"--seconds is 0\.0; accepted: a number above 0"),
        ({"seconds": float("nan")}, "--seconds is nan"),
    ],
)
def test_wrong_options_are_named(everything_installed, changes, message):
    with pytest.raises(ConfigError, match=message):
        check(dataclasses.replace(Options(), **changes))


def test_without_pytorch_it_says_what_to_install(nothing_installed):
    with pytest.raises(ConfigError, match=r"torch is not installed; pip install 'gen_jax\[bench\]'"):
        check(Options(workloads="dcgan"))


def test_startup_needs_no_pytorch(nothing_installed):
    assert check(Options(workloads="startup")) == ["startup"]


def test_public_trainers_need_their_packages(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "pythae" else name)
    with pytest.raises(ConfigError, match="pythae is not installed"):
        check(Options(workloads="pythae"))
    assert check(Options(workloads="dcgan")) == ["dcgan"]


def test_device_is_the_one_that_both_have():
    assert agreed_device(Options(), BOTH_CPU) == "cpu"
    with pytest.raises(ConfigError, match="--device is gpu, but gen_jax finds a cpu"):
        agreed_device(Options(device="gpu"), BOTH_CPU)
    with pytest.raises(ConfigError, match="torch finds a cpu; try --device cpu"):
        agreed_device(Options(), {"gen_jax": {"device": "gpu"}, "torch": {"device": "cpu"}})
    with pytest.raises(ConfigError, match="accepted on a CPU: float32, bfloat16"):
        agreed_device(Options(precision="tensorfloat32"), BOTH_CPU)


def test_command_line_ends_with_2_and_one_line(capsys):
    for arguments in (["--workloads", "dcgn"], ["growth", "--axes", "widths"], ["table", "nowhere.json"]):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 2
        assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_help_imports_neither_side():
    code = (
        "import sys\nfrom benchmarks.speed.__main__ import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'matplotlib', 'tensorflow_datasets', 'orbax'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "ddpm_small" in done.stdout
