"""People are played by scripts, in a time of their own: what they answer is known, and so is what they score."""

import base64
import dataclasses
import io
import json

import numpy as np
import pytest
from layout_checks import layout_faults
from PIL import Image
from waiting import wait_until

from gen_jax.metrics.hype import Staircase, hype_time, hype_time_interval, modal_exposure, uniform, wilson
from gen_jax.reports.hype import page_data, score_answers
from gen_jax.show.page import render, write_page

STUDY = {
    "run": "vae-digits",
    "step": 1000,
    "state": "ab12",
    "weights": "average",
    "sampler": "one pass",
    "sampler_steps": 1,
    "reference": {"data": "digits", "split": "test"},
    "seed": 0,
    "staircase": dataclasses.asdict(Staircase()),
}

# Waiting takes no time, but is written down.
CLOCK = """
window.hypeClock = {
  time: 0,
  waits: [],
  now() { return this.time; },
  wait(ms) { this.waits.push(ms); this.time += ms; return Promise.resolve(); },
};
"""

# Answers every image until the end, or as many as are wanted; wrong(real, number, exposure) says when not truly.
PERSON = """
() => new Promise((done) => {
  const wrong = %s;
  const element = (id) => document.getElementById(id);
  const data = JSON.parse(element("hype-data").textContent);
  const bits = [...atob(data.truth)].flatMap((c) => [...c.charCodeAt(0).toString(2).padStart(8, "0")]);
  let left = %d;
  const act = () => {
    if (!element("end").hidden || (left === 0 && !element("real").disabled)) { watch.disconnect(); done(); return; }
    if (!element("rest").hidden) { window.rests = (window.rests ?? 0) + 1; element("resume").click(); return; }
    if (element("real").disabled) return;
    const practice = element("count").textContent.startsWith("Practice");
    const number = Number(element("count").textContent.match(/\\d+/)[0]) - 1;
    const real = bits[number + (practice ? 0 : data.practice)] === "1";
    left -= 1;
    element(real !== wrong(real, number, hypeClock.waits.at(-5)) ? "real" : "generated").click();
  };
  const watch = new MutationObserver(act);
  watch.observe(document.body, { subtree: true, attributes: true, attributeFilter: ["disabled", "hidden"] });
  act();
})
"""


