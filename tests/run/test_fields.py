"""Runs on data of every kind, and on streams: trained, continued, replayed, and what preflight makes of them."""

import dataclasses
import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import toy_experiment
from etils import epath
from PIL import Image
from rich.console import Console

from gen_jax.data import Dataset, Field, Split
from gen_jax.data.dataset import fingerprint
from gen_jax.errors import ConfigError
from gen_jax.experiment import Experiment
from gen_jax.preflight import data
from gen_jax.preflight.data import entries, is_resident, row_shapes, row_types
from gen_jax.preflight.programs import Setting
from gen_jax.run import data as module
from gen_jax.run.replay import GivenBatches
from gen_jax.run.rollback import Rollback
from gen_jax.run.train import TrainingRun, train_run
from gen_jax.run.views import view_batch
from gen_jax.training import program as training_program
from gen_jax.training.checkpoints import Checkpoints

RNG = np.random.default_rng(0)
FIELDS = {
    "x": Field("image", (4, 4, 1)),
    "pair": Field("image", (4, 4, 3)),
    "words": Field("tokens", (6,), tuple("abcdefgh")),
    "row": Field("table", (5,)),
    "wave": Field("audio", (9,)),
}


def made(size, *names):
    """Random entries of `FIELDS`."""
    shapes = {name: (size, *FIELDS[name].shape) for name in names}
    return {name: RNG.integers(0, 8, shape).astype(FIELDS[name].dtype) for name, shape in shapes.items()}


def streaming(arrays):
    return Split(len(next(iter(arrays.values()))), read=lambda rows: {name: a[rows] for name, a in arrays.items()})


def resident(arrays):
    return Split(len(next(iter(arrays.values()))), arrays)


PARTS = {
    (name, size): made(size, *names)
    for name, size, *names in [
        ("main", 48, "x", "pair"),
        ("main", 16, "x", "pair"),
        ("texts", 40, "words", "row"),
        ("texts", 8, "words", "row"),
        ("sounds", 32, "wave"),
        ("sounds", 8, "wave"),
    ]
}


def dataset(sounds=resident):
    """A pair of images, beside texts with a table, and sounds: three sizes, each in an order of its own."""
    return Dataset(
        "made",
        resident(PARTS["main", 48]),
        resident(PARTS["main", 16]),
        FIELDS,
        fingerprint("made"),
        others={
            "texts": (resident(PARTS["texts", 40]), resident(PARTS["texts", 8])),
            "sounds": (sounds(PARTS["sounds", 32]), resident(PARTS["sounds", 8])),
        },
    )


def build(config, data):
    """The toy, whose rate also depends on every entry of a batch: a row out of place changes the bits."""
    game = toy_experiment.build(config, data)
    player = game.players["mean"]

    def loss(params, variables, batch, key, now):
        per_example, aux = player.loss(params, variables, batch, key, now)
        weight = 1.0
        for number, name in enumerate(sorted(set(batch) - {"x"})):
            rows = batch[name].astype(jnp.float32).reshape(len(per_example), -1)
            weight += (number + 1) * jnp.mean(rows, axis=1) / 1e4
        return per_example * weight, aux

    streams = ("texts", "sounds")
    return dataclasses.replace(game, players={"mean": dataclasses.replace(player, loss=loss)}, streams=streams)


@dataclasses.dataclass(frozen=True)
class MadeConfig(toy_experiment.ToyConfig):
    """The toy on data made here."""

    data: str = "made"
    learning_rate: float = 0.01


CONFIG = MadeConfig()
EXPERIMENT = Experiment(build, MadeConfig)


@pytest.fixture(params=[resident, streaming], ids=["resident", "mixed"])
def streams(request, monkeypatch):
    """What `--data` gives, here."""
    found = dataset(request.param)
    monkeypatch.setattr(module, "load_dataset", lambda *_, **__: found)
    return found


