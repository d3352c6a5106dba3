import dataclasses
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import toy_experiment
from etils import epath
from rich.console import Console

import gen_jax
from gen_jax import main as train_main
from gen_jax.__main__ import main as gen_jax_main
from gen_jax.data import load_dataset
from gen_jax.data.shuffle import batch_indices
from gen_jax.errors import NonFiniteError
from gen_jax.experiment import Experiment
from gen_jax.run.replay import GivenBatches
from gen_jax.run.setup import initial_state
from gen_jax.run.train import train_run
from gen_jax.training import loop
from gen_jax.training.metrics_log import MetricsLog

TOY = toy_experiment.EXPERIMENT


@dataclasses.dataclass(frozen=True)
class SpoiltConfig(toy_experiment.ToyConfig):
    """The toy with data that spoil a step."""

    steps: int = 8
    save_every: int = 3
    spoilt: tuple[int, ...] = ()
    """Examples whose loss is infinite."""
    limit: float = np.inf
    """Of a normal number that is drawn for each example; the loss of those above is infinite."""


def build(config, data):
    game = toy_experiment.build(config, data)
    player = game.players["mean"]

    def loss(params, variables, batch, key, now):
        per_example, aux = player.loss(params, variables, batch, key, now)
        spoilt = jnp.isin(batch["index"], jnp.array(config.spoilt or (-1,)))
        spoilt |= jax.random.normal(key, per_example.shape) > config.limit
        return per_example * jnp.where(spoilt, jnp.inf, 1.0), aux

    return dataclasses.replace(game, players={"mean": dataclasses.replace(player, loss=loss)})


EXPERIMENT = Experiment(build, SpoiltConfig)


def examples(*steps):
    """One example of the batch of each of these steps, counted from 1, that is in no other batch of the run."""
    size = load_dataset("ring8").train.size
    assert size > 16 * 16
    return tuple(int(batch_indices(0, step - 1, 16, size)[0]) for step in steps)


def train(directory, experiment=EXPERIMENT, **changes):
    """Trains; returns what was said."""
    output = io.StringIO()
    config = dataclasses.replace(experiment.presets["default"], run_dir=str(directory), **changes)
    train_run(experiment, config, Console(file=output, width=1000))
    return output.getvalue()


