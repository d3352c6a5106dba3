import dataclasses

import numpy as np
import pytest
from layout_checks import layout_faults
from waiting import wait_until

from gen_jax.metrics.score import Score
from gen_jax.show.charts import Chart, Series
from gen_jax.show.page import write_page
from gen_jax.show.pictures import picture
from gen_jax.show.report_page import (
    Grid,
    Illustration,
    Neighbour,
    Neighbours,
    Option,
    Report,
    linked,
    paragraphs,
    report_page,
)

LONG = "a_metric_whose_name_is_so_long_that_no_phone_could_ever_show_it_in_a_single_line"
STEPS = [100, 200, 12_000]
PROTOCOL = {
    "samples": 10_000,
    "weights": "average",
    "sampler": {"name": "ancestral", "steps": 1000},
    "features": {"name": "mnist classifier", "digest": "0123456789abcdef" * 4, "accuracy": 0.9912},
}


def noise(seed, side=40):
    return picture(np.random.default_rng(seed).integers(0, 256, (side, side, 1), np.uint8))


def metrics():
    for step in range(100, 1100, 100):
        yield {"step": step, "split": "train", "elbo": -1e5 / step, "real_logits": step / 7, LONG: 1e-7 * step}
        yield {"step": step, "split": "eval", "elbo": -2e5 / step, "fake_logits": None if step == 400 else 0.5}


REPORT = Report(
    name="toy on folder:a <b> & c",
    summary="A toy (Nobody, 2000, arXiv 0001.00001).",
    about="A toy (Nobody, 2000, arXiv 0001.00001).\n\n    python -m experiments.toy --a-rather-long-flag " + "x" * 90,
    facts={
        "Data": "60,000 training and 10,000 held-out examples",
        "Fingerprint": "0123456789abcdef",
        "Long": "word " * 40,
    },
    command="python -m experiments.toy --features " + " ".join(map(str, range(40))) + " --data-dir /" + "d" * 80,
    evaluate="python -m gen_jax evaluate runs/toy --metrics all",
    options=[Option("--seed", "1", "0"), Option("--data-dir", "/" + "d" * 200, "None"), Option("--keep", "2", "2")],
    metrics=list(metrics()),
    grids=[Grid(step, noise(step)) for step in STEPS],
    illustrations=[
        Illustration("Interpolations", "From one to another.", noise(1)),
        Illustration(
            "Paths",
            "In the plane.",
            Chart("Paths", [Series("row 1", [0, 1], [0, 2], points=True)], "x", "y", square=True),
        ),
    ],
    neighbours=Neighbours(
        [(noise(2, 8), [Neighbour(noise(3, 8), 0.0), Neighbour(noise(4, 8), 1.25)])], 90, 100, 12_000, 3.5
    ),
    missing=["Reconstructions are missing: they show held-out data."],
    scores=[
        Score("fid", "FID-1k (mnist classifier), not comparable", 15.25, "smaller", 200, PROTOCOL, (14.0, 16.5)),
        Score(
            "nll",
            "Negative log-likelihood, " + "importance-weighted " * 4,
            91.5,
            "smaller",
            12_000,
            {"k": 5000},
            unit="nats",
        ),
        Score("is", "Inception Score", float("nan"), "larger", 12_000),
    ],
)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return write_page(tmp_path_factory.mktemp("page") / "report.html", report_page(REPORT))


@pytest.fixture(scope="module")
def page(open_shared_page, file):
    return open_shared_page(file)


@pytest.fixture(scope="module")
def narrow_page(open_shared_page, file):
    return open_shared_page(file, width=390)


def colours(page):
    """Of the page, its text, and what plotly drew."""
    return page.evaluate(
        """() => {
          const style = (selector) => getComputedStyle(document.querySelector(selector));
          return [style("body").backgroundColor, style("body").color, style(".plot .xtick text").fill,
                  style(".plot .scatterlayer .js-line").stroke];
        }"""
    )


def shown_text(page):
    return page.locator("main").inner_text()


def test_slider_changes_picture_and_words_by_keyboard(page):
    grid, slider = page.locator("#grid"), page.get_by_label("After training step")
    assert grid.get_attribute("src") == REPORT.grids[-1].picture.uri
    slider.focus()
    page.keyboard.press("ArrowLeft")
    assert grid.get_attribute("src") == REPORT.grids[1].picture.uri
    page.keyboard.press("Home")
    assert grid.get_attribute("src") == REPORT.grids[0].picture.uri
    assert grid.get_attribute("alt") == "Samples after 100 steps"
    assert page.locator("#step-shown").inner_text() == "100"
    assert slider.get_attribute("aria-valuetext") == "step 100"
    page.keyboard.press("End")
    assert page.locator("#step-shown").inner_text() == "12,000"