@pytest.fixture
def hype_page(tmp_path, open_page):
    """Opens a page with so many images, on which a script runs first."""

    def opened(images, shape=(8, 8, 1), script=CLOCK):
        rng = np.random.default_rng(0)
        real, generated = rng.integers(256, size=(2, (images + 4) // 2, *shape), dtype=np.uint8)
        data = page_data(real, generated, STUDY | {"images": images}, rng)
        html = render("hype.html", data=data).replace("<head>", f"<head><script>{script}</script>", 1)
        return open_page(write_page(tmp_path / "hype.html", html))

    return opened


def begin(page, mode="unlimited", name="Ada"):
    page.fill("#evaluator", name)
    page.check(f"input[value={mode}]")
    page.click("#begin")


def answer(page, wrong="() => false", answers=-1):
    page.evaluate(PERSON % (wrong, answers))


def saved(page, path):
    """The file that the page saves, and what is in it."""
    with page.expect_download() as download:
        page.click("#save")
    download.value.save_as(path)
    return json.loads(path.read_text()), download.value.suggested_filename


def test_known_share_of_wrong_answers_is_hype_infinity_exactly(hype_page, tmp_path):
    page = hype_page(40)
    begin(page)
    # Takes the first 6 generated images for real ones, and of the real ones the first 2 for generated.
    page.evaluate("window.mistakes = { true: 2, false: 6 }")
    answer(
        page, "(real, number) => !document.getElementById('count').textContent.startsWith('P') && mistakes[real]-- > 0"
    )
    assert page.inner_text("#score") == "20.0%"
    rows = page.locator("#part-rows tr").all_inner_texts()
    assert [row.split("\t")[:3] for row in rows] == [["Generated", "6 of 20", "30.0%"], ["Real", "2 of 20", "10.0%"]]
    stored, name = saved(page, tmp_path / "answers.json")
    assert name == "hype-vae-digits-1000-unlimited-Ada.json"
    scores = score_answers([tmp_path / "answers.json"])
    assert [score.value for score in scores] == [0.2, 0.3, 0.1]
    assert [(row["value"], tuple(row["interval"])) for row in stored["result"]] == [
        (s.value, s.interval) for s in scores
    ]
    low, high = wilson(8, 40)
    assert page.inner_text("#score-interval") == f"95% interval: {100 * low:.1f}% to {100 * high:.1f}%"


def test_who_is_right_from_a_threshold_on_has_a_hype_time_near_it(hype_page, tmp_path):
    page = hype_page(450)
    begin(page, "time-limited")
    answer(page, "(real, number, exposure) => exposure < 300")
    assert page.evaluate("rests") == 2
    stored, _ = saved(page, tmp_path / "answers.json")
    (score,) = score_answers([tmp_path / "answers.json"])
    assert 290 <= score.value <= 330
    assert page.inner_text("#score") == f"{score.value:.0f} ms"
    assert [(row["value"], tuple(row["interval"])) for row in stored["result"]] == [(score.value, score.interval)]
    assert [answer["block"] for answer in stored["answers"]] == sorted([0, 1, 2] * 150)
    assert all(answer["shown_ms"] == answer["exposure_ms"] for answer in stored["answers"])
    assert page.locator("#steps polyline").count() == 4


def test_time_limited_image_follows_a_countdown_and_is_followed_by_four_masks(hype_page):
    page = hype_page(4)
    begin(page, "time-limited")
    answer(page, answers=6)
    waits = page.evaluate("hypeClock.waits")
    practice = [500, 500, 500, 500, 30, 30, 30, 30]
    assert waits[:36] == [*practice, 2000] * 4
    assert waits[37:] == [*practice, 500, 500, 500, 490, 30, 30, 30, 30, 500, 500, 500, 480, 30, 30, 30, 30]


def shown(page):
    """Pixels of the canvas, or nothing while it is hidden."""
    if not page.locator("#image.shown").count():
        return None
    uri = page.evaluate("document.getElementById('image').toDataURL()")
    picture = Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))
    return np.asarray(picture)[..., :3]


def stored_image(page, index):
    uri = page.evaluate(f"JSON.parse(document.getElementById('hype-data').textContent).images[{index}].uri")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))


@pytest.mark.parametrize(("shape", "side"), [((8, 8, 1), 320), ((28, 28, 1), 308), ((32, 32, 3), 320)])
def test_image_is_shown_pixel_by_pixel_and_enlarged_without_smoothing(hype_page, shape, side):
    page = hype_page(4, shape)
    begin(page)
    page.wait_for_selector("#real:enabled")
    np.testing.assert_array_equal(shown(page), np.broadcast_to(stored_image(page, 0).reshape(shape), (*shape[:2], 3)))
    assert page.evaluate("getComputedStyle(document.getElementById('image')).imageRendering") == "pixelated"
    box = page.locator("#image").bounding_box()
    assert (box["width"], box["height"]) == (side, side)


def test_unlimited_image_stays_until_it_is_answered_and_a_time_limited_one_does_not(hype_page):
    page = hype_page(4)
    begin(page)
    page.wait_for_selector("#real:enabled")
    assert shown(page) is not None
    page.reload()
    begin(page, "time-limited")
    page.wait_for_selector("#real:enabled")
    assert shown(page) is None


def real_ones(page):
    """Whether each image is real."""
    truth = page.evaluate("JSON.parse(document.getElementById('hype-data').textContent).truth")
    return np.unpackbits(np.frombuffer(base64.b64decode(truth), np.uint8)).astype(bool)


