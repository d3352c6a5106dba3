import dataclasses
import functools
import importlib
import io
import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import toy_experiment
from rich.console import Console

import gen_jax
from gen_jax.data import Field, load_dataset, open_source
from gen_jax.data.field import image_fields, point_fields
from gen_jax.data.info import DataInfo
from gen_jax.errors import ConfigError
from gen_jax.metrics import sample_metrics
from gen_jax.metrics.logged import reported
from gen_jax.run.devices import check_batch_size
from gen_jax.run.examiner import Examiner
from gen_jax.run.setup import example, initial_state, wanted_state
from gen_jax.run.train import train_run
from gen_jax.show.grid import image_grid, picture, scatter_plot
from gen_jax.training import Program
from gen_jax.training.sharding import make_mesh, replicated

TOY = toy_experiment.EXPERIMENT.presets["default"]


def train(directory, **changes):
    output = io.StringIO()
    config = dataclasses.replace(TOY, run_dir=str(directory), **changes)
    train_run(toy_experiment.EXPERIMENT, config, Console(file=output, width=200))
    return output.getvalue()


@pytest.fixture(scope="module")
def points(tmp_path_factory):
    """A run on points, with the checkpoints of steps 2, 4 and 6."""
    directory = tmp_path_factory.mktemp("points") / "run"
    train(directory, steps=6, keep=3)
    return directory


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    directory = tmp_path_factory.mktemp("images") / "run"
    train(directory, data="digits", steps=2)
    return directory


def names(directory):
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*"))


def test_newest_checkpoint_is_loaded_unless_another_is_asked_for(points):
    runs = {step: gen_jax.load(points, step) for step in (None, 2, 4, 6)}
    assert {step: run.step for step, run in runs.items()} == {None: 6, 2: 2, 4: 4, 6: 6}
    assert runs[None].digest() == runs[6].digest()
    assert len({run.digest() for run in runs.values()}) == 3


def test_loading_leaves_every_checkpoint_and_file_alone(points):
    before = names(points)
    gen_jax.load(str(points)).sample(1)
    assert names(points) == before


def test_loading_changes_no_setting_of_jax(points):
    # As the settings are where nobody has chosen, so that a change would show.
    names = "jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs"
    chosen = {name: jax.config.values[name] for name in names}
    try:
        jax.config.update(names[0], None)
        jax.config.update(names[1], 1.0)
        before = dict(jax.config.values)
        gen_jax.load(points).sample(2)
        assert dict(jax.config.values) == before
    finally:
        for name, value in chosen.items():
            jax.config.update(name, value)


def test_missing_checkpoint_is_refused_with_those_there_are(points):
    with pytest.raises(ConfigError) as raised:
        gen_jax.load(points, 5)
    assert str(raised.value) == f"{points} has no checkpoint of step 5: it has steps 2, 4, 6"


def test_run_without_a_checkpoint_is_refused_and_gets_no_directory_for_any(points, tmp_path):
    shutil.copy(points / "config.json", tmp_path)
    with pytest.raises(ConfigError) as raised:
        gen_jax.load(tmp_path)
    assert str(raised.value) == f"{tmp_path} has no checkpoint yet"
    assert names(tmp_path) == ["config.json"]


def test_samples_are_points_around_what_was_learnt(points):
    run = gen_jax.load(points)
    samples = run.sample(1000)
    mean = np.asarray(run.state.params["mean"]["value"])
    assert samples.dtype == np.float32
    assert samples.shape == (1000, 2)
    assert np.abs(samples.mean(axis=0) - mean).max() < 5 * 0.1 / np.sqrt(1000)
    np.testing.assert_array_equal(samples, run.sample(1000))
    assert len(np.unique(samples)) == samples.size


def test_samples_are_images_of_whole_grey_levels(images):
    samples = gen_jax.load(images).sample(3)
    assert samples.dtype == np.uint8
    assert samples.shape == (3, 8, 8, 1)


@pytest.mark.parametrize("n", [0, -1, 10**12])
def test_no_samples_cannot_be_asked_for(points, n):
    with pytest.raises(ConfigError, match=f"n is {n}; accepted: a number from 1 to 1000000"):
        gen_jax.load(points).sample(n)


