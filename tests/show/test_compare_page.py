import dataclasses
import re

import pytest
from hand_made_runs import DIGITS, curve, fid, write_run
from layout_checks import layout_faults

from gen_jax.metrics.score_table import score_table
from gen_jax.reports.compare import compare
from gen_jax.show.compare_page import choice, protocols

FITS = """
async () => {
  for (let i = 0; i < 100 && document.documentElement.scrollWidth > innerWidth; i++) {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
"""


@pytest.fixture(scope="module")
def comparison(tmp_path_factory):
    """Two configurations of three seeds and a GAN on digits, one run on another data set."""
    path = tmp_path_factory.mktemp("runs")
    for seed in range(3):
        for latent in (4, 5):
            values = [-50.0 + step + seed - latent for step in range(0, 20, 2)]
            lines = curve("eval", "elbo", values) + curve("train", "loss", [-value for value in values])
            scores = [fid(seed + latent, step=100, samples=10_000 * (latent - 3), reference={"split": "test"})]
            write_run(path / f"vae{latent}-{seed}", lines=lines, scores=scores, seed=seed, latent=latent)
    write_run(path / "gan", experiment="dcgan", lines=curve("eval", "generator_loss", [1.0, 2.0]))
    other = {**DIGITS, "name": "fashion_mnist", "fingerprint": "other"}
    write_run(path / "other", lines=curve("train", "<loss>", [None, 2.5]), data=other)
    return compare(sorted(path.iterdir()))


@pytest.fixture(scope="module")
def page_file(comparison, tmp_path_factory):
    return comparison.write(tmp_path_factory.mktemp("pages") / "compare.html")


def test_seeds_are_thin_lines_around_a_mean_with_a_band(comparison):
    part = comparison.sections[0]
    traces = choice("eval/elbo", part.curves["eval/elbo"], part).figure["data"]
    assert len(traces) == 2 * (3 + 2 + 1)
    group = [trace for trace in traces if trace["name"].startswith("vae, latent=4")]
    assert [(t["name"], t["y"][-1]) for t in group[:3]] == [
        (f"vae, latent=4, seed {seed}", -36.0 + seed) for seed in range(3)
    ]
    assert all(trace["line"]["width"] == 1 and trace["hoverinfo"] == "skip" for trace in group[:3])
    low, high, mean = group[3:]
    # t(0.975, 2 degrees) / sqrt(3) = 2.484.
    ends = (low["y"][-1], high["y"][-1], mean["y"][-1])
    assert ends == pytest.approx((-35 - 2.484, -35 + 2.484, -35), abs=1e-3)
    assert (high["fill"], mean["text"][-1]) == ("tonexty", "−35.0 ± 2.5")
    assert len({trace["meta"] for trace in group}) == 1
    assert len({trace["meta"] for trace in traces}) == 2


def test_what_is_not_finite_is_a_gap(comparison):
    part = comparison.sections[1]
    (trace,) = choice("train/<loss>", part.curves["train/<loss>"], part).figure["data"]
    assert (trace["x"], trace["y"]) == ([20], [2.5])


def test_tables_are_those_of_the_terminal_and_fit_every_window(comparison, page_file, open_page):
    page = open_page(page_file)
    tables = page.locator("section > .sideways:first-of-type table").all()
    for table, (head, rows) in zip(tables, comparison.tables(), strict=True):
        assert table.locator("thead th").all_text_contents()[1:] == head[1:]
        shown = [row.locator("th, td").all_text_contents() for row in table.locator("tbody tr").all()]
        texts = [[text.replace("-", "−").replace(" *", "\xa0*") for text in row[1:]] for row in rows]
        assert shown == [[row[0], *text] for row, text in zip(rows, texts, strict=True)]
    assert page.locator("td.best").all_text_contents() == ["−35.0 ± 2.5\xa0*"]
    assert page.locator("tr", has=page.locator(".best")).locator("th").inner_text() == "ELBO, held-out (nats)\xa0↑"
    notes = page.locator(".notes").first.inner_text()
    assert "rows (10000 samples) and (20000 samples) are not comparable." in notes
    assert "vae, latent=4 − vae, latent=5" in page.locator("thead th").all_inner_texts()
    for summary in page.locator("summary").all():
        summary.click()
    assert layout_faults(page) == []
    page.set_viewport_size({"width": 390, "height": 900})
    # Charts follow the window a moment later.
    page.evaluate(FITS)
    assert layout_faults(page) == []


def test_the_names_of_rows_stay_and_a_sign_says_that_there_is_more(page_file, open_page):
    page = open_page(page_file, width=390)
    table = page.locator(".sideways").first
    scroller, name = table.locator(".scroll"), table.locator("tbody th").last
    shown = "table => [getComputedStyle(table, '::after').opacity, getComputedStyle(table, '::after').content]"
    # Not by a function to be evaluated, which the page's own rules forbid.
    expect = pytest.importorskip("playwright.sync_api").expect
    expect(table).to_have_class(re.compile("more"))
    assert table.evaluate(shown) == ["1", '"more →"']
    left = name.bounding_box()["x"]
    scroller.evaluate("scroller => { scroller.scrollLeft = scroller.scrollWidth; }")
    expect(table).not_to_have_class(re.compile("more"))
    assert table.evaluate(shown)[0] == "0"
    assert name.bounding_box()["x"] == left
    # A table that fits has no sign, and none has a gap above it.
    page.set_viewport_size({"width": 1440, "height": 900})
    expect(page.locator(".sideways.more")).to_have_count(0)
    above = page.locator("section > .note").first.bounding_box()
    assert table.bounding_box()["y"] - (above["y"] + above["height"]) < 24


def test_what_numbers_depend_on_is_in_words_and_said_once(comparison):
    said = dict((terms and terms[0][1], (heads, terms)) for heads, terms in protocols(comparison.sections[0]))
    heads, terms = said["10,000"]
    assert heads == ["FID (10000 samples)\xa0↓"]
    assert terms == [("samples", "10,000"), ("reference", "test")]
    one = fid(1.0, reference={"split": "test", "digest": "0f"})
    rows, _ = score_table({"a": {0: [one, dataclasses.replace(one, metric="kid", name="KID")]}})
    (((heads, terms)),) = protocols(dataclasses.replace(comparison.sections[0], rows=rows))
    assert heads == ["FID\xa0↓", "KID\xa0↓"]
    assert terms == [("samples", "10,000"), ("reference", "test, digest 0f")]


def test_choosing_a_metric_changes_chart_and_legend(page_file, open_page):
    page = open_page(page_file, theme="dark")
    figure = page.locator("figure").first
    plot = figure.locator(".plot")
    plot.evaluate("plot => Plotly.Fx.hover(plot, { xval: 100 }, 'xy')")
    assert "vae, latent=4 : −35.0 ± 2.5" in plot.locator(".hoverlayer text").all_text_contents()
    assert figure.locator("select option").all_inner_texts() == [
        "ELBO, held-out (nats)",
        "Generator loss, held-out",
        "Loss, training",
    ]
    figure.locator("select").select_option(label="Generator loss, held-out")
    assert plot.evaluate("plot => plot.data.map(trace => [trace.name, trace.y.at(-1)])") == [["dcgan", 2.0]]
    assert figure.locator("ul.legend:visible").all_inner_texts() == ["dcgan: 2 at step 20"]
    assert "Generator loss" in plot.get_attribute("aria-label")
    assert page.locator("figure").last.locator("select option").all_inner_texts() == ["<loss>, training"]
