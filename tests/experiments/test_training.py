"""What every experiment must satisfy when its tiny preset is trained; a new file in `experiments/` is held to it.

`make test` trains one experiment of each family and those that have changed, `make test-all` the others too.
"""

import dataclasses
import functools
import io
import json
import math
import shutil
from pathlib import Path

import held
import jax
import numpy as np
import pytest
from PIL import Image
from rich.console import Console

import gen_jax
from gen_jax.config import Config
from gen_jax.experiment import Experiment
from gen_jax.loaded import Run
from gen_jax.run.setup import RUN_ONCE, initial_state
from gen_jax.run.train import train_run
from gen_jax.training import digest
from gen_jax.training.sharding import state_shardings

QUICK = held.representatives(held.FAMILIES) | held.changed(held.NAMES, held.changed_files())


def say(experiment: Experiment, config: Config) -> str:
    """Trains, and returns what a person would read."""
    output = io.StringIO()
    train_run(experiment, config, Console(file=output, width=200))
    return output.getvalue()


def lines_of(run_dir: Path) -> list[dict]:
    """The lines of metrics.jsonl, in the JSON of the standard, which has no NaN."""

    def refuse(constant):
        raise ValueError(f"{constant} is no JSON")

    return [json.loads(line, parse_constant=refuse) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]


def contents(run_dir: Path) -> dict[str, bytes]:
    """What must not change when a finished run is run again: every file but TensorBoard's."""
    files = (path for path in run_dir.rglob("*") if path.is_file() and not path.name.startswith("events."))
    return {str(path.relative_to(run_dir)): path.read_bytes() for path in files}


def last_picture(run_dir: Path) -> bytes:
    return max((run_dir / "samples").glob("*.png")).read_bytes()


def half_of(config: Config) -> int:
    """The step half way, after which the next multiple of it is past the end."""
    return (config.steps + 1) // 2


@dataclasses.dataclass(frozen=True)
class Trained:
    """An experiment's tiny preset, trained in one go; other runs of it are made when a test asks."""

    experiment: Experiment
    directory: Path
    config: Config
    said: str

    @functools.cached_property
    def run(self) -> Run:
        """The trained run, loaded once for all that look at it."""
        return gen_jax.load(self.directory)

    @property
    def makes_samples(self) -> bool:
        """Whether the method has any: a classifier has none."""
        return self.run.game.sample is not None

    @property
    def is_pictured(self) -> bool:
        """Whether there is anything to make a grid of: samples, or else a view."""
        return self.makes_samples or bool(self.run.game.views)

    def sample(self, n: int, seed: int = 0) -> np.ndarray:
        """Samples, of zeros where the method wants something that it does not draw itself."""
        wanted = {name: given.field for name, given in self.run.game.given.items() if given.draw is None}
        given = {name: np.zeros((n, *field.shape), field.dtype) for name, field in wanted.items()}
        return self.run.sample(n, seed, **given)

    @functools.cached_property
    def broken(self) -> Path:
        """The same run as it was half way, continued."""
        steps, half = self.config.steps, half_of(self.config)
        directory = Path(shutil.copytree(self.directory, self.directory.with_name("broken")))
        shutil.rmtree(directory / "checkpoints" / str(steps))
        (directory / "samples" / f"{steps:08}.png").unlink(missing_ok=not self.is_pictured)
        metrics = directory / "metrics.jsonl"
        lines = metrics.read_text().splitlines(keepends=True)
        metrics.write_text("".join(line for line in lines if json.loads(line)["step"] <= half))
        said = say(self.experiment, dataclasses.replace(self.config, run_dir=str(directory)))
        assert f"continuing after step {half}" in said
        return directory


@pytest.fixture(scope="module", params=[held.parameter(name, slow=name not in QUICK) for name in held.NAMES])
def trained(request, tmp_path_factory):
    experiment = held.module_of(request.param).EXPERIMENT
    if held.needs_other_runs(experiment):
        pytest.skip("it is made of other runs")
    directory = tmp_path_factory.mktemp(request.param) / "unbroken"
    tiny = experiment.presets["tiny"]
    half = half_of(tiny)
    cadence = {"log_every": 1, "eval_every": half, "save_every": half}
    config = dataclasses.replace(tiny, preset="tiny", run_dir=str(directory), **cadence)
    return Trained(experiment, directory, config, say(experiment, config))


def test_run_says_what_it_did(trained):
    assert f"finished {trained.config.steps} steps" in trained.said
    assert f"run      {trained.directory}\n" in trained.said
    word = "samples" if trained.makes_samples else "shown  "
    picture = f"{word}  {trained.directory}/samples/{trained.config.steps:08}.png\n"
    assert (picture in trained.said) is trained.is_pictured


