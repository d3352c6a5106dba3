"""What is wrong with a request is one line that says what and what would do, an exit code, and no trace on disk."""

import json
import re
import signal
import sys
import time

import numpy as np
import pytest
import toy_experiment
from PIL import Image

import gen_jax
from experiments import dcgan, ddpm, gan, vae, wgan_gp
from gen_jax import main
from gen_jax.errors import ConfigError, DataError

TOY = toy_experiment.EXPERIMENT


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    """A current directory of each test's own, where anything left behind would be seen."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def contents(directory):
    return {
        str(path.relative_to(directory)): path.read_bytes() if path.is_file() else None for path in directory.rglob("*")
    }


@pytest.fixture
def refused(workplace, capsys):
    """Asserts that a request is refused with exactly this line and exit code, and changes no file.

    The tiny preset, where there is one: a request that is not refused after all should not train for minutes.
    """

    def check(experiment, arguments, code, text):
        if "tiny" in experiment.presets and "--preset" not in arguments:
            arguments = ["--preset", "tiny", *arguments]
        before = contents(workplace)
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit:
            main(experiment, [str(argument) for argument in arguments])
        assert capsys.readouterr().err == f"error: {text}\n"
        assert exit.value.code == code
        assert contents(workplace) == before

    return check


@pytest.fixture
def misused(workplace, capsys):
    """Asserts that the command line cannot be read, and returns what is said of it."""

    def check(experiment, arguments):
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit:
            main(experiment, arguments)
        captured = capsys.readouterr()
        assert exit.value.code == 2
        assert "Traceback" not in captured.out + captured.err
        assert contents(workplace) == {}
        return captured.err + captured.out

    return check


def write_images(folder, count=20, size=(8, 8)):
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(count):
        Image.fromarray(rng.integers(0, 256, size[::-1]).astype(np.uint8)).save(folder / f"{i:02}.png")
    return folder


# The command line


def test_unknown_flag_is_refused_with_the_nearest(misused):
    said = misused(vae.EXPERIMENT, ["--latnet", "3"])
    assert "--latnet" in said
    assert "--latent" in said


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--steps", "many"], ["--steps", "many", "INT"]),
        (["--precision", "float64"], ["--precision", "float64", "float32", "bfloat16"]),
        (["--betas", "0.5"], ["--betas"]),
        (["--steps"], ["--steps"]),
    ],
)
def test_value_that_cannot_be_read_is_refused(misused, arguments, expected):
    said = misused(dcgan.EXPERIMENT, arguments)
    assert all(part in said for part in expected)


def test_unknown_preset_is_refused_with_those_there_are(refused):
    refused(vae.EXPERIMENT, ["--preset", "huge"], 2, "--preset is huge; accepted: default, tiny, paper")


@pytest.mark.parametrize(
    ("experiment", "arguments", "text"),
    [
        (TOY, ["--steps", 0], "--steps is 0; accepted: a number from 1 to 2147483647"),
        (TOY, ["--batch-size", 0], "--batch-size is 0; accepted: a number of at least 1"),
        (TOY, ["--learning-rate", 0], "--learning-rate is 0.0; accepted: a number above 0 and at most 1"),
        (TOY, ["--learning-rate", 2], "--learning-rate is 2.0; accepted: a number above 0 and at most 1"),
        (TOY, ["--learning-rate", "nan"], "--learning-rate is nan; accepted: a number above 0 and at most 1"),
        (TOY, ["--seed", -1], "--seed is -1; accepted: a number from 0 to 4294967295"),
        (TOY, ["--keep", 1], "--keep is 1; accepted: a number of at least 2"),
        (TOY, ["--image-size", 0], "--image-size is 0; accepted: a number of at least 1"),
        (
            dcgan.EXPERIMENT,
            ["--betas", 0.5, 1.0],
            "--betas is 0.5 1.0; accepted: a number of at least 0 and below 1",
        ),
        (vae.EXPERIMENT, ["--beta", "inf"], "--beta is inf; accepted: a number of at least 0"),
        (gan.EXPERIMENT, ["--features", 8, 0], "--features is 8 0; accepted: a number of at least 1"),
        (ddpm.EXPERIMENT, ["--dropout", 1], "--dropout is 1.0; accepted: a number of at least 0 and below 1"),
        (ddpm.EXPERIMENT, ["--diffusion-steps", 1], "--diffusion-steps is 1; accepted: a number from 2 to 100000"),
        (wgan_gp.EXPERIMENT, ["--critic-steps", 0], "--critic-steps is 0; accepted: a number of at least 1"),
    ],
)
def test_value_out_of_range_is_refused(refused, experiment, arguments, text):
    refused(experiment, arguments, 2, text)


@pytest.mark.parametrize(
    ("experiment", "arguments", "text"),
    [
        (
            gan.EXPERIMENT,
            ["--optimizer", "sgd", "--betas", 0.5, 0.9],
            "--betas is 0.5 0.9; --optimizer sgd does not use it; these do: adam, adamw, lion, muon",
        ),
        (
            vae.EXPERIMENT,
            ["--weight-decay", 0.1],
            "--weight-decay is 0.1; --optimizer adam does not use it; these do: adamw, lion, muon",
        ),
        (
            ddpm.EXPERIMENT,
            ["--decay-schedule", "cosine"],
            "--decay-schedule is cosine; without --decay-steps the learning rate stays as it is",
        ),
        (
            ddpm.EXPERIMENT,
            ["--decay-steps", 100],
            "--warmup is 500; accepted: a number below --decay-steps, 100, at which the learning rate is back at 0",
        ),
        (wgan_gp.EXPERIMENT, ["--flip"], "--flip: 'grid25' has points, not images; leave the flag out"),
    ],
)
def test_option_that_would_do_nothing_is_refused(refused, experiment, arguments, text):
    refused(experiment, arguments, 2, text)


# The data


def test_unknown_data_set_is_refused_with_the_nearest(refused):
    refused(
        TOY,
        ["--data", "rign8"],
        3,
        "unknown data set 'rign8'; the nearest is 'ring8'. Accepted: digits, ring8, grid25, swissroll, folder:PATH, "
        "npz:FILE, or the name of a TFDS set",
    )


def test_data_set_that_is_not_prepared_is_refused_with_the_command_that_does(refused, workplace):
    refused(
        TOY,
        ["--data", "mnist", "--data-dir", "sets"],
        3,
        "the data set 'mnist' is not prepared in 'sets': prepare it with: "
        "python -m gen_jax.data.prepare mnist --data-dir sets",
    )


def test_folder_that_is_not_there_is_refused(refused):
    refused(TOY, ["--data", "folder:faces"], 3, "there is no folder 'faces'")


def test_empty_folder_is_refused_with_what_would_be_an_image(refused, workplace):
    (workplace / "faces").mkdir()
    text = "the folder 'faces' holds no images (bmp gif jpeg jpg png tif tiff webp)"
    refused(TOY, ["--data", "folder:faces"], 3, text)


def test_truncated_image_is_refused_by_name_and_can_be_left_out(refused, workplace):
    folder = write_images(workplace / "faces")
    broken = folder / "07.png"
    broken.write_bytes(broken.read_bytes()[:-40])
    refused(
        TOY,
        ["--data", "folder:faces", "--batch-size", 8],
        3,
        "the image 'faces/07.png' cannot be read: mend or remove it, or leave such images out (--skip-bad-images)",
    )
    main(TOY, ["--data", "folder:faces", "--batch-size", "8", "--steps", "1", "--skip-bad-images"])
    stored = json.loads((workplace / "runs/toy_experiment-folder-faces/config.json").read_text())
    assert stored["data"]["train_size"] + stored["data"]["held_out_size"] == 19


def test_batch_larger_than_the_data_is_refused(refused):
    text = "--batch-size is 1440; accepted: at most 1438, the number of training examples in digits"
    refused(TOY, ["--data", "digits", "--batch-size", 1440], 2, text)


def test_batch_that_the_devices_cannot_share_is_refused(refused):
    refused(TOY, ["--batch-size", 12], 2, "--batch-size is 12; accepted: a multiple of the 8 devices")


@pytest.mark.parametrize(
    ("experiment", "size", "nearest"),
    [
        (dcgan.EXPERIMENT, 18, 20),
        (dcgan.EXPERIMENT, 30, 32),
        (dcgan.EXPERIMENT, 4, 8),
        (ddpm.EXPERIMENT, 11, 12),
        (ddpm.EXPERIMENT, 9, 10),
    ],
)
def test_size_that_the_architecture_cannot_make_is_refused_with_the_nearest(refused, experiment, size, nearest):
    text = (
        f"digits has images of {size}x{size}, which this architecture cannot make; "
        f"the nearest that it can: --image-size {nearest}"
    )
    refused(experiment, ["--image-size", size], 2, text)


def test_size_that_an_option_makes_impossible_is_refused(refused):
    text = (
        "digits has images of {0}x{0}, which this architecture cannot make; the nearest that it can: --image-size {1}"
    )
    refused(vae.EXPERIMENT, ["--network", "conv", "--image-size", 3], 2, text.format(3, 4))
    refused(wgan_gp.EXPERIMENT, ["--data", "digits", "--image-size", 13], 2, text.format(13, 14))
    refused(ddpm.EXPERIMENT, ["--multipliers", 1, 1, 1, 1, 1], 2, text.format(8, 16))


@pytest.mark.parametrize("experiment", [dcgan.EXPERIMENT, ddpm.EXPERIMENT])
def test_points_are_refused_by_an_architecture_of_images(refused, experiment):
    text = "--data is ring8, which has points; this architecture makes images"
    refused(experiment, ["--data", "ring8"], 2, text)


def test_size_of_points_is_refused(refused):
    text = "--image-size 8: 'ring8' has points, not images; leave the flag out"
    refused(TOY, ["--image-size", 8], 2, text)


# The run directory


def test_run_directory_that_is_a_file_is_refused(refused, workplace):
    (workplace / "run").write_text("mine")
    refused(TOY, ["--run-dir", "run"], 2, "--run-dir run is a file, not a directory")
    refused(TOY, ["--run-dir", "run/below"], 2, "--run-dir run/below cannot be created: run is a file")


def test_run_directory_of_something_else_is_refused(refused, workplace):
    (workplace / "run").mkdir()
    (workplace / "run" / "thesis.tex").write_text("mine")
    text = "--run-dir run is not a run directory: it holds files but no config.json"
    refused(TOY, ["--run-dir", "run"], 2, text)


def test_run_of_another_configuration_is_refused_with_every_difference(refused):
    main(TOY, ["--run-dir", "run", "--steps", "1"])
    refused(
        TOY,
        ["--run-dir", "run", "--batch-size", 8, "--power", 4, "--data", "grid25", "--steps", 5],
        2,
        "run holds a run of another configuration: --batch-size is 16 there and 8 here; "
        "--data is ring8 there and grid25 here; --power is 2 there and 4 here "
        "(name another --run-dir, or repeat the options of the run to continue it)",
    )


def test_run_of_another_experiment_is_refused(workplace, capsys):
    main(TOY, ["--run-dir", "run", "--steps", "1"])
    before = contents(workplace)
    capsys.readouterr()
    with pytest.raises(SystemExit) as exit:
        main(gan.EXPERIMENT, ["--preset", "tiny", "--run-dir", "run"])
    said = capsys.readouterr().err
    assert exit.value.code == 2
    assert said.startswith(
        "error: run holds a run of another configuration: "
        "the experiment is toy_experiment there and experiments.gan here; "
    )
    assert said.count("\n") == 1
    assert contents(workplace) == before


def test_run_whose_data_changed_is_refused_with_every_difference(workplace, capsys):
    folder = write_images(workplace / "faces")
    arguments = ["--data", "folder:faces", "--batch-size", "8", "--steps", "1", "--run-dir", "run"]
    main(TOY, arguments)
    (folder / "00.png").unlink()
    before = contents(workplace)
    capsys.readouterr()
    with pytest.raises(SystemExit) as exit:
        main(TOY, arguments)
    said = capsys.readouterr().err
    assert exit.value.code == 2
    assert said.startswith("error: run holds a run of another configuration: the data's fingerprint is ")
    assert re.search(r"the data's (train|held_out)_size is \d+ there and \d+ here", said)
    assert said.count("\n") == 1
    assert contents(workplace) == before


def test_a_folder_that_was_moved_is_found_where_it_is_said_to_be(workplace, capsys):
    folder = write_images(workplace / "faces")
    main(TOY, ["--data", "folder:faces", "--batch-size", "8", "--steps", "1", "--run-dir", "run"])
    folder.rename(workplace / "moved")
    with pytest.raises(DataError, match=r"^there is no folder 'faces'"):
        gen_jax.load("run").load_data()
    assert gen_jax.load("run").load_data("moved").train.size == 17
    (workplace / "moved" / "00.png").unlink()
    with pytest.raises(ConfigError, match="the data folder:faces are not those of the run"):
        gen_jax.load("run").load_data("moved")


def test_corrupt_configuration_is_refused_and_kept(workplace, capsys):
    (workplace / "run").mkdir()
    (workplace / "run" / "config.json").write_text('{"experiment": {"mod')
    before = contents(workplace)
    with pytest.raises(SystemExit) as exit:
        main(TOY, ["--run-dir", "run"])
    said = capsys.readouterr().err
    assert exit.value.code == 2
    assert said.startswith("error: run/config.json is not the configuration of a run: ")
    assert said.count("\n") == 1
    assert contents(workplace) == before


# The numbers


@pytest.mark.parametrize(
    ("arguments", "step", "saved"),
    [
        # The update of step 3 is seen in the loss of step 4, before that step is saved.
        (["--nan-at", 3], 3, ["2"]),
        # Nothing is logged: it is seen when the parameters would be saved.
        (["--nan-at", 4, "--log-every", 0], 4, ["2"]),
        # Nothing is saved yet.
        (["--nan-at", 1], 1, []),
    ],
)
def test_numbers_that_stop_being_finite_end_the_run_by_leaf_and_step(workplace, capsys, arguments, step, saved):
    with pytest.raises(SystemExit) as exit:
        main(TOY, ["--run-dir", "run", "--steps", "6", *map(str, arguments)])
    assert exit.value.code == 4
    assert capsys.readouterr().err == (
        f"error: params/mean/value stopped being finite in step {step}; to reproduce it: "
        f"python -m gen_jax replay run/nonfinite/{step}, or --on-nonfinite rollback to leave it out\n"
    )
    assert [path.name for path in (workplace / "run" / "checkpoints").iterdir()] == saved
    report = json.loads((workplace / "run" / "nonfinite" / str(step) / "report.json").read_text())
    assert (report["step"], report["last_good_step"], report["leaves"]) == (step, step - 1, ["params/mean/value"])


def test_run_that_stopped_can_be_looked_at_and_says_where_it_stopped(workplace):
    with pytest.raises(SystemExit):
        main(TOY, ["--run-dir", "run", "--steps", "6", "--nan-at", "3"])
    run = gen_jax.load("run")
    assert run.step == 2
    assert np.isfinite(run.sample(3)).all()
    lines = [json.loads(line) for line in (workplace / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4]
    assert [line["loss"] is None for line in lines] == [False, False, False, True]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_before_training_is_a_preemption_and_no_traceback(capsys, monkeypatch, number):
    before = signal.getsignal(number)
    monkeypatch.setattr("gen_jax.run.train.train_run", lambda *arguments, **named: signal.raise_signal(number))
    with pytest.raises(SystemExit) as exit:
        main(TOY, [])
    assert exit.value.code == 75
    assert capsys.readouterr() == ("preempted outside of training; the same command starts or continues it\n", "")
    assert signal.getsignal(number) is before


class Signals:
    """An object in whose finalizer a signal arrives; Python drops what is raised there."""

    def __init__(self, number):
        self.number = number

    def __del__(self):
        signal.raise_signal(self.number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_arrives_while_an_object_is_freed_is_not_lost(capsys, monkeypatch, number):
    before = sys.unraisablehook

    def train_run(*arguments, **named):
        Signals(number)
        time.sleep(60)

    monkeypatch.setattr("gen_jax.run.train.train_run", train_run)
    with pytest.raises(SystemExit) as exit:
        main(TOY, [])
    assert exit.value.code == 75
    assert capsys.readouterr() == ("preempted outside of training; the same command starts or continues it\n", "")
    assert sys.unraisablehook is before


def test_what_else_is_dropped_while_an_object_is_freed_is_shown_as_before(monkeypatch):
    class Fails:
        def __del__(self):
            raise ZeroDivisionError

    seen = []
    monkeypatch.setattr("sys.unraisablehook", lambda what: seen.append(what.exc_type))
    monkeypatch.setattr("gen_jax.run.train.train_run", lambda *arguments, **named: Fails() and None)
    main(TOY, [])
    assert seen == [ZeroDivisionError]


def test_nothing_but_errors_of_the_user_is_caught(monkeypatch):
    def defective(*arguments, **named):
        raise ZeroDivisionError

    monkeypatch.setattr("gen_jax.run.train.train_run", defective)
    with pytest.raises(ZeroDivisionError):
        main(TOY, [])