def train(directory, **changes):
    output = io.StringIO()
    config = dataclasses.replace(CONFIG, run_dir=str(directory), **changes)
    train_run(EXPERIMENT, config, Console(file=output, width=1000))
    return output.getvalue()


def bits(directory):
    """The newest step of a run, and its parameters."""
    checkpoints = Checkpoints(epath.Path(directory) / "checkpoints", create=False)
    setup = TrainingRun(EXPERIMENT, dataclasses.replace(CONFIG, run_dir=str(directory)), Console(quiet=True)).setup
    step, state = checkpoints.restore_newest(setup.wanted)
    checkpoints.close()
    return step, np.asarray(state.params["mean"]["value"])


def test_a_run_on_streams_is_continued_to_the_bit(streams, tmp_path):
    said = train(tmp_path / "whole", steps=6, save_every=3)
    assert (
        "made: 48 examples, each 4×4×1 pixels, pair: 4×4×3 pixels, words: 6 words of 8, row: 5 columns, "
        "wave: a sound of 9 values, a stream texts of 40 and 8, a stream sounds of 32 and 8; 16 held out"
    ) in said
    train(tmp_path / "parts", steps=3, save_every=3)
    assert "continuing after step 3" in train(tmp_path / "parts", steps=6, save_every=3)
    (one, whole), (other, parts) = bits(tmp_path / "whole"), bits(tmp_path / "parts")
    assert one == other == 6
    np.testing.assert_array_equal(whole, parts)


def test_streams_in_memory_and_read_train_the_same(monkeypatch, tmp_path):
    found = {}
    for kind in (resident, streaming):
        monkeypatch.setattr(module, "load_dataset", lambda *_, k=kind, **__: dataset(k))
        train(tmp_path / kind.__name__)
        found[kind] = bits(tmp_path / kind.__name__)[1]
    np.testing.assert_array_equal(found[resident], found[streaming])


def test_a_batch_larger_than_a_stream_is_refused_by_its_name(streams, tmp_path):
    with pytest.raises(ConfigError) as error:
        train(tmp_path, batch_size=40)
    assert str(error.value) == (
        "--batch-size is 40; accepted: at most 32, the number of training examples in the stream 'sounds' of made"
    )


def test_the_batches_of_a_step_are_replayed_as_they_were_drawn(streams, tmp_path):
    run = TrainingRun(EXPERIMENT, dataclasses.replace(CONFIG, run_dir=str(tmp_path)), Console(quiet=True))
    drawn = Rollback(run.setup, streams.train_streams, run.directory, run.identity, run.say).batches_of(5)
    names = {"x", "pair", "index", "words", "row", "index_texts", "wave", "index_sounds"}
    assert [set(batch) for batch in drawn] == [names]
    file = epath.Path(tmp_path / "batches.npz")
    np.savez(file, **{f"{name}_{n}": array for n, batch in enumerate(drawn) for name, array in batch.items()})
    given = GivenBatches(file, 1)
    again = given.batch(given.feed(4), 4, 0)
    assert set(again) == names
    for name in names:
        np.testing.assert_array_equal(again[name], drawn[0][name])
    np.testing.assert_array_equal(again["wave"], PARTS["sounds", 32]["wave"][again["index_sounds"]])


def test_views_see_the_entries_of_every_stream(streams, tmp_path):
    run = TrainingRun(EXPERIMENT, dataclasses.replace(CONFIG, run_dir=str(tmp_path)), Console(quiet=True))
    with_data, without = (view_batch(run.setup.game, run.info, found, 0) for found in (streams, None))
    names = {*FIELDS, "index", "index_texts", "index_sounds"}
    assert set(with_data) == set(without) == names
    assert {name: rows.shape for name, rows in with_data.items()} == {n: rows.shape for n, rows in without.items()}
    np.testing.assert_array_equal(with_data["wave"], PARTS["sounds", 8]["wave"][with_data["index_sounds"]])