@pytest.mark.parametrize("mode", ["unlimited", "time-limited"])
def test_practice_shows_the_image_together_with_what_it_was(hype_page, mode):
    # Waits of two seconds, those of feedback, end when the test says so.
    held = CLOCK.replace(
        "return Promise.resolve();",
        "return ms === 2000 ? new Promise((done) => { window.goOn = done; }) : Promise.resolve();",
    )
    page = hype_page(4, script=held)
    begin(page, mode)
    for number in range(4):
        page.wait_for_selector("#real:enabled")
        said_real = real_ones(page)[number] != (number % 2 == 1)
        page.click("#real" if said_real else "#generated")
        wait_until(page, "Boolean(window.goOn)")
        np.testing.assert_array_equal(shown(page)[..., 0], stored_image(page, number))
        assert page.inner_text("#fixation") == ""
        verdict, kind = ("Right", "Wrong")[number % 2], "real" if real_ones(page)[number] else "generated"
        assert page.inner_text("#feedback") == f"{verdict}: it was {kind}."
        page.evaluate("{ const done = goOn; window.goOn = null; done(); }")
    wait_until(page, "Boolean(window.goOn)")
    assert page.inner_text("#feedback") == "That was practice. From now on it counts."
    assert shown(page) is None


@pytest.mark.parametrize(("mode", "said"), [("unlimited", ""), ("time-limited", "Right: it was")])
def test_answer_that_counts_is_commented_on_without_its_image_and_never_beside_the_next_one(hype_page, mode, said):
    held = CLOCK.replace(
        "{ this.waits", "{ if (window.counted) return new Promise((done) => { window.goOn = done; }); this.waits"
    )
    page = hype_page(4, script=held)
    begin(page, mode)
    answer(page, answers=4)
    page.wait_for_selector("#real:enabled")
    assert page.inner_text("#count") == "1 of 4"
    assert page.inner_text("#feedback") == ""
    page.evaluate("window.counted = true")
    page.click("#real" if real_ones(page)[4] else "#generated")
    wait_until(page, "Boolean(window.goOn)")
    assert page.inner_text("#feedback").startswith(said)
    assert bool(page.inner_text("#feedback")) == bool(said)
    assert shown(page) is None
    page.evaluate("{ window.counted = false; goOn(); }")
    page.wait_for_selector("#real:enabled")
    assert page.inner_text("#count") == "2 of 4"
    assert page.inner_text("#feedback") == ""


def test_interval_is_said_to_be_the_projects_own(hype_page):
    page = hype_page(2)
    for mode, how in (("unlimited", "Wilson's formula for a share"), ("time-limited", "a bootstrap over runs of them")):
        begin(page, mode)
        answer(page)
        said = page.inner_text("#interval-note")
        assert said.startswith(f"The interval is of your answers alone, by {how}. It is this project's own;")
        page.once("dialog", lambda dialog: dialog.accept())
        page.click("#again")


def kept(page):
    return page.evaluate(
        "JSON.parse(localStorage.getItem(JSON.parse(document.getElementById('hype-data').textContent).key))"
    )


def test_keys_answer_as_the_buttons_do(hype_page, tmp_path):
    page = hype_page(6)
    begin(page)
    answer(page, answers=4)
    for key in ("r", "ArrowLeft", "R", "f", "ArrowRight", "F"):
        page.wait_for_selector("#real:enabled")
        page.keyboard.press("x")
        page.keyboard.press(key)
    page.wait_for_selector("#end:not([hidden])")
    stored, _ = saved(page, tmp_path / "answers.json")
    assert [answer["said_real"] for answer in stored["answers"]] == [True] * 3 + [False] * 3


@pytest.mark.parametrize("mode", ["unlimited", "time-limited"])
def test_reload_goes_on_where_it_stopped(hype_page, tmp_path, mode):
    page = hype_page(12)
    begin(page, mode, "Grace")
    answer(page, answers=4 + 5)
    before = kept(page)
    assert len(before["answers"]) == 5
    page.reload()
    assert page.inner_text("#unfinished p >> nth=0") == "You have answered 5 of 12 here before."
    assert not page.is_visible("#choice")
    page.click("#continue")
    page.wait_for_selector("#real:enabled")
    assert page.inner_text("#count") == "6 of 12"
    answer(page)
    stored, _ = saved(page, tmp_path / "answers.json")
    assert (stored["session"], stored["evaluator"]) == (before["session"], "Grace")
    assert stored["answers"][:5] == before["answers"]
    images = page.evaluate("JSON.parse(document.getElementById('hype-data').textContent).images.map((i) => i.id)")
    assert [answer["image"] for answer in stored["answers"]] == images[4:]
    assert len(score_answers([tmp_path / "answers.json"])) == {"unlimited": 3, "time-limited": 1}[mode]
    page.reload()
    assert page.is_visible("#end")


