import base64
import dataclasses
import io
import json
import re
import shutil

import numpy as np
import pytest
import toy_experiment
from PIL import Image
from rich.console import Console

import gen_jax
from gen_jax.data import load_dataset
from gen_jax.data.field import point_fields
from gen_jax.errors import ConfigError
from gen_jax.reports.hype import image_id, mask, number_of_images, page_data, score_answers, write_hype
from gen_jax.run.train import train_run

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    directory = tmp_path_factory.mktemp("hype") / "toy-digits"
    config = dataclasses.replace(
        toy_experiment.EXPERIMENT.presets["default"], run_dir=str(directory), data="digits", steps=2
    )
    train_run(toy_experiment.EXPERIMENT, config, Console(file=io.StringIO()))
    return gen_jax.load(directory)


def read(path):
    """The data of a page."""
    html = path.read_text()
    return json.loads(re.search(r'id="hype-data">(.*?)</script>', html, re.DOTALL)[1]), html


def pixels(uri):
    array = np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.removeprefix("data:image/png;base64,")))))
    return array.reshape(*array.shape[:2], -1)


def truth(data):
    bits = np.unpackbits(np.frombuffer(base64.b64decode(data["truth"]), np.uint8))
    return bits[: len(data["images"])].astype(bool)


@pytest.fixture(scope="module")
def page(run):
    return read(write_hype(run, images=40, seed=1))


def test_half_of_the_images_are_held_out_ones_and_half_are_samples(run, page):
    data, _ = page
    held_out = {image_id(image) for image in load_dataset("digits").test.arrays["x"]}
    samples = {image_id(image) for image in run.sample(22, 1)}
    assert len(data["images"]) == 44
    assert truth(data).sum() == 22
    for image, real in zip(data["images"], truth(data), strict=True):
        assert image["id"] == image_id(pixels(image["uri"]))
        assert image["id"] in (held_out if real else samples)
    assert len({image["id"] for image in data["images"]}) == 44


def test_page_says_what_was_judged(run, page):
    study = page[0]["study"]
    assert (study["run"], study["step"], study["state"]) == ("toy-digits", 2, run.digest())
    assert (study["images"], study["seed"], study["reference"]["split"]) == (40, 1, "test")
    assert (study["weights"], study["sampler"], study["sampler_steps"]) == ("last", "one pass", 1)


def test_page_is_one_file_that_names_nothing_else(page):
    _, html = page
    assert not re.findall(r'(?:src|href)="(?!data:|#)', html)
    assert "http://" not in html.replace("http://www.w3.org/2000/svg", "")


def test_same_seed_gives_the_same_page_and_another_seed_another(run, tmp_path):
    one, same, other = (
        write_hype(run, images=40, seed=seed, out=tmp_path / f"{i}.html") for i, seed in enumerate([5, 5, 6])
    )
    assert one.read_text() == same.read_text()
    samples = [
        {image["id"] for image, real in zip(data["images"], truth(data), strict=True) if not real}
        for data, _ in map(read, (one, other))
    ]
    assert not samples[0] & samples[1]


def made(images, shape=(8, 8, 1)):
    half = (images + 4) // 2
    return RNG.integers(256, size=(2, half, *shape), dtype=np.uint8)


def study(images):
    return {"images": images, "seed": 0}


def test_neither_names_nor_order_tell_what_is_real():
    real, generated = made(400)
    data = page_data(real, generated, study(400), np.random.default_rng(0))
    assert {key for image in data["images"] for key in image} == {"id", "uri"}
    found = truth(data)[4:]
    # As many changes from one image to the next as of fair coins, within four standard deviations.
    assert abs((found[1:] != found[:-1]).sum() - 199.5) < 4 * np.sqrt(399) / 2
    known = {image_id(image) for image in real}
    assert [image["id"] in known for image in data["images"]] == truth(data).tolist()


@pytest.mark.parametrize(
    ("images", "blocks"), [(2, [2]), (100, [100]), (150, [150]), (310, [156, 154]), (450, [150] * 3)]
)
def test_half_of_each_block_and_of_the_practice_is_real(images, blocks):
    data = page_data(*made(images), study(images), np.random.default_rng(0))
    assert data["blocks"] == blocks
    ends = np.cumsum([data["practice"], *blocks])
    parts = np.split(truth(data), ends[:-1])
    assert [2 * part.sum() for part in parts] == [data["practice"], *blocks]