def test_evaluation_is_the_mean_over_the_held_out_data_and_metrics_of_samples(points):
    run = gen_jax.load(points)
    lines = [json.loads(line) for line in (points / "metrics.jsonl").read_text().splitlines()]
    (found,) = [line for line in lines if (line["step"], line["split"]) == (6, "eval")]
    held_out = load_dataset("ring8").test.arrays["x"].astype(np.float64)
    mean = np.asarray(run.state.params["mean"]["value"], np.float64)
    np.testing.assert_allclose(found["loss"], ((held_out - mean) ** 2).sum(axis=1).mean(), rtol=1e-5)
    assert set(found) == {"step", "split", "loss", "modes", "high_quality"}
    scores = {score.metric: score.value for score in run.evaluate()}
    assert set(scores) == {"loss", "modes", "high_quality"}
    assert scores["loss"] == found["loss"]


def test_run_is_evaluated_on_more_devices_than_its_batch_could_be_trained_on(tmp_path, monkeypatch):
    monkeypatch.setattr("gen_jax.run.train.mesh_for", lambda config, cpu_parts: make_mesh(jax.devices()[:1]))
    train(tmp_path / "run", batch_size=12)
    assert 12 % jax.device_count()
    during = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[-1])
    assert during["split"] == "eval"
    (loss,) = gen_jax.load(tmp_path / "run").evaluate(["held_out"])
    np.testing.assert_allclose(loss.value, during["loss"], rtol=1e-5)


def test_evaluation_of_digits_has_what_a_classifier_says(images):
    scores = gen_jax.load(images).evaluate()
    assert {score.metric for score in scores} == {"loss", "recognised", "rarest_class"}


def test_another_seed_ends_elsewhere_and_the_same_one_at_the_same_place(points, tmp_path):
    train(tmp_path / "same", steps=6)
    train(tmp_path / "other", steps=6, seed=1)
    digest = gen_jax.load(points).digest()
    assert gen_jax.load(tmp_path / "same").digest() == digest
    assert gen_jax.load(tmp_path / "other").digest() != digest


@pytest.mark.parametrize("seed", [0, 1])
def test_run_begins_where_its_seed_says(tmp_path, seed):
    train(tmp_path, steps=1, seed=seed, learning_rate=1e-7)
    run = gen_jax.load(tmp_path)
    start = initial_state(run.game, run.info, jax.random.key(seed)).params["mean"]["value"]
    np.testing.assert_allclose(run.state.params["mean"]["value"], start, atol=1e-5)


def test_finished_run_goes_on_with_more_steps_and_not_with_fewer(tmp_path):
    assert "finished 2 steps" in train(tmp_path / "run", steps=2)
    said = train(tmp_path / "run", steps=4)
    assert "continuing after step 2" in said
    assert "finished 4 steps" in said
    assert "already finished: 4 of 3 steps are done" in train(tmp_path / "run", steps=3)
    assert gen_jax.load(tmp_path / "run").step == 4


def test_run_that_lost_its_checkpoints_begins_again(points, tmp_path):
    train(tmp_path / "run", steps=6, keep=3)
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    train(tmp_path / "run", steps=6, keep=3)
    assert gen_jax.load(tmp_path / "run").digest() == gen_jax.load(points).digest()
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == (points / "metrics.jsonl").read_bytes()


def test_default_directory_is_below_the_current_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = train_run(toy_experiment.EXPERIMENT, dataclasses.replace(TOY, steps=1), Console(file=io.StringIO()))
    assert str(path) == "runs/toy_experiment-ring8"
    assert (tmp_path / path / "config.json").exists()


def test_steps_on_several_cpu_devices_are_waited_for():
    # Two steps in flight may deadlock there: see `Program.advance`.
    dataset = load_dataset("ring8")
    game, mesh = toy_experiment.build(TOY, DataInfo.of(dataset)), make_mesh()
    player = game.players["mean"]

    def slow_loss(params, variables, batch, key, now):
        per_example, aux = player.loss(params, variables, batch, key, now)
        late = jax.lax.fori_loop(0, 20, lambda i, x: x @ x / 400, jnp.full((400, 400), per_example[0]))
        return per_example + 0 * late[0, 0], aux

    game = dataclasses.replace(game, players={"mean": dataclasses.replace(player, loss=slow_loss)})
    source = open_source(dataset.train, batch_size=16, seed=0, draws=1, sharding=replicated(mesh))
    state = jax.jit(functools.partial(initial_state, game, DataInfo.of(dataset)), out_shardings=replicated(mesh))(
        jax.random.key(0)
    )
    state, step, _ = Program(game, source, mesh, seed=0).advance(state, 0, 1)
    assert mesh.size > 1
    assert step == 1
    assert all(leaf.is_ready() for leaf in jax.tree.leaves(state))