def test_start_anew_forgets_what_was_answered(hype_page):
    page = hype_page(6)
    begin(page)
    answer(page, answers=6)
    page.reload()
    page.click("#discard")
    assert page.is_visible("#choice")
    assert kept(page) is None


def test_answers_that_were_not_saved_are_not_thrown_away_unasked(hype_page, tmp_path):
    page = hype_page(2)
    begin(page)
    answer(page)
    asked = []
    page.on("dialog", lambda dialog: (asked.append(dialog.message), dialog.dismiss()))
    page.click("#again")
    assert len(asked) == 1
    assert page.is_visible("#end")
    saved(page, tmp_path / "answers.json")
    page.click("#again")
    assert len(asked) == 1
    assert page.is_visible("#start")


def test_browser_that_keeps_nothing_can_be_answered_in(hype_page, tmp_path):
    refuse = "Object.defineProperty(window, 'localStorage', { get() { throw new Error('no'); } });"
    page = hype_page(4, script=CLOCK + refuse)
    begin(page)
    answer(page)
    assert page.inner_text("#score") == "0.0%"


def test_browsers_own_clock_shows_an_image_for_its_time_and_then_masks(hype_page):
    page = hype_page(2, script="")
    page.clock.install(time=0)
    page.reload()
    page.clock.pause_at(1000)
    begin(page, "time-limited")
    image = stored_image(page, 0)
    seen = []
    # Frames of 16 ms, a second more than countdown, exposure and masks take.
    for _ in range(200):
        page.clock.run_for(16)
        pixels = shown(page)
        seen.append(None if pixels is None else bool((pixels[..., 0] == image).all()))
    assert 29 <= seen.count(True) <= 33
    assert 6 <= seen.count(False) <= 10
    assert seen.index(False) == seen.index(True) + seen.count(True)
    assert page.is_enabled("#real")


def test_functions_of_the_page_are_those_of_the_shell_to_the_bit(hype_page):
    page = hype_page(2)
    rng = np.random.default_rng(4)
    blocks = [Staircase().exposures((rng.random(count) < 0.75).tolist()) for count in (150, 20, 3, *range(30, 90))]
    # The fewer resamples, the further its ends are from their neighbours.
    found = page.evaluate(
        """(blocks) => [hype.hypeTime(blocks), hype.hypeTimeInterval(blocks, 200),
            blocks.map((block) => hype.hypeTimeInterval([block], 40)), blocks.map(hype.modalExposure),
            [[0, 7], [7, 7], [31, 100]].map(([errors, answers]) => hype.wilson(errors, answers)),
            [1, 2, 3, 100000].map((k) => hype.uniform(2, k))]""",
        blocks,
    )
    assert found == [
        hype_time(blocks),
        list(hype_time_interval(blocks, 200)),
        [list(hype_time_interval([block], 40)) for block in blocks],
        [modal_exposure(block) for block in blocks],
        [list(wilson(errors, answers)) for errors, answers in ((0, 7), (7, 7), (31, 100))],
        uniform(2, 100_000)[[0, 1, 2, -1]].tolist(),
    ]


@pytest.mark.parametrize("mode", ["unlimited", "time-limited"])
def test_nothing_overflows_or_overlaps(hype_page, mode):
    page = hype_page(4)

    def faults():
        found = []
        for width in (1440, 390):
            page.set_viewport_size({"width": width, "height": 844})
            found += layout_faults(page)
        return found

    page.click(".about summary")
    assert faults() == []
    begin(page, mode, "A name of some length, such as people have")
    page.wait_for_selector("#real:enabled")
    assert faults() == []
    assert page.locator("#generated").bounding_box()["y"] < 700
    answer(page, "(real, number) => number % 2 === 0")
    assert faults() == []
