import importlib.resources
import re

import jinja2
import pytest
from markupsafe import Markup

from gen_jax.show import page
from gen_jax.show.page import asset, count, number, render, write_page

FILES = sorted(file.name for file in importlib.resources.files("gen_jax.show").iterdir())
TEMPLATES = [name for name in FILES if name.endswith(".html")]
SCRIPTS_AND_STYLES = [name for name in FILES if name.endswith((".js", ".css"))]


@pytest.fixture
def templates(monkeypatch):
    """Templates of the test beside those of the package."""
    own = {
        "text.html": '{% extends "base.html" %}{% block title %}{{ text }}{% endblock %}',
        "data.html": '{% extends "base.html" %}{% block scripts %}<script>{{ data | tojson }}</script>{% endblock %}',
    }
    environment = page.environment().overlay(
        loader=jinja2.ChoiceLoader([jinja2.DictLoader(own), page.environment().loader])
    )
    monkeypatch.setattr(page, "environment", lambda: environment)


def test_text_is_escaped(templates):
    assert "<title>a &lt;b&gt; &amp; &#34;c&#34;</title>" in render("text.html", text='a <b> & "c"')


def test_what_is_not_given_is_an_error(templates):
    with pytest.raises(jinja2.UndefinedError, match="'text' is undefined"):
        render("text.html")


def test_data_for_scripts_cannot_end_the_script_and_hold_no_nan(templates):
    html = render("data.html", data={"name": "</script><b>"})
    assert r"\u003c/script\u003e\u003cb\u003e" in html
    with pytest.raises(ValueError, match="JSON"):
        render("data.html", data=[float("nan")])


def test_every_page_has_a_language_landmarks_and_no_way_to_a_network():
    html = render("base.html")
    assert html.startswith('<!doctype html>\n<html lang="en">')
    for part in (
        '<main id="content"',
        "<header",
        "<footer",
        "<nav aria-label=",
        'name="viewport"',
        "default-src 'none'",
    ):
        assert html.count(part) == 1


@pytest.mark.parametrize("name", TEMPLATES + SCRIPTS_AND_STYLES)
def test_no_file_refers_to_another_place(name):
    text = importlib.resources.files("gen_jax.show").joinpath(name).read_text()
    assert not re.search(r"""(src|href)=["']?(https?:)?//|@import|url\((?!["']?data:)|fetch\(|XMLHttpRequest""", text)


@pytest.mark.parametrize("name", SCRIPTS_AND_STYLES)
def test_assets_are_put_into_a_page_as_they_are(name):
    assert isinstance(asset(name), Markup)
    assert len(asset(name)) > 100


def test_asset_that_would_end_its_element_is_refused():
    with pytest.raises(ValueError, match=r"base.html holds '</'"):
        asset("base.html")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "—"),
        (float("nan"), "—"),
        (float("inf"), "—"),
        (0, "0.0000"),
        (-94.4969, "−94.50"),
        (9.99951, "10.000"),
        (1.23456, "1.235"),
        (0.83124, "0.8312"),
        (0.000123456, "1.23e−04"),
        (-1234567.8, "−1,234,568"),
        (60_000, "60,000"),
    ],
)
def test_numbers_are_written_with_about_four_digits(value, text):
    assert number(value) == text


def test_whole_numbers_have_their_thousands_apart():
    assert (count(60_000), count(999)) == ("60,000", "999")


def test_page_is_written_at_once_or_not_at_all(tmp_path):
    path = write_page(tmp_path / "new" / "page.html", "first ◐")
    assert path.read_text(encoding="utf-8") == "first ◐"
    with pytest.raises(UnicodeEncodeError):
        write_page(path, "second \ud800")
    assert path.read_text() == "first ◐"
    write_page(path, "third")
    assert [file.name for file in path.parent.iterdir()] == ["page.html"]


def luminance(colour):
    """Relative luminance as WCAG 2.2 defines it."""
    levels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in levels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


TOKENS = {
    name: colours for name, *colours in re.findall(r"--([\w-]+): light-dark\((#\w{6}), (#\w{6})\)", asset("base.css"))
}


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize(
    ("names", "least"),
    [
        (["text"], 7.0),
        (["muted", "accent", "good", "bad"], 4.5),
        (["strong-line", *(f"series-{n}" for n in range(1, 9))], 3.0),
    ],
)
def test_colours_stand_out_from_every_ground(theme, names, least):
    for name in names:
        for ground in ("ground", "raised", "sunken"):
            assert contrast(TOKENS[name][theme], TOKENS[ground][theme]) >= least, (name, ground)
    assert contrast(TOKENS["on-accent"][theme], TOKENS["accent"][theme]) >= 4.5


def test_contrast_is_that_of_the_standard():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)
