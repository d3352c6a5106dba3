import dataclasses
import io
import re
import shlex
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import toy_experiment
from rich.console import Console

import gen_jax
from gen_jax.config import as_json
from gen_jax.data import Field, Split, load_dataset
from gen_jax.data.field import point_fields
from gen_jax.errors import StorageError
from gen_jax.experiment import parse
from gen_jax.metrics.score import Score, store_scores
from gen_jax.reports.pictures import illustration, nearest_in_parts, neighbours, tiles
from gen_jax.reports.report import command, gather, sample_grids, write_report
from gen_jax.run.train import train_run
from gen_jax.show.charts import Chart
from gen_jax.show.grid import image_grid, write_png
from gen_jax.show.pictures import Picture
from gen_jax.training.game import Density, Sampling, View

TOY = toy_experiment.EXPERIMENT.presets["default"]


def train(directory, **changes):
    config = dataclasses.replace(TOY, run_dir=str(directory), **changes)
    train_run(toy_experiment.EXPERIMENT, config, Console(file=io.StringIO()))
    return directory


def beside_the_mean(params, variables, batch, key):
    """Held-out data, and what the toy knows of them."""
    x = batch["x"]
    return jnp.stack([x, jnp.broadcast_to(params["mean"]["value"], x.shape)], axis=1)


def around_the_mean(params, variables, batch, key):
    """Looks at no more of the data than their shape."""
    noise = jnp.linspace(-0.1, 0.1, 3).reshape(1, 3, *[1] * (batch["x"].ndim - 1))
    shape = (len(batch["x"]), 3, *batch["x"].shape[1:])
    return jnp.broadcast_to(params["mean"]["value"][None, None] + noise, shape)


VIEWS = {
    "reconstructions": View(beside_the_mean, "Reconstructions", "Each beside the mean."),
    "interpolations": View(around_the_mean, "Interpolations", "Around the mean.", looks_at_data=False),
}


def with_views(directory, **fields):
    run = gen_jax.load(directory)
    run.game = dataclasses.replace(run.game, **{"views": VIEWS} | fields)
    return run


@pytest.fixture(scope="module")
def trained_images(tmp_path_factory):
    return train(tmp_path_factory.mktemp("images") / "run", data="digits", steps=4, eval_every=2, grid_samples=16)


@pytest.fixture
def images(trained_images, tmp_path):
    """A copy of a run, to be changed."""
    return shutil.copytree(trained_images, tmp_path / "run")


@pytest.fixture(scope="module")
def digits():
    return load_dataset("digits")


def test_report_is_one_file_that_shows_the_run(images, digits):
    store_scores(images / "scores.jsonl", [Score("fid", "FID-16, not comparable", 3.25, "smaller", 4, {"seed": 7})])
    before = {path.name for path in images.iterdir()}
    path = write_report(with_views(images), dataset=digits)
    assert path == images / "report.html"
    assert {found.name for found in images.iterdir()} == before | {"report.html"}
    html = path.read_text()
    for part in ("toy_experiment on digits", "FID-16, not comparable", "Reconstructions", "held-out examples"):
        assert part in html


def test_everything_of_a_run_is_gathered(images, digits):
    run = with_views(images, sampling=Sampling("ancestral", 1000), density=Density("256 levels"))
    report = gather(run, dataset=digits)
    assert (
        report.summary
        == "The smallest experiment there is, for tests of all that surrounds a method: it learns the mean of the data."
    )
    assert report.facts["Data"] == "digits: 1,438 training and 359 held-out examples"
    assert report.facts["Example"] == "8×8×1 pixels, 10 classes"
    assert report.facts["Trained"] == "4 of 4 steps, batches of 16"
    assert report.facts["Parameters"] == "mean 64"
    assert report.facts["Sampler"] == "ancestral, 1,000 calls of a network"
    assert report.facts["Likelihood of"] == "256 levels"
    assert f"jax {jax.__version__}" in report.facts["Versions"]
    assert [grid.step for grid in report.grids] == [2, 4]
    assert [line["step"] for line in report.metrics if line["split"] == "eval"] == [2, 4]
    assert report.evaluate == f"python -m gen_jax evaluate {images} --metrics all"
    assert report.missing == []
    assert report.command.endswith("--eval-every 2 --grid-samples 16")
    differing = {option.flag for option in report.options if option.value != option.preset}
    assert differing == {"--data", "--run-dir", "--grid-samples", "--eval-every"}