def test_charts_are_drawn_and_say_their_values_where_the_pointer_rests(page):
    drawn = page.evaluate(
        "[...document.querySelectorAll('.plot')].map(p => p.querySelectorAll('.scatterlayer .trace').length)"
    )
    # ELBO, logits, the one with the long name, and the paths in the plane.
    assert drawn == [2, 2, 1, 1]
    assert page.locator(".plot .hoverlayer text").count() == 0
    elbo = page.locator(".chart", has_text="ELBO").locator(".plot")
    elbo.hover()
    label = elbo.locator(".hoverlayer .legend")
    label.wait_for()
    assert "train" in label.text_content()
    assert "eval" in label.text_content()


def test_theme_button_changes_page_and_charts_and_is_remembered(open_page, file):
    page = open_page(file, theme="light")
    button = page.get_by_role("button", name="Dark theme")
    assert button.get_attribute("aria-pressed") == "false"
    light = colours(page)
    button.click()
    dark = colours(page)
    assert all(before != after for before, after in zip(light, dark, strict=True))
    assert button.get_attribute("aria-pressed") == "true"
    page.reload()
    assert colours(page) == dark
    button.click()
    assert colours(page) == light


def test_system_theme_is_followed_and_may_change(open_page, file):
    page = open_page(file, theme="dark")
    dark = colours(page)
    assert page.get_by_role("button", name="Dark theme").get_attribute("aria-pressed") == "true"
    page.emulate_media(color_scheme="light")
    assert colours(page)[0] != dark[0]
    wait_until(
        page, "before => getComputedStyle(document.querySelector('.plot .xtick text')).fill !== before", arg=dark[2]
    )


@pytest.mark.parametrize("size", ["page", "narrow_page"])
def test_nothing_overflows_or_overlaps(request, size):
    page = request.getfixturevalue(size)
    assert layout_faults(page) == []
    for summary in page.locator("summary").all():
        summary.click()
    assert page.locator("table.options").is_visible()
    assert layout_faults(page) == []


@pytest.mark.parametrize(
    ("style", "fault"),
    [
        ("white-space: nowrap; font-size: 4rem", "px wide"),
        ("width: 50px; white-space: nowrap", "sticks out of h1."),
        ("margin-bottom: -2.5rem", "overlap"),
    ],
)
def test_a_fault_of_the_layout_would_be_found(narrow_page, style, fault):
    title = narrow_page.locator("h1")
    title.evaluate("(title, style) => { title.style = style; }", style)
    faults = layout_faults(narrow_page)
    title.evaluate("title => { title.style = ''; }")
    assert any(fault in found for found in faults)


def test_scores_stand_newest_step_first_with_everything_they_depend_on(page):
    text = shown_text(page)
    assert (
        text.index("After 12,000 steps")
        < text.index("91.50 nats")
        < text.index("After 200 steps")
        < text.index("15.25")
    )
    for part in (
        "14.00 to 16.50",
        "smaller is better",
        "10,000",
        "ancestral, steps 1,000",
        "mnist classifier, digest 0123",
    ):
        assert part in text
    assert "None were measured" not in text


def test_page_without_anything_optional_says_so(open_page, tmp_path):
    bare = dataclasses.replace(
        REPORT, metrics=[], grids=REPORT.grids[:1], illustrations=[], neighbours=None, missing=[], scores=[]
    )
    page = open_page(write_page(tmp_path / "report.html", report_page(bare)), width=390)
    text = shown_text(page)
    assert "python -m gen_jax evaluate runs/toy --metrics all" in text
    assert "Nothing was logged." in text
    assert page.locator("input[type=range], .plot, #method, #neighbours").count() == 0
    assert layout_faults(page) == []


def test_text_of_a_run_is_shown_as_it_is_and_every_picture_has_words(page):
    assert page.locator("h1").inner_text() == REPORT.name
    assert page.locator("#command").inner_text() == REPORT.command
    assert all(image.get_attribute("alt") for image in page.locator("img").all())
    assert all(plot.get_attribute("aria-label") for plot in page.locator(".plot").all())
    assert page.locator("main h1").count() == page.locator("main").count() == page.locator("header").count() == 1


def test_what_was_not_shown_and_how_far_was_searched_is_said(page):
    text = shown_text(page)
    assert REPORT.missing[0] in text
    assert "Only 90 of the 100 training images were searched." in text


def test_papers_are_linked_and_other_text_escaped():
    assert linked("a <b>, arXiv 1312.6114, arXiv:2006.11239.") == (
        'a &lt;b&gt;, <a href="https://arxiv.org/abs/1312.6114">arXiv 1312.6114</a>, '
        '<a href="https://arxiv.org/abs/2006.11239">arXiv 2006.11239</a>.'
    )


def test_paragraphs_flow_and_indented_ones_are_code():
    text = "One (2000).\n\n    python -m a\n    python -m b --c\n\nTwo lines\nof a paragraph.\n"
    assert paragraphs(text) == [
        (False, "One (2000)."),
        (True, "python -m a\npython -m b --c"),
        (False, "Two lines of a paragraph."),
    ]