@pytest.mark.parametrize(("shape", "scale"), [((8, 8, 1), 40), ((28, 28, 1), 11), ((32, 48, 3), 6), ((8, 321, 1), 1)])
def test_small_images_are_enlarged_by_a_whole_factor(shape, scale):
    data = page_data(*made(2, shape), study(2), np.random.default_rng(0))
    assert (data["height"], data["width"], data["scale"]) == (*shape[:2], scale)


def test_mask_has_the_values_of_an_image_in_another_order_and_nearly_its_spectrum():
    row, column = np.mgrid[:32, :32]
    smooth = np.stack([row * 4 + column * 3, 255 - row * 5], axis=-1).astype(np.uint8)
    noise = mask(smooth, np.random.default_rng(0))
    assert noise.dtype == np.uint8
    assert not np.array_equal(noise, smooth)
    for channel in range(2):
        np.testing.assert_array_equal(np.sort(noise[..., channel].ravel()), np.sort(smooth[..., channel].ravel()))
        # Smooth as the image is: white noise of the same values has nearly no power at low frequencies.
        spectra = [np.abs(np.fft.fft2(image[..., channel])).ravel()[1:] for image in (noise, smooth)]
        assert np.corrcoef(np.log1p(spectra))[0, 1] > 0.5


@pytest.mark.parametrize("images", [0, -2, 7, 716])
def test_number_of_images_that_cannot_be_is_refused(run, images):
    with pytest.raises(ConfigError, match=f"^--images is {images}; accepted: an even number from 2 to 714") as raised:
        write_hype(run, images=images)
    assert "digits has 359" in str(raised.value)


@pytest.mark.parametrize(("held_out", "images"), [(3, 2), (22, 40), (51, 98), (52, 100), (359, 100)])
def test_without_a_number_there_are_a_hundred_images_or_as_many_as_there_can_be(run, monkeypatch, held_out, images):
    monkeypatch.setattr(run, "info", dataclasses.replace(run.info, held_out_size=held_out))
    assert number_of_images(run, None) == images
    assert number_of_images(run, images) == images
    if images < 100:
        with pytest.raises(ConfigError, match=f"^--images is 100; accepted: an even number from 2 to {images}, "):
            number_of_images(run, 100)


@pytest.mark.parametrize("images", [None, 2])
def test_data_of_too_few_images_are_refused(run, monkeypatch, images):
    monkeypatch.setattr(run, "info", dataclasses.replace(run.info, held_out_size=2))
    with pytest.raises(ConfigError, match=r"^digits has 2 held-out images, .*; HYPE needs 3 or more$"):
        number_of_images(run, images)


def test_run_on_points_is_refused(run, monkeypatch):
    monkeypatch.setattr(run, "info", dataclasses.replace(run.info, name="ring8", fields=point_fields()))
    with pytest.raises(ConfigError, match=r"toy-digits was trained on points \(ring8\); HYPE shows people images"):
        write_hype(run)


def test_seed_that_cannot_be_is_refused(run):
    with pytest.raises(ConfigError, match="seed is -1; accepted"):
        write_hype(run, seed=-1)


def test_other_data_are_refused(run, monkeypatch):
    monkeypatch.setattr(run, "info", dataclasses.replace(run.info, fingerprint="other"))
    with pytest.raises(ConfigError, match=r"the data digits are not those of the run: fingerprint .*, not other"):
        write_hype(run, images=4)


def test_page_that_cannot_be_written_is_refused(run, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"page\.html cannot be written: "):
        write_hype(run, images=4, out=tmp_path / "file" / "page.html")


def test_no_answers_cannot_be_scored(tmp_path):
    with pytest.raises(ConfigError, match="there are no answers"):
        score_answers([])
    with pytest.raises(ConfigError, match=r"none.json cannot be read"):
        score_answers([tmp_path / "none.json"])