def test_batch_that_the_data_cannot_fill_or_the_devices_not_share_is_refused():
    info = DataInfo("ring8", point_fields(), train_size=100, held_out_size=10, fingerprint="f")
    check_batch_size(dataclasses.replace(TOY, batch_size=100), info, devices=4)
    with pytest.raises(ConfigError) as raised:
        check_batch_size(dataclasses.replace(TOY, batch_size=101), info, devices=1)
    assert str(raised.value) == ("--batch-size is 101; accepted: at most 100, the number of training examples in ring8")
    with pytest.raises(ConfigError) as raised:
        check_batch_size(dataclasses.replace(TOY, batch_size=10), info, devices=4)
    assert str(raised.value) == "--batch-size is 10; accepted: a multiple of the 4 devices"
    check_batch_size(dataclasses.replace(TOY, batch_size=24, accumulate=3), info, devices=4)
    with pytest.raises(ConfigError) as raised:
        check_batch_size(dataclasses.replace(TOY, batch_size=16, accumulate=3), info, devices=4)
    assert str(raised.value) == (
        "--batch-size is 16; accepted with --accumulate 3: a multiple of 12, 3 for each of the 4 devices"
    )


def test_initialisers_see_an_example_with_what_the_data_have():
    seen = {}

    def remember(key, example):
        seen.update({name: (array.shape, str(array.dtype)) for name, array in example.items()})
        return {"mean": {"params": {}}}

    info = DataInfo("digits", image_fields((8, 8, 1), ("0", "1")), train_size=9, held_out_size=1, fingerprint="f")
    game = dataclasses.replace(toy_experiment.build(TOY, info), init=remember)
    initial_state(game, info, jax.random.key(0))
    assert seen == {"x": ((1, 8, 8, 1), "float32"), "index": ((1,), "int32"), "label": ((1,), "int32")}


def test_the_example_has_every_field_and_the_index_of_every_stream():
    fields = {
        "x": Field("tokens", (16,), values=40),
        "y": Field("image", (8, 8, 3)),
        "row": Field("table", (5,)),
        "codes": Field("codes", (4, 4), values=9),
        "attributes": Field("attributes", (3,)),
    }
    info = DataInfo("made", fields, 9, 1, "f", streams={"photos": (20, 2)})
    assert {name: (array.shape, str(array.dtype)) for name, array in example(info).items()} == {
        "x": ((1, 16), "int32"),
        "y": ((1, 8, 8, 3), "float32"),
        "row": ((1, 5), "float32"),
        "codes": ((1, 4, 4), "int32"),
        "attributes": ((1, 3), "float32"),
        "index": ((1,), "int32"),
        "index_photos": ((1,), "int32"),
    }


def test_picture_is_a_grid_of_images_or_a_plot_of_points_with_the_modes():
    images = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 1)).astype(np.uint8)
    np.testing.assert_array_equal(picture(images, Field("image", (8, 8, 1))), image_grid(images))
    dataset = load_dataset("ring8")
    points = dataset.test.arrays["x"][:50]
    field = dataset.fields["x"]
    with_modes = picture(points, field, centres=dataset.centres)
    np.testing.assert_array_equal(with_modes, scatter_plot(points, dataset.mixture.centres))
    swissroll = load_dataset("swissroll")
    np.testing.assert_array_equal(picture(points, field, centres=swissroll.centres), scatter_plot(points))
    assert (with_modes != picture(points, field)).any()


@pytest.mark.parametrize("name", ["vae", "gan", "dcgan", "wgan_gp", "ddpm"])
def test_a_method_or_the_metrics_say_what_every_number_is(name):
    experiment = importlib.import_module(f"experiments.{name}").EXPERIMENT
    config = experiment.presets["tiny"]
    dataset = load_dataset(config.data, image_size=config.image_size)
    info, mesh = DataInfo.of(dataset), make_mesh()
    game = experiment.build(config, info)
    examiner = Examiner(game, dataset, mesh, config, sample_metrics(dataset))
    found = examiner.names(wanted_state(game, info, mesh), info)
    assert found
    for metric in found:
        assert metric in game.reports or reported(metric, {}).better is not None, metric


def test_metrics_have_the_names_that_they_say():
    (metric,) = sample_metrics(load_dataset("ring8"))
    assert tuple(metric(np.zeros((50, 2), np.float32))) == metric.names