def logged(directory):
    return [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture
def shell(monkeypatch, capsys):
    """Runs `python -m gen_jax ARGUMENTS`; returns (exit code, stdout, stderr)."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["gen_jax", *map(str, arguments)])
        code = 0
        capsys.readouterr()
        try:
            gen_jax_main()
        except SystemExit as exit:
            code = exit.code
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """A run whose rate is NaN in step 3, in which it stopped."""
    directory = tmp_path_factory.mktemp("stopped") / "run"
    with pytest.raises(SystemExit) as exit:
        train_main(TOY, ["--run-dir", str(directory), "--nan-at", "3"])
    assert exit.value.code == 4
    return directory


@pytest.fixture(scope="module")
def spoilt(tmp_path_factory):
    """A run whose data spoil step 5, in which it stopped."""
    directory = tmp_path_factory.mktemp("spoilt") / "run"
    with pytest.raises(NonFiniteError) as error:
        train(directory, spoilt=examples(5))
    assert str(error.value).startswith("loss, params/mean/value stopped being finite in step 5; to reproduce it: ")
    return directory


@pytest.fixture
def copied(stopped, tmp_path):
    """A copy of the stopped run, to be damaged, as the path of its bundle."""
    return Path(shutil.copytree(stopped, tmp_path / "run")) / "nonfinite" / "3"


def report(bundle):
    return json.loads((bundle / "report.json").read_text())


def test_replay_names_what_the_run_named_and_exits_with_four(shell, stopped):
    bundle = stopped / "nonfinite" / "3"
    code, out, err = shell("replay", bundle)
    assert (code, err) == (4, "")
    found = json.loads(out)
    assert found["step"] == report(bundle)["step"] == 3
    assert found["not_finite"] == report(bundle)["leaves"] == ["params/mean/value"]
    assert np.isfinite(float(found["metrics"]["loss"]))
    np.testing.assert_allclose(float(found["metrics"]["loss"]), report(bundle)["metrics"]["loss"], rtol=1e-6)


def test_replay_names_metrics_too(shell, spoilt):
    bundle = spoilt / "nonfinite" / "5"
    code, out, _ = shell("replay", bundle)
    assert code == 4
    assert report(bundle)["metrics"] == {"loss": "inf"}
    assert report(bundle)["leaves"] == ["params/mean/value"]
    assert json.loads(out) == {"step": 5, "not_finite": ["loss", "params/mean/value"], "metrics": {"loss": "inf"}}


def test_report_has_the_command_that_replays(stopped, spoilt):
    for directory, step in ((stopped, 3), (spoilt, 5)):
        bundle = directory / "nonfinite" / str(step)
        assert report(bundle)["reproduce"] == f"python -m gen_jax replay {bundle}"
        assert report(bundle)["last_good_step"] == step - 1


def test_bundle_has_the_batch_and_the_state_of_its_step(spoilt):
    bundle = spoilt / "nonfinite" / "5"
    train_data = load_dataset("ring8").train
    index = np.asarray(batch_indices(0, 4, 16, train_data.size))
    with np.load(bundle / "batches.npz") as arrays:
        assert sorted(arrays) == ["index_0", "x_0"]
        np.testing.assert_array_equal(arrays["index_0"], index)
        np.testing.assert_array_equal(arrays["x_0"], train_data.arrays["x"][index])
    assert [path.name for path in (bundle / "checkpoints").iterdir()] == ["4"]
    assert [int(path.name) for path in (spoilt / "checkpoints").iterdir()] == [3]


@pytest.mark.slow
def test_replay_from_a_shell_with_one_device_and_no_data_finds_the_same(spoilt):
    environment = {
        **os.environ,
        "XLA_FLAGS": "",
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]),
    }
    command = report(spoilt / "nonfinite" / "5")["reproduce"].split()
    command[:1] = [sys.executable, "-W", "error::ResourceWarning"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 4, done.stderr
    assert json.loads(done.stdout)["not_finite"] == ["loss", "params/mean/value"]


def test_replay_draws_the_noise_of_the_parts_that_a_cpu_had(shell, tmp_path, monkeypatch):
    monkeypatch.setattr("gen_jax.run.train.choose_cpu_parts", lambda *given: 8)
    with pytest.raises(NonFiniteError):
        train(tmp_path / "run", limit=2.4)
    bundle = next((tmp_path / "run" / "nonfinite").iterdir())
    assert report(bundle)["devices"] == jax.device_count() == 8
    code, out, _ = shell("replay", bundle)
    assert (code, json.loads(out)["metrics"]) == (4, {"loss": "inf"})
    # Neither fewer devices nor one piece would draw the same numbers.
    with monkeypatch.context() as alone:
        alone.setattr("gen_jax.run.devices.devices_for", lambda config, cpu_parts: jax.devices()[:1])
        code, _, err = shell("replay", bundle)
    assert (code, "set JAX_NUM_CPU_DEVICES=8" in err) == (2, True)
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    config["host"]["cpu_parts"] = 1
    (tmp_path / "run" / "config.json").write_text(json.dumps(config))
    assert shell("replay", bundle)[0] == 0


def test_replay_changes_nothing(shell, stopped):
    def contents():
        return {path: path.read_bytes() if path.is_file() else None for path in stopped.rglob("*")}

    before = contents()
    shell("replay", stopped / "nonfinite" / "3")
    assert contents() == before


def test_replay_that_finds_nothing_says_so_and_exits_with_zero(shell, copied):
    # As if the machine had made the NaN: the rate is none.
    config = json.loads((copied.parent.parent / "config.json").read_text())
    config["config"]["nan_at"] = 0
    (copied.parent.parent / "config.json").write_text(json.dumps(config))
    code, out, err = shell("replay", copied)
    assert (code, err) == (0, "")
    assert json.loads(out)["not_finite"] == []


def test_replay_takes_the_batch_of_the_bundle(shell, spoilt, tmp_path):
    bundle = Path(shutil.copytree(spoilt, tmp_path / "run")) / "nonfinite" / "5"
    with np.load(bundle / "batches.npz") as arrays:
        batch = dict(arrays)
    batch["index_0"] = np.full_like(batch["index_0"], examples(6)[0])
    np.savez(bundle / "batches.npz", **batch)
    code, out, _ = shell("replay", bundle)
    assert (code, json.loads(out)["not_finite"]) == (0, [])


def refused(answer, text):
    code, out, err = answer
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {text}")
    assert err.count("\n") == 1


def test_replay_of_what_is_not_there_is_refused(shell, tmp_path):
    refused(shell("replay", tmp_path / "none"), f"{tmp_path}/none is no bundle of a step: it has no report.json\n")
    assert list(tmp_path.iterdir()) == []


def test_replay_of_a_run_instead_of_its_bundle_is_refused(shell, stopped):
    refused(shell("replay", stopped), f"{stopped} is no bundle of a step: it has no report.json\n")


def test_replay_of_a_file_is_refused(shell, stopped):
    file = stopped / "config.json"
    refused(shell("replay", file), f"{file} is no bundle of a step: it has no report.json\n")


def test_replay_of_a_bundle_without_its_run_is_refused(shell, copied, tmp_path):
    moved = shutil.move(copied, tmp_path / "away" / "bundle")
    refused(shell("replay", moved), f"{tmp_path} is not a run directory: it has no config.json\n")


def test_replay_of_a_bundle_whose_state_is_damaged_or_gone_is_refused(shell, copied):
    for path in sorted(copied.rglob("*"), reverse=True):
        if path.is_file() and "checkpoints" in path.parts and path.stat().st_size > 100:
            path.write_bytes(path.read_bytes()[:50])
    refused(shell("replay", copied), f"the checkpoint of step 2 in {copied}/checkpoints is damaged: ")
    shutil.rmtree(copied / "checkpoints")
    refused(shell("replay", copied), f"the checkpoint of step 2 in {copied}/checkpoints is damaged: ")
    assert not (copied / "checkpoints").exists()


def overwrite(name, content):
    return lambda bundle: (bundle / name).write_bytes(content)


def cut(bundle):
    path = bundle / "batches.npz"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(bundle):
    path = bundle / "batches.npz"
    data = bytearray(path.read_bytes())
    data[data.index(b"x_0.npy") + 60] ^= 0x55
    path.write_bytes(data)


def without_x(bundle):
    with np.load(bundle / "batches.npz") as arrays:
        np.savez(bundle / "batches.npz", index_0=arrays["index_0"])


DAMAGE = {
    "batch gone": lambda bundle: (bundle / "batches.npz").unlink(),
    "batch empty": overwrite("batches.npz", b""),
    "batch garbage": overwrite("batches.npz", b"garbage" * 20),
    "batch cut": cut,
    "batch flipped": flip,
    "batch without x": without_x,
    "report empty": overwrite("report.json", b""),
    "report garbage": overwrite("report.json", b"\xff\xfe"),
    "report without a step": overwrite("report.json", b"{}"),
    "report no object": overwrite("report.json", b"[3]"),
    "report of a word": overwrite("report.json", b'{"step": "three", "devices": 1}'),
    "report without devices": overwrite("report.json", b'{"step": 3}'),
    "report of no devices": overwrite("report.json", b'{"step": 3, "devices": 0}'),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_replay_of_a_damaged_bundle_is_refused_by_name(shell, copied, damage):
    DAMAGE[damage](copied)
    try:
        code, out, err = shell("replay", copied)
    except Exception as error:
        pytest.fail(f"a traceback: {error!r}")
    assert (code, out) == (2, "")
    assert ("batches.npz" if "batch" in damage else "report.json") in err
    assert err.count("\n") == 1


def test_replay_on_more_devices_than_the_batch_can_be_split_over_finds_the_same(shell, copied):
    with np.load(copied / "batches.npz") as arrays:
        batch = {name: array[:12] for name, array in arrays.items()}
    np.savez(copied / "batches.npz", **batch)
    assert 12 % jax.device_count()
    try:
        code, out, _ = shell("replay", copied)
    except Exception as error:
        pytest.fail(f"a traceback: {error!r}")
    assert (code, json.loads(out)["not_finite"]) == (4, ["params/mean/value"])


# Going back


STEPS = [1, 2, 3, 4, 5, 6, 7, 8]


@pytest.fixture(scope="module")
def rolled_back(tmp_path_factory):
    """A run that left out steps 2 (before anything was saved) and 5, and what it said."""
    directory = tmp_path_factory.mktemp("rollback") / "run"
    said = train(directory, spoilt=examples(2, 5), on_nonfinite="rollback", keep=9)
    return directory, said


def test_rollback_finishes_without_the_steps_that_were_spoilt(rolled_back):
    directory, said = rolled_back
    assert gen_jax.load(directory).step == 8
    assert json.loads((directory / "skipped.json").read_text()) == [2, 5]
    assert sorted(path.name for path in (directory / "nonfinite").iterdir()) == ["2", "5"]
    what = "loss, params/mean/value stopped being finite in step {}: leaving it out, step {} of at most 10 left out"
    for number, step in enumerate((2, 5), 1):
        assert said.count(what.format(step, number)) == 1
        assert f"; to reproduce it: python -m gen_jax replay {directory}/nonfinite/{step}\n" in said
    assert "finished 8 steps" in said


def test_rollback_logs_every_step_exactly_once_and_counts_those_left_out(rolled_back):
    lines = logged(rolled_back[0])
    assert [line["step"] for line in lines if line["split"] == "train"] == STEPS
    assert [line["step"] for line in lines if line["split"] == "eval"] == [8]
    skipped = {line["step"]: line for line in lines if "skipped_steps" in line}
    assert skipped == {
        step: {"step": step, "split": "train", "skipped_steps": count} for step, count in ((2, 1), (5, 2))
    }
    assert all(np.isfinite(line["loss"]) for line in lines if line["step"] not in skipped)


def test_rollback_is_the_mean_that_is_learnt_from_the_other_steps(rolled_back):
    # Gradient descent on the squared distance, in NumPy.
    train_data, config = load_dataset("ring8").train, EXPERIMENT.presets["default"]
    run = gen_jax.load(rolled_back[0])
    mean = np.asarray(initial_state(run.game, run.info, jax.random.key(0)).params["mean"]["value"])
    for step in (1, 3, 4, 6, 7, 8):
        x = train_data.arrays["x"][np.asarray(batch_indices(0, step - 1, 16, train_data.size))]
        mean = mean - config.learning_rate * 2 * (mean - x).mean(axis=0)
    np.testing.assert_allclose(run.state.params["mean"]["value"], mean, rtol=1e-5, atol=1e-6)


def test_bundle_of_a_step_left_out_can_be_replayed(shell, rolled_back):
    code, out, _ = shell("replay", rolled_back[0] / "nonfinite" / "5")
    assert (code, json.loads(out)["not_finite"]) == (4, ["loss", "params/mean/value"])


class Killed(BaseException):
    """The run is cut off here."""


KILLS = [
    ("train", 3),
    *(pytest.param(*kill, marks=pytest.mark.slow) for kill in (("train", 4), ("train", 6), ("eval", 8))),
]


@pytest.mark.parametrize(("split", "at"), KILLS)
def test_rollback_that_is_killed_and_run_again_ends_as_one_that_was_not(tmp_path, monkeypatch, rolled_back, split, at):
    options = {"spoilt": examples(2, 5), "on_nonfinite": "rollback", "keep": 9}
    really = MetricsLog.write

    def dies(log, step, what, metrics, *machine):
        # After the rollback that this step comes after.
        wanted = {2} if step <= 4 else {2, 5}
        skipped = tmp_path / "run" / "skipped.json"
        if (what, step) == (split, at) and skipped.exists() and set(json.loads(skipped.read_text())) == wanted:
            raise Killed
        really(log, step, what, metrics, *machine)

    with monkeypatch.context() as cut:
        cut.setattr(MetricsLog, "write", dies)
        # A kill flushes nothing.
        cut.setattr(MetricsLog, "close", lambda log: log._events.close())
        with pytest.raises(Killed):
            train(tmp_path / "run", **options)
    train(tmp_path / "run", **options)
    assert gen_jax.load(tmp_path / "run").digest() == gen_jax.load(rolled_back[0]).digest()
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == (rolled_back[0] / "metrics.jsonl").read_bytes()
    assert (tmp_path / "run" / "skipped.json").read_bytes() == (rolled_back[0] / "skipped.json").read_bytes()


def test_run_that_stopped_goes_on_with_rollback(spoilt, tmp_path):
    directory = Path(shutil.copytree(spoilt, tmp_path / "run"))
    said = train(directory, spoilt=examples(5), on_nonfinite="rollback")
    assert "continuing after step 3" in said
    assert [line["step"] for line in logged(directory) if line["split"] == "train"] == STEPS
    assert json.loads((directory / "skipped.json").read_text()) == [5]


@pytest.mark.slow
def test_rollback_gives_up_where_it_is_not_the_batches(tmp_path):
    # The rate is NaN in every step that comes third.
    with pytest.raises(NonFiniteError) as error:
        train(tmp_path / "run", TOY, nan_at=3, steps=20, on_nonfinite="rollback")
    assert str(error.value).startswith(
        "params/mean/value stopped being finite in step 13, after 10 other steps were left out; to reproduce it: "
    )
    assert json.loads((tmp_path / "run" / "skipped.json").read_text()) == list(range(3, 13))


def test_number_that_is_not_made_again_is_put_down_to_the_machine(tmp_path, monkeypatch):
    really, calls = loop.bad_leaves, []

    def once(state):
        calls.append(int(state.step))
        return ["params/mean/value"] if len(calls) == 1 else really(state)

    monkeypatch.setattr(loop, "bad_leaves", once)
    with pytest.raises(NonFiniteError) as error:
        train(tmp_path / "run", TOY, on_nonfinite="rollback")
    assert str(error.value) == (
        "params/mean/value stopped being finite at or before step 2; there is no checkpoint yet; "
        "taking the steps again made no such number: suspect the machine, and run it again"
    )
    assert not (tmp_path / "run" / "nonfinite").exists()
    assert not (tmp_path / "run" / "skipped.json").exists()
    train(tmp_path / "run", TOY, on_nonfinite="rollback")
    assert gen_jax.load(tmp_path / "run").step == 4


def test_batches_of_a_bundle_are_drawn_in_loops_as_in_training(tmp_path):
    x, index = np.arange(24.0, dtype=np.float32).reshape(3, 4, 2), np.arange(12, dtype=np.int32).reshape(3, 4)
    path = epath.Path(tmp_path / "batches.npz")
    np.savez(path, **{f"x_{n}": x[n] for n in range(3)}, **{f"index_{n}": index[n] for n in range(3)})
    source = GivenBatches(path, 3)
    drawn = jax.lax.map(lambda draw: source.batch(source.feed(0), 0, draw), jnp.arange(3))
    assert source.size == 4
    np.testing.assert_array_equal(drawn["x"], x)
    np.testing.assert_array_equal(drawn["index"], index)
