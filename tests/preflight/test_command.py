import importlib.util
import json
import re
import sys
from pathlib import Path

import pytest
import toy_experiment

from gen_jax.__main__ import main
from gen_jax.errors import ConfigError
from gen_jax.preflight.command import find_experiment, known_experiments, split_flags

TOY = str(Path(toy_experiment.__file__))
needs_libtpu = pytest.mark.skipif(importlib.util.find_spec("libtpu") is None, reason="libtpu is not installed")


@pytest.fixture
def shell(monkeypatch, capsys):
    """Runs `python -m gen_jax preflight ARGUMENTS`; returns (exit code, stdout, stderr)."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["gen_jax", "preflight", *map(str, arguments)])
        code = 0
        capsys.readouterr()
        try:
            main()
        except SystemExit as exit:
            code = exit.code
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_devices_at_hand_are_the_default(shell):
    code, out, err = shell(TOY, "--programs", "train", "--batch-size", 32, "--data", "digits")
    assert code == 0
    assert "toy_experiment on digits, compiled for 8 x cpu" in out
    assert "batch 32, 4 a device" in out
    assert "all-reduce" in out
    assert "compiling toy_experiment for host: train step" in err


def test_json_is_one_object_a_topology(shell):
    code, out, _ = shell(TOY, "--json", "--programs", "sample,train", "--topology", "host,host")
    first, second = map(json.loads, out.splitlines())
    assert code == 0
    assert [program["name"] for program in first["programs"]] == ["sample", "train"]
    assert first["config"]["batch_size"] == second["config"]["batch_size"] == 16
    assert first["would_fit"] == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((TOY, "--topology", "v5e:15x15"), "--topology is v5e:15x15; accepted: .* nearest is 'v5e:16x16'"),
        ((TOY, "--batch-size", "12"), "--batch-size is 12; accepted: a multiple of the 8 devices"),
        ((TOY, "--slices", "0", "--topology", "v5e:2x4"), "--slices is 0; accepted"),
        ((TOY, "--programs", "trains"), "--programs is trains; accepted: .* nearest is 'train'"),
        ((TOY, "--programs", ","), "--programs is ,; accepted: train, sample, evaluate"),
        (("vaee",), "EXPERIMENT is vaee; accepted: .*dcgan, .* nearest is 'vae'"),
        (("no/such.py",), "EXPERIMENT is no/such.py; accepted: a file"),
        ((TOY, "--data", "cifar11"), "--data is cifar11, which is not prepared"),
        ((TOY, "--preset", "nosuch"), "--preset is nosuch; accepted: default"),
        ((TOY, "--learning-rate", "2"), "--learning-rate is 2.0; accepted"),
    ],
)
def test_mistakes_are_one_line_and_exit_2(shell, arguments, message):
    code, out, err = shell(*arguments)
    assert (code, out) == (2, "")
    (line,) = err.splitlines()
    assert re.search(message, line)


def test_flags_that_nobody_knows_exit_2(shell):
    code, _, err = shell(TOY, "--nosuch", 3)
    assert code == 2
    assert "--nosuch" in err
    assert shell()[0] == 2


def test_help_is_there(shell):
    code, out, _ = shell("--help")
    assert code == 0
    for flag in ("--topology", "--slices", "--programs", "--json"):
        assert flag in out


def test_own_flags_and_those_of_the_experiment_may_be_mixed():
    line = "ddpm --preset paper --topology v5e:2x4 --multipliers 1 2 --slices 2 --fsdp 8"
    options, rest = split_flags(line.split())
    assert (options.experiment, options.topology, options.slices) == ("ddpm", "v5e:2x4", 2)
    assert rest == ["--preset", "paper", "--multipliers", "1", "2", "--fsdp", "8"]


def test_experiments_are_found_by_name_module_and_file():
    names = {find_experiment(name).name for name in ("vae", "experiments.vae")}
    assert names == {"vae"}
    assert find_experiment(TOY).name == "toy_experiment"
    assert {"ddpm", "vae", "gan", "dcgan", "wgan_gp"} <= set(known_experiments())
    with pytest.raises(ConfigError):
        find_experiment("toy..experiment")


@pytest.mark.slow
@needs_libtpu
def test_what_does_not_fit_exits_with_1(shell, tmp_path):
    flags = ("--data", "celeb_a", "--data-dir", tmp_path, "--image-size", 32768, "--batch-size", 16)
    code, out, _ = shell(TOY, "--topology", "v5e:2x4", "--programs", "train", "--no-advice", *flags)
    assert code == 1
    assert "out of memory: train step needs at least" in " ".join(out.split())