def test_views_are_made_of_held_out_data_from_the_whole_set_in_their_own_range(images, digits):
    run = with_views(images)
    seen = {}

    def spy(params, variables, batch, key):
        jax.debug.callback(lambda **found: seen.update(found), **batch)
        return beside_the_mean(params, variables, batch, key)

    run.game = dataclasses.replace(
        run.game, views={"reconstructions": View(spy, "Reconstructions", "As they are seen.")}
    )
    (shown,) = gather(run, dataset=digits).illustrations
    jax.effects_barrier()
    places = np.linspace(0, 358, 8).round().astype(int)
    np.testing.assert_array_equal(seen["index"], places)
    np.testing.assert_array_equal(seen["label"], digits.test.arrays["label"][places])
    np.testing.assert_allclose(seen["x"], digits.test.arrays["x"][places] / 255, rtol=1e-6)
    # Pairs lie one below the other: eight columns, two rows, with lines of one pixel.
    assert (shown.shown.width, shown.shown.height) == (8 * 9 + 1, 2 * 9 + 1)


def test_games_that_call_a_network_often_show_fewer_rows(images, digits):
    shown = gather(with_views(images, sampling=Sampling("ancestral", 1000)), dataset=digits).illustrations
    assert (shown[1].shown.width, shown[1].shown.height) == (3 * 9 + 1, 4 * 9 + 1)


def test_without_the_data_the_page_says_what_is_missing_and_why(images):
    run = with_views(images)
    run.info = dataclasses.replace(run.info, fingerprint="another")
    report = gather(run)
    assert [illustration.title for illustration in report.illustrations] == ["Interpolations"]
    assert report.neighbours is None
    assert re.fullmatch(
        r"The data could not be read: the data digits are not those of the run: .* not another\.", report.missing[0]
    )
    assert report.missing[1:] == ["Reconstructions are missing: they show held-out data."]
    write_report(run)
    assert "Reconstructions are missing" in (images / "report.html").read_text()


def test_data_are_looked_for_where_they_are_said_to_be(images, tmp_path):
    run = with_views(images)
    run.config = dataclasses.replace(run.config, data="mnist")
    report = gather(run, data_dir=str(tmp_path / "nowhere"))
    assert str(tmp_path / "nowhere") in report.missing[0]


def test_a_generator_that_returns_training_images_is_seen_as_such(images, digits):
    run = gen_jax.load(images)
    copied = [5, 100, 1400, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19]
    grid = image_grid(digits.train.arrays["x"][copied])
    found = neighbours(run, digits, 4, grid)
    assert [shown[0].distance for _, shown in found.rows] == [0.0] * 6
    assert [sample.uri for sample, _ in found.rows] == [shown[0].picture.uri for _, shown in found.rows]
    assert (found.searched, found.of, found.step) == (1438, 1438, 4)
    x, held_out = (split.arrays["x"].reshape(len(split.arrays["x"]), -1) / 255 for split in (digits.train, digits.test))
    places = np.linspace(0, 358, 64).round().astype(int)
    nearest = [np.sqrt(((x - one) ** 2).sum(axis=1)).min() for one in held_out[places]]
    assert found.usual == pytest.approx(np.median(nearest))
    distances = np.sort(np.sqrt(((x - x[5]) ** 2).sum(axis=1)))[:5]
    assert [neighbour.distance for neighbour in found.rows[0][1]] == pytest.approx(distances)


def test_training_sets_that_stream_are_searched_in_part(images, digits):
    asked = []

    def read(indices):
        asked.extend(indices)
        return {name: array[np.asarray(indices) % 1438] for name, array in digits.train.arrays.items()}

    streaming = dataclasses.replace(digits, train=Split(5000, read=read))
    found = gather(gen_jax.load(images), dataset=streaming).neighbours
    assert (found.searched, found.of) == (2048, 5000)
    assert max(asked) == 4999
    assert len(asked) < 2048 + 100


def test_search_in_parts_is_the_search_of_all(digits):
    queries = digits.test.arrays["x"][:9].reshape(9, -1)
    whole = nearest_in_parts(queries, digits.train, [np.arange(1438)], 5)
    parts = nearest_in_parts(queries, digits.train, [np.arange(800), np.arange(800, 1436), np.arange(1436, 1438)], 5)
    np.testing.assert_array_equal(whole[0], parts[0])
    np.testing.assert_array_equal(whole[1], parts[1])


@pytest.mark.parametrize("count", [1, 5, 16])
@pytest.mark.parametrize("channels", [1, 3])
def test_tiles_of_a_grid_are_the_images_it_was_made_of(count, channels):
    images = np.random.default_rng(0).integers(0, 256, (count, 6, 9, channels), np.uint8)
    np.testing.assert_array_equal(tiles(image_grid(images), images.shape[1:], count), images)
    assert tiles(image_grid(images), images.shape[1:], count + 30) is None


def test_views_of_points_are_paths():
    rows = np.arange(24, dtype=np.float32).reshape(4, 3, 2)
    paths = illustration("Denoising", "From noise.", rows, Field("points", (2,))).shown
    assert isinstance(paths, Chart)
    assert paths.square
    assert [(list(series.x), list(series.y)) for series in paths.series][1] == ([6, 8, 10], [7, 9, 11])
    assert len(paths.series) == 4


