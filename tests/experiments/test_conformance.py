"""What every experiment must satisfy; a new file in `experiments/` is found and held to it."""

import dataclasses
import functools
import importlib
import io
import json
import math
import pkgutil
import re
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
from jax.experimental.compilation_cache import compilation_cache
from PIL import Image
from rich.console import Console

import experiments
import gen_jax
from gen_jax.config import Config
from gen_jax.data.field import image_fields, point_fields
from gen_jax.data.info import DataInfo
from gen_jax.experiment import Experiment
from gen_jax.loaded import Run
from gen_jax.run.setup import initial_state
from gen_jax.run.train import train_run
from gen_jax.training import digest
from gen_jax.training.sharding import make_mesh, replicated

NAMES = sorted(module.name for module in pkgutil.iter_modules(experiments.__path__) if module.name[0] != "_")
PRESETS = ("default", "tiny", "paper")
SHAPES = {
    "digits": (8, 8, 1),
    "ring8": (2,),
    "grid25": (2,),
    "swissroll": (2,),
    "mnist": (28, 28, 1),
    "fashion_mnist": (28, 28, 1),
    "cifar10": (32, 32, 3),
    "celeb_a": (218, 178, 3),
}
EMBEDDED = ("digits", "ring8", "grid25", "swissroll")
PARAMETERS = {
    # Ho et al. 2020, appendix B, say 35.7 million.
    ("ddpm", "paper"): 35_746_307,
}


@pytest.fixture(scope="module", autouse=True)
def compile_once(tmp_path_factory):
    """Runs of one experiment share what they compile."""
    wanted = {
        "jax_compilation_cache_dir": str(tmp_path_factory.mktemp("compiled")),
        "jax_persistent_cache_min_compile_time_secs": 0,
    }
    before = {name: jax.config.values[name] for name in wanted}
    for values in (wanted, before):
        for name, value in values.items():
            jax.config.update(name, value)
        compilation_cache.reset_cache()
        jax.clear_caches()
        if values is wanted:
            yield


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

    @functools.cached_property
    def broken(self) -> Path:
        """The same run as it was half way, continued."""
        steps, half = self.config.steps, self.config.steps // 2
        directory = Path(shutil.copytree(self.directory, self.directory.with_name("broken")))
        shutil.rmtree(directory / "checkpoints" / str(steps))
        (directory / "samples" / f"{steps:08}.png").unlink()
        metrics = directory / "metrics.jsonl"
        lines = metrics.read_text().splitlines(keepends=True)
        metrics.write_text("".join(line for line in lines if json.loads(line)["step"] <= half))
        said = say(self.experiment, dataclasses.replace(self.config, run_dir=str(directory)))
        assert f"continuing after step {half}" in said
        return directory


@pytest.fixture(scope="module", params=NAMES)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def module(name):
    return importlib.import_module(f"experiments.{name}")


@pytest.fixture(scope="module")
def trained(module, name, tmp_path_factory):
    directory = tmp_path_factory.mktemp(name) / "unbroken"
    tiny = module.EXPERIMENT.presets["tiny"]
    half = tiny.steps // 2
    cadence = {"log_every": 1, "eval_every": half, "save_every": half}
    config = dataclasses.replace(tiny, preset="tiny", run_dir=str(directory), **cadence)
    return Trained(module.EXPERIMENT, directory, config, say(module.EXPERIMENT, config))


def test_there_are_experiments():
    assert {"vae", "gan", "dcgan", "wgan_gp", "ddpm"} <= set(NAMES)


def test_defines_an_experiment_that_a_run_can_find_again(module, name):
    assert isinstance(module.EXPERIMENT, Experiment)
    assert module.EXPERIMENT.identity == {"module": f"experiments.{name}", "file": ""}
    assert module.EXPERIMENT.name == name


def test_docstring_gives_paper_command_and_what_to_expect(module, name):
    assert re.search(r"arXiv \d{4}\.\d{4,5}", module.__doc__)
    assert re.search(rf"^    python -m experiments\.{name}$", module.__doc__, re.MULTILINE)
    assert re.search(r"\bExpect\b", module.__doc__)