@pytest.fixture
def copied(run, page, tmp_path):
    """The run after a page was made of it, in a directory that may be changed."""
    return shutil.copytree(run.directory.path, tmp_path / "copy")


def answers_to(study, path):
    """All answers are right."""
    answers = [
        {"real": real, "said_real": real, "block": 0, "exposure_ms": None}
        for real in [True, False] * (study["images"] // 2)
    ]
    stored = {"format": "gen_jax hype 1", "session": path.stem, "evaluator": "", "mode": "unlimited"}
    path.write_text(json.dumps({**stored, "study": study, "answers": answers}))
    return path


def test_answers_are_scored_in_the_run_that_they_are_about(page, copied, tmp_path):
    study = page[0]["study"]
    files = [answers_to(study, tmp_path / "ada.json"), answers_to({**study, "seed": 2}, tmp_path / "grace.json")]
    score = score_answers(files, copied)[0]
    assert (score.value, score.step, score.protocol["evaluators"]) == (0, 2, 2)
    assert score.protocol["state"] == study["state"]


def refusal(path, run):
    with pytest.raises(ConfigError) as raised:
        score_answers([path], run)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_answers_about_another_state_are_refused(page, copied, tmp_path):
    study = page[0]["study"]
    path = answers_to({**study, "run": "other", "state": "f" * 64}, tmp_path / "answers.json")
    # Even where a page was made of that state before the run went back and reached the step again.
    (copied / "hype.jsonl").write_text(json.dumps({"step": 2, "state": "f" * 64}) + "\n")
    assert refusal(path, copied) == (
        f"{path} holds answers about other, step 2, state ffffffffffff, not about {copied}, whose checkpoint of that "
        f"step has state {study['state'][:12]}; accepted: answers to a page made from this run"
    )
    # One file of several is enough.
    with pytest.raises(ConfigError, match=r"answers\.json holds answers about other"):
        score_answers([answers_to(study, tmp_path / "right.json"), path], copied)


def test_answers_about_a_step_that_the_run_never_had_are_refused(page, copied, tmp_path):
    path = answers_to({**page[0]["study"], "step": 5}, tmp_path / "answers.json")
    assert refusal(path, copied) == (
        f"{path} holds answers about toy-digits, step 5, state {page[0]['study']['state'][:12]}, not about {copied}, "
        "which has neither a checkpoint of that step (it has steps 2) nor made a page of one; "
        "accepted: answers to a page made from this run"
    )


def test_answers_to_a_page_are_scored_when_its_checkpoint_is_deleted_and_no_others(page, copied, tmp_path):
    study = page[0]["study"]
    shutil.rmtree(copied / "checkpoints" / "2")
    assert score_answers([answers_to(study, tmp_path / "answers.json")], copied)[0].value == 0
    other = answers_to({**study, "state": "f" * 64}, tmp_path / "other.json")
    assert f"no checkpoint of that step any more and made pages of state {study['state'][:12]};" in refusal(
        other, copied
    )
    (copied / "hype.jsonl").unlink()
    assert "(it has none)" in refusal(tmp_path / "answers.json", copied)


@pytest.mark.parametrize("damage", ["{", "[3]\n", '{"step": 2}\n'])
def test_damaged_list_of_pages_is_refused_in_one_line(page, copied, tmp_path, damage):
    shutil.rmtree(copied / "checkpoints" / "2")
    (copied / "hype.jsonl").write_text(damage)
    path = answers_to(page[0]["study"], tmp_path / "answers.json")
    assert refusal(path, copied).startswith(f"{copied}/hype.jsonl is not a list of the pages that were made: ")


def test_state_of_a_page_is_noted_once(run, page, tmp_path):
    write_hype(run, images=4, seed=9, out=tmp_path / "page.html")
    assert [json.loads(line) for line in (run.directory.path / "hype.jsonl").read_text().splitlines()] == [
        {"step": 2, "state": run.digest()}
    ]


def test_answers_need_a_run_directory(page, tmp_path):
    path = answers_to(page[0]["study"], tmp_path / "answers.json")
    assert refusal(path, tmp_path / "none") == f"{tmp_path}/none does not exist; a run directory was wanted"