def test_points_have_no_neighbours_worth_showing(images):
    run = gen_jax.load(images)
    run.info = dataclasses.replace(run.info, fields=point_fields())
    assert neighbours(run, load_dataset("ring8"), 4, np.zeros((512, 512, 3), np.uint8)) is None


def test_run_whose_grids_are_gone_shows_new_samples(images, digits):
    shutil.rmtree(images / "samples")
    report = gather(gen_jax.load(images), dataset=digits)
    assert [(grid.step, grid.picture.width) for grid in report.grids] == [(4, 4 * 9 + 1)]
    assert len(report.neighbours.rows) == 6


def test_grids_are_chosen_evenly_damaged_ones_left_out_and_later_ones_too(images, monkeypatch):
    shutil.rmtree(images / "samples")
    for step in range(5):
        write_png(images / "samples" / f"{step:08}.png", np.full((4, 4, 1), step, np.uint8))
    (images / "samples" / "00000003.png").write_bytes(b"no picture")
    (images / "samples" / "note.png").write_bytes(b"not of a run")
    write_png(images / "samples" / "00000009.png", np.zeros((4, 4, 1), np.uint8))
    run = gen_jax.load(images)
    assert [(step, int(grid[0, 0, 0])) for step, grid in sample_grids(run)] == [(0, 0), (1, 1), (2, 2), (4, 4)]
    monkeypatch.setattr("gen_jax.reports.report.MOST_GRIDS", 3)
    assert [step for step, _ in sample_grids(run)] == [0, 2, 4]
    monkeypatch.setattr("gen_jax.reports.report.MOST_BYTES", 1)
    assert [step for step, _ in sample_grids(run)] == [0, 4]


def test_metrics_that_are_damaged_or_gone_leave_a_page(images, digits):
    (images / "metrics.jsonl").write_text(
        '{"step": 1, "split": "train", "loss": 2.5, "kl": "low", "elbo": [1], "ok": true}\n'
        '\0\0\n{"step": 9, "split": "eval"}\n{"step": "2", "split": "eval"}\n[]\n'
    )
    assert gather(gen_jax.load(images), dataset=digits).metrics == [{"step": 1, "split": "train", "loss": 2.5}]
    (images / "metrics.jsonl").unlink()
    assert "Nothing was logged" in write_report(gen_jax.load(images), dataset=digits).read_text()


def test_a_disk_that_does_not_take_the_page_is_one_line(images, digits, monkeypatch):
    def refuse(path, html):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("gen_jax.reports.report.write_page", refuse)
    with pytest.raises(StorageError, match=r"report.html could not be written: .*Read-only file system"):
        write_report(gen_jax.load(images), dataset=digits)


OF_PRESETS = dataclasses.replace(toy_experiment.EXPERIMENT, tiny={"steps": 1, "widths": (7,), "images_only": True})


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"preset": "tiny"},
        {"preset": "tiny", "images_only": False, "widths": (1, 2), "steps": 4},
        {"widths": (3, 4, 5), "images_only": True, "learning_rate": 1e-7, "nan_example": -1, "data_dir": "a b/'c'"},
        {"image_size": 9, "keep_best": "elbo", "on_nonfinite": "rollback", "reproducible": True, "seed": 2**32 - 1},
    ],
)
def test_command_asks_for_the_same_configuration(changes):
    config = dataclasses.replace(OF_PRESETS.presets[changes.get("preset", "default")], **changes)
    words = shlex.split(shlex.join(command(OF_PRESETS, config)))
    assert words[:3] == ["python", "-m", "toy_experiment"]
    assert parse(OF_PRESETS, words[3:]) == config
    assert len(words) <= 3 + 2 * len(changes) + 3


def test_command_names_only_what_differs():
    config = dataclasses.replace(OF_PRESETS.presets["tiny"], widths=(3, 4), images_only=False)
    expected = "python -m toy_experiment --preset tiny --widths 3 4 --no-images-only"
    assert shlex.join(command(OF_PRESETS, config)) == expected


def test_configuration_of_a_preset_that_is_gone_is_told_by_the_default():
    config = dataclasses.replace(TOY, preset="gone", steps=9)
    assert command(OF_PRESETS, config)[3:] == ["--steps", "9"]
    assert as_json(config)["preset"] == "gone"


def test_views_of_other_kinds_are_pictures():
    rows = np.random.default_rng(0).normal(size=(4, 3, 24, 2)).astype(np.float32)
    shown = illustration("Interpolations", "A row each.", rows, Field("series", (24, 2))).shown
    assert isinstance(shown, Picture)
    assert shown.width > shown.height / 2