@pytest.mark.parametrize("preset", PRESETS)
def test_preset_passes_its_own_check(module, preset):
    config = module.EXPERIMENT.presets[preset]
    config.check()
    assert type(config) is type(module.EXPERIMENT.presets["default"])
    assert config.run_dir is None
    assert config.data_dir is None


def test_defaults_and_tiny_need_no_download(module):
    for preset in ("default", "tiny"):
        assert module.EXPERIMENT.presets[preset].data in EMBEDDED


@pytest.mark.parametrize("preset", PRESETS)
def test_preset_builds_a_game_on_its_data(module, name, preset):
    config = module.EXPERIMENT.presets[preset]
    shape = SHAPES[config.data]
    if config.image_size is not None:
        shape = (config.image_size, config.image_size, shape[-1])
    fields = image_fields(shape) if len(shape) == 3 else point_fields()
    info = DataInfo(config.data, fields, train_size=1000, held_out_size=100, fingerprint="f")
    game = module.EXPERIMENT.build(config, info)
    state = jax.eval_shape(functools.partial(initial_state, game, info), jax.random.key(0))
    samples = jax.eval_shape(
        lambda params, variables, key: game.transform.restore(game.sample(params, variables, key, 3)),
        state.sampling_params,
        state.variables,
        jax.random.key(0),
    )
    assert samples.shape == (3, *shape)
    assert samples.dtype == (np.uint8 if info.is_image else np.float32)
    parameters = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(state.params))
    assert parameters == PARAMETERS.get((name, preset), parameters)


def test_every_expected_number_of_parameters_is_compared():
    assert all(name in NAMES and preset in PRESETS for name, preset in PARAMETERS)


def test_run_says_what_it_did(trained):
    assert f"finished {trained.config.steps} steps" in trained.said
    assert f"run      {trained.directory}\n" in trained.said
    assert f"samples  {trained.directory}/samples/{trained.config.steps:08}.png\n" in trained.said


def test_run_leaves_its_files(trained):
    steps = trained.config.steps
    present = {path.name for path in trained.directory.iterdir()}
    events = {name for name in present if name.startswith("events.")}
    assert present - events == {"config.json", "metrics.jsonl", "checkpoints", "samples"}
    assert events
    assert {path.name for path in (trained.directory / "checkpoints").iterdir()} == {str(steps // 2), str(steps)}
    pictures = {path.name for path in (trained.directory / "samples").iterdir()}
    assert pictures == {f"{steps // 2:08}.png", f"{steps:08}.png"}


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
    expected = {(step, "train") for step in range(1, steps + 1)} | {(steps // 2, "eval"), (steps, "eval")}
    assert len(found) == len(expected)
    assert set(found) == expected
    assert [step for step, _ in found] == sorted(step for step, _ in found)
    for line in lines:
        assert line
        assert all(isinstance(value, float) and math.isfinite(value) for value in line.values())


def test_picture_shows_the_samples_asked_for(trained):
    with Image.open(io.BytesIO(last_picture(trained.directory))) as picture:
        size = picture.size
    shape = SHAPES[trained.config.data]
    if len(shape) == 1:
        assert size == (512, 512)
    else:
        columns = math.ceil(math.sqrt(trained.config.grid_samples))
        rows = math.ceil(trained.config.grid_samples / columns)
        height, width = rows * (shape[0] + 1) + 1, columns * (shape[1] + 1) + 1
        factor = math.ceil(512 / max(height, width))
        assert size == (width * factor, height * factor)


def test_loaded_run_samples_what_the_data_look_like(trained):
    run = trained.run
    shape = SHAPES[trained.config.data]
    first, again, other = run.sample(3), run.sample(3), run.sample(3, seed=1)
    assert run.step == trained.config.steps
    assert first.shape == (3, *shape)
    assert first.dtype == (np.uint8 if len(shape) == 3 else np.float32)
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
    assert last_picture(trained.directory) == last_picture(trained.broken)


def test_another_seed_starts_elsewhere(trained):
    # A whole run of another seed would compile the step again; tests/test_loaded.py has one.
    start = jax.jit(
        functools.partial(initial_state, trained.run.game, trained.run.info), out_shardings=replicated(make_mesh())
    )
    first, again, other = (digest(start(jax.random.key(seed))) for seed in (0, 0, 1))
    assert first == again != other
