import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import toy_experiment
from PIL import Image

import gen_jax
from gen_jax import main as train
from gen_jax.__main__ import main
from gen_jax.experiment import find
from gen_jax.metrics.inception import FILE, PROJECT, SHA256

TESTS = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def points(tmp_path_factory):
    directory = tmp_path_factory.mktemp("points") / "run"
    train(toy_experiment.EXPERIMENT, ["--run-dir", str(directory)])
    return directory


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    directory = tmp_path_factory.mktemp("images") / "run"
    train(toy_experiment.EXPERIMENT, ["--run-dir", str(directory), "--data", "digits", "--steps", "2"])
    return directory


@pytest.fixture
def shell(monkeypatch, capsys, tmp_path):
    """Runs `python -m gen_jax ARGUMENTS` in a directory of its own; returns (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["gen_jax", *map(str, arguments)])
        code = 0
        capsys.readouterr()
        try:
            main()
        except SystemExit as exit:
            code = exit.code
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_sample_writes_an_array(shell, points, tmp_path):
    code, out, _ = shell("sample", points, "--n", 5, "--seed", 3, "--out", "deep/er/samples.npy")
    assert (code, out) == (0, "deep/er/samples.npy\n")
    written = np.load(tmp_path / "deep/er/samples.npy")
    np.testing.assert_array_equal(written, gen_jax.load(points).sample(5, seed=3))


def test_sample_writes_a_grid_by_default(shell, images, tmp_path):
    code, out, _ = shell("sample", images)
    assert (code, out) == (0, "samples.png\n")
    with Image.open(tmp_path / "samples.png") as picture:
        # 64 images of 8x8 with lines between, 73 pixels, eight times as large.
        assert picture.size == (584, 584)
        assert picture.mode == "L"


def test_sample_plots_points(shell, points, tmp_path):
    assert shell("sample", points, "--out", tmp_path / "plot.png")[0] == 0
    with Image.open(tmp_path / "plot.png") as picture:
        assert picture.size == (512, 512)


def test_sample_takes_a_checkpoint(shell, points, tmp_path):
    assert shell("sample", points, "--step", 2, "--n", 4, "--out", "two.npy")[0] == 0
    np.testing.assert_array_equal(np.load(tmp_path / "two.npy"), gen_jax.load(points, 2).sample(4))


def lines(text):
    return [json.loads(line) for line in text.splitlines()]


def test_evaluate_prints_a_score_a_line_as_json_and_stores_them(shell, points):
    code, out, _ = shell("evaluate", points, "--json")
    assert code == 0
    scores = lines(out)
    assert {score["metric"] for score in scores} == {"loss", "modes", "high_quality"}
    assert scores == [score.as_json() for score in gen_jax.load(points).evaluate()]
    assert {score["step"] for score in scores} == {4}
    stored = lines((points / "scores.jsonl").read_text())
    assert [score for score in stored if score["step"] == 4] == scores


def test_evaluate_prints_a_table_that_fits_80_columns_and_what_it_depends_on(shell, points, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    code, out, _ = shell("evaluate", points, "--metrics", "mixture, wasserstein", "--samples", 200, "--seed", 2)
    assert code == 0
    assert max(map(len, out.splitlines())) <= 80
    assert "Modes of 8" in out
    assert "Wasserstein-1 distance" in out
    assert "samples: 200\n" in out
    assert "seed: 2\n" in out


def test_evaluate_takes_a_checkpoint(shell, points):
    code, out, _ = shell("evaluate", points, "--step", 2, "--json", "--metrics", "held_out")
    assert code == 0
    (loss,) = lines(out)
    assert (loss["step"], loss["value"]) == (2, gen_jax.load(points, 2).evaluate()[0].value)


def test_measuring_again_replaces_and_another_protocol_adds(shell, points):
    def stored():
        return [s for s in lines((points / "scores.jsonl").read_text()) if s["metric"] == "modes"]

    for arguments in (("--samples", 50), ("--samples", 50), ("--samples", 60)):
        assert shell("evaluate", points, "--metrics", "mixture", *arguments)[0] == 0
    counts = [score["protocol"]["samples"] for score in stored()]
    assert (counts.count(50), counts.count(60)) == (1, 1)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--metrics", "fdi"], "error: --metrics has 'fdi'; the nearest is 'fid'. Accepted: all, held_out, nll, "),
        (["--metrics", "fid"], "error: fid does not apply to ring8: it has points, not images\n"),
        (["--metrics", "nll"], "error: nll does not apply: the method gives no probabilities to data\n"),
        (["--samples", "0"], "error: --samples is 0; accepted: a number from 1 to 10000000\n"),
        (["--samplr", "ddim"], "error: --samplr does not apply to "),
    ],
)
def test_what_cannot_be_measured_is_one_line(shell, points, arguments, text):
    code, out, err = shell("evaluate", points, *arguments)
    assert (code, out) == (2, "")
    assert err.startswith(text)
    assert err.count("\n") == 1


def test_too_few_samples_are_one_line(shell, images):
    code, out, err = shell("evaluate", images, "--metrics", "kid", "--samples", 3)
    assert (code, out) == (2, "")
    assert err.splitlines()[-1] == "error: --samples is 3; kid needs at least 4"


def test_help_names_every_measure(shell):
    from gen_jax.measures import MEASURES

    code, out, _ = shell("evaluate", "--help")
    assert code == 0
    text = " ".join(word for word in out.replace("│", " ").split())
    assert f"With commas between: {', '.join(MEASURES)}; or all" in text


def test_report_writes_a_page_and_names_it(shell, images):
    code, out, _ = shell("report", images)
    assert (code, out) == (0, f"{images}/report.html\n")
    assert "<!doctype html>" in (images / "report.html").read_text()[:100].lower()


def test_compare_prints_a_table_and_writes_a_page(shell, points, tmp_path):
    code, out, _ = shell("compare", points, points, "--out", "deep/compare.html")
    assert code == 0
    assert "Loss" in out
    assert out.splitlines()[-1] == "deep/compare.html"
    assert (tmp_path / "deep/compare.html").exists()


def test_compare_refuses_an_unknown_metric(shell, points):
    code, _, err = shell("compare", points, "--metric", "los")
    assert code == 2
    assert err.startswith("error: --metric is los; the nearest is 'loss'; the runs have: ")


def test_hype_writes_a_page(shell, images, tmp_path):
    code, out, _ = shell("hype", images, "--images", 10, "--out", "hype.html")
    assert (code, out) == (0, "hype.html\n")
    assert (tmp_path / "hype.html").exists()


def test_hype_is_of_images(shell, points):
    code, _, err = shell("hype", points)
    assert (code, err) == (2, f"error: {points} was trained on points (ring8); HYPE shows people images\n")


def test_answers_that_are_none_are_refused(shell, images, tmp_path):
    (tmp_path / "answers.json").write_text("{}")
    code, _, err = shell("hype", images, "--answers", "answers.json")
    assert code == 2
    assert err.startswith("error: answers.json ")
    assert err.count("\n") == 1


def test_weights_that_are_not_inceptions_are_refused(shell, tmp_path):
    (tmp_path / "weights.pth").write_bytes(b"something else")
    code, _, err = shell("inception", "--weights", "weights.pth")
    assert code == 2
    assert err.startswith("error: weights.pth is not pt_inception-2015-12-05-6726825d.pth (release fid_weights")
    for arguments in ([], ["--weights", "none.pth"]):
        code, _, err = shell("inception", *arguments)
        assert (code, err.count("\n")) == (2, 1)
        assert FILE in err
        assert PROJECT in err
        assert f"SHA-256 {SHA256}" in err


def test_digest_prints_it_and_no_more(shell, points):
    assert shell("digest", points)[:2] == (0, gen_jax.load(points).digest() + "\n")
    assert shell("digest", points, "--step", 2)[:2] == (0, gen_jax.load(points, 2).digest() + "\n")


@pytest.mark.slow
def test_digest_from_a_shell_with_one_device_is_that_of_eight(points):
    # A process of its own, without what the settings of the tests give to JAX.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent)]), "XLA_FLAGS": ""}
    command = [sys.executable, "-W", "error", "-m", "gen_jax", "digest", str(points)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (0, gen_jax.load(points).digest() + "\n"), done.stderr


@pytest.mark.parametrize("command", ["sample", "evaluate", "report", "hype", "digest"])
def test_what_is_no_run_is_refused(shell, tmp_path, command):
    code, out, err = shell(command, tmp_path / "none")
    assert (code, out) == (2, "")
    assert err == f"error: {tmp_path}/none does not exist; a run directory was wanted\n"
    (tmp_path / "other").mkdir()
    assert shell(command, tmp_path / "other")[2] == (
        f"error: {tmp_path}/other is not a run directory: it has no config.json\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["other"]


@pytest.mark.parametrize("command", ["sample", "evaluate", "report", "hype", "digest"])
def test_checkpoint_that_is_not_there_is_refused(shell, points, command):
    code, out, err = shell(command, points, "--step", 3)
    assert (code, out) == (2, "")
    assert err == f"error: {points} has no checkpoint of step 3: it has steps 2, 4\n"


@pytest.mark.parametrize("command", ["sample", "evaluate", "report", "hype", "digest"])
def test_corrupt_configuration_is_refused(shell, tmp_path, command):
    (tmp_path / "config.json").write_text('{"experiment": ')
    code, out, err = shell(command, tmp_path)
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {tmp_path}/config.json is not the configuration of a run: ")
    assert err.count("\n") == 1


def test_run_of_an_experiment_that_is_gone_is_refused(shell, points, tmp_path):
    stored = json.loads((points / "config.json").read_text())
    stored["experiment"]["module"] = "experiments.gone"
    (tmp_path / "config.json").write_text(json.dumps(stored))
    code, _, err = shell("digest", tmp_path)
    assert code == 2
    assert err == ("error: the experiment experiments.gone cannot be loaded: No module named 'experiments.gone'\n")


def test_run_of_a_script_finds_the_script_again(shell, points, tmp_path):
    script = tmp_path / "my_paper.py"
    script.write_text(Path(toy_experiment.__file__).read_text())
    run = tmp_path / "run"
    try:
        experiment = find({"module": "my_paper", "file": str(script)})
        # As it is where Python was given a file.
        sys.modules["my_paper"].__spec__ = None
        train(experiment, ["--run-dir", str(run)])
        sys.modules.pop("my_paper")
        assert shell("digest", run)[:2] == (0, gen_jax.load(points).digest() + "\n")
    finally:
        sys.modules.pop("my_paper", None)
    script.unlink()
    code, _, err = shell("digest", run)
    assert code == 2
    assert err.startswith(f"error: the experiment {script} cannot be loaded: ")


@pytest.mark.parametrize("out", ["samples.jpg", "samples"])
def test_file_of_another_kind_is_refused_before_anything_is_loaded(shell, tmp_path, out):
    code, _, err = shell("sample", tmp_path / "none", "--out", out)
    assert code == 2
    assert err == f"error: --out is {out}; accepted: a file that ends in .png or .npy\n"


@pytest.mark.parametrize("suffix", ["png", "npy"])
def test_file_that_cannot_be_written_is_refused(shell, points, tmp_path, suffix):
    (tmp_path / "file").write_text("mine")
    code, _, err = shell("sample", points, "--n", 1, "--out", f"file/samples.{suffix}")
    assert code == 2
    assert err.startswith(f"error: --out file/samples.{suffix} cannot be written: ")
    assert err.count("\n") == 1


def test_number_of_samples_is_checked(shell, points, tmp_path):
    assert shell("sample", points, "--n", 0)[::2] == (2, "error: n is 0; accepted: a number from 1 to 1000000\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("seed", [-1, 2**32, 2**70])
def test_seed_is_checked_as_in_training(shell, points, seed):
    code, _, err = shell("sample", points, "--seed", seed)
    assert code == 2
    assert err == f"error: seed is {seed}; accepted: a number from 0 to 4294967295\n"


@pytest.mark.parametrize("arguments", [("smaple", "run"), ("sample",), ("sample", "run", "--seeed", "1"), ()])
def test_usage_errors_exit_with_two_and_no_traceback(shell, tmp_path, arguments):
    code, out, err = shell(*arguments)
    assert code == 2
    assert "Traceback" not in out + err
    assert out + err
    assert list(tmp_path.iterdir()) == []


def test_help_names_every_command(shell):
    code, out, _ = shell("--help")
    assert code == 0
    assert all(command in out for command in ("sample", "evaluate", "digest"))