def test_run_leaves_its_files(trained):
    steps, half = trained.config.steps, half_of(trained.config)
    present = {path.name for path in trained.directory.iterdir()}
    events = {name for name in present if name.startswith("events.")}
    assert present - events - {"samples"} == {"config.json", "metrics.jsonl", "checkpoints"}
    assert events
    assert {path.name for path in (trained.directory / "checkpoints").iterdir()} == {str(half), str(steps)}
    pictures = {path.name for path in (trained.directory / "samples").glob("*")}
    assert pictures == ({f"{half:08}.png", f"{steps:08}.png"} if trained.is_pictured else set())


def test_stored_configuration_is_the_one_that_ran(trained):
    stored = json.loads((trained.directory / "config.json").read_text())
    assert stored["experiment"] == trained.experiment.identity
    expected = json.loads(json.dumps(dataclasses.asdict(trained.config)))
    assert stored["config"] == expected
    assert stored["data"]["name"] == trained.config.data
    assert stored["versions"]["jax"] == jax.__version__


def test_metrics_are_one_finite_line_a_step(trained):
    lines, steps = lines_of(trained.directory), trained.config.steps
    found = [(line.pop("step"), line.pop("split")) for line in lines]
    of_training = {(step, "train") for step in range(1, steps + 1)}
    of_evaluations = {(half_of(trained.config), "eval"), (steps, "eval")}
    # A method that evaluates nothing may still have its samples measured.
    measured = trained.run.game.evaluate is not None or of_evaluations.intersection(found)
    expected = of_training | (of_evaluations if measured else set())
    assert len(found) == len(expected)
    assert set(found) == expected
    assert [step for step, _ in found] == sorted(step for step, _ in found)
    for line in lines:
        assert line
        assert all(isinstance(value, float) and math.isfinite(value) for value in line.values())


def test_picture_shows_the_samples_asked_for(trained):
    if not trained.is_pictured:
        pytest.skip("there is nothing to show")
    with Image.open(io.BytesIO(last_picture(trained.directory))) as picture:
        size = picture.size
    if not trained.makes_samples or "label" in trained.run.game.given:
        # A view, or a row for each class.
        assert min(size) > 0
        return
    shape = trained.sample(1).shape[1:]
    if shape == (2,):
        assert size == (512, 512)
    elif len(shape) == 3:
        columns = math.ceil(math.sqrt(trained.config.grid_samples))
        rows = math.ceil(trained.config.grid_samples / columns)
        height, width = rows * (shape[0] + 1) + 1, columns * (shape[1] + 1) + 1
        factor = math.ceil(512 / max(height, width))
        assert size == (width * factor, height * factor)


def test_loaded_run_samples_the_same_for_the_same_seed(trained):
    run = trained.run
    assert run.step == trained.config.steps
    if not trained.makes_samples:
        pytest.skip("it makes no samples")
    first, again, other = trained.sample(3), trained.sample(3), trained.sample(3, seed=1)
    made = run.info.fields[run.game.makes]
    assert (first.shape, first.dtype) == ((3, *made.shape), made.dtype)
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert not np.array_equal(first[0], first[1])


def test_loading_gives_the_same_state_each_time(trained):
    again = gen_jax.load(trained.directory)
    assert again.digest() == trained.run.digest() == digest(trained.run.state)


def test_finished_run_is_left_as_it_is(trained):
    before = contents(trained.directory)
    said = say(trained.experiment, trained.config)
    steps = trained.config.steps
    assert f"already finished: {steps} of {steps} steps are done" in said
    assert contents(trained.directory) == before


def test_continued_run_ends_where_the_unbroken_one_does(trained):
    assert gen_jax.load(trained.broken).digest() == trained.run.digest()
    assert (trained.directory / "metrics.jsonl").read_bytes() == (trained.broken / "metrics.jsonl").read_bytes()
    if trained.is_pictured:
        assert last_picture(trained.directory) == last_picture(trained.broken)


def test_another_seed_starts_elsewhere(trained):
    # A whole run of another seed would compile the step again; tests/test_loaded.py has one. As the run compiled it.
    run = trained.run
    start = jax.jit(
        functools.partial(initial_state, run.game, run.info),
        out_shardings=state_shardings(run.mesh, run.state),
        compiler_options=RUN_ONCE,
    )
    first, again, other = (digest(start(jax.random.key(seed))) for seed in (0, 0, 1))
    assert first == again != other