def test_preflight_knows_which_entries_come_from_where():
    found = dataset(streaming)
    assert (entries(found), entries(found, "texts"), entries(found, "sounds")) == (
        ("x", "pair"),
        ("words", "row"),
        ("wave",),
    )
    assert row_shapes(found) == {"x": (4, 4, 1), "pair": (4, 4, 3), "words": (6,), "row": (5,), "wave": (9,)}
    assert row_types(found) == {name: field.dtype for name, field in FIELDS.items()}


class Dispatched(Exception):
    """In place of running a program."""


def test_programs_of_preflight_are_those_that_training_dispatches(streams, tmp_path, monkeypatch):
    monkeypatch.setattr(data, "MEMORY_LIMIT", 0)
    config = dataclasses.replace(CONFIG, run_dir=str(tmp_path))
    trained = TrainingRun(EXPERIMENT, config, Console(quiet=True))
    found = Setting(EXPERIMENT, config, streams, jax.devices())
    assert is_resident(streams, "sounds") == (streams.others["sounds"][0].arrays is not None)
    texts = []

    def stop(lowered):
        texts.append(lowered.as_text())
        raise Dispatched

    monkeypatch.setattr(training_program, "compiled_together", stop)
    program = trained.setup.program(trained.setup.source(streams.train_streams, 0))
    state = trained.setup.begin(Checkpoints(epath.Path(tmp_path) / "none"), streams.train_streams)[1]
    try:
        with pytest.raises(Dispatched):
            program.advance(state, 0, 1)
    finally:
        program.source.close()
    assert found.lower_train().as_text() == texts[0]
    batch = next(iter(trained.examiner.evaluator.held_out()))
    assert {name for name in batch if name != "mask"} == {*FIELDS, "index", "index_texts", "index_sounds"}
    evaluated = found.lower_evaluate()
    assert evaluated.in_avals[0][2].keys() == batch.keys() - {"mask"}
    for name, shape in evaluated.in_avals[0][2].items():
        assert (shape.shape, shape.dtype) == (batch[name].shape, batch[name].dtype), name


KINDS = {
    "tokens": ({"x": RNG.integers(0, 8, (40, 6)), "x_names": list("abcdefgh")}, "6 words of 8"),
    "table": ({"x": RNG.normal(size=(40, 5))}, "5 columns"),
    "series": ({"x": RNG.normal(size=(40, 7, 2))}, "7 steps of 2 channels"),
    "pair": (
        {"x": RNG.integers(0, 256, (40, 4, 4), dtype=np.uint8), "y": RNG.integers(0, 256, (40, 4, 4), dtype=np.uint8)},
        "4×4×1 pixels, y: 4×4×1 pixels",
    ),
}


def build_numbers(config, data):
    """The toy on numbers of any kind: tokens are made real for the loss, and rounded for samples."""
    game = toy_experiment.build(config, data)
    if data.x.dtype != np.int32:
        return game
    sample = game.sample
    return dataclasses.replace(
        game, sample=lambda *args: jnp.clip(jnp.round(sample(*args)), 0, data.x.size - 1).astype(jnp.int32)
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_on_an_npz_is_trained_shown_and_described_by_its_kind(kind, tmp_path):
    arrays, words = KINDS[kind]
    np.savez(tmp_path / "data.npz", **arrays)
    experiment = Experiment(build_numbers, MadeConfig)
    config = dataclasses.replace(
        CONFIG,
        data=f"npz:{tmp_path / 'data.npz'}",
        run_dir=str(tmp_path / "run"),
        steps=2,
        eval_every=2,
        grid_samples=4,
    )
    output = io.StringIO()
    train_run(experiment, config, Console(file=output, width=1000))
    assert f"36 examples, each {words}; 4 held out" in output.getvalue()
    with Image.open(tmp_path / "run" / "samples" / "00000002.png") as picture:
        shown = np.asarray(picture)
    assert shown.shape[1] > 300
    assert len(np.unique(shown)) > 2
