import json
import math

import plotly.graph_objects

from gen_jax.show.charts import Chart, Series, figure, finite, plotly_script
from gen_jax.show.page import asset

NAN = math.nan
BAND = Series(
    "run", [1, 2, 3], [1.0, NAN, 3.0], colour=10, line="dash", points=True, low=[0.0, NAN, 2.0], high=[2, 3, 4]
)


def test_figure_is_one_that_plotly_accepts_and_json_holds():
    chart = Chart("FID", [BAND, Series("other", [1], [2])], "step", "FID")
    made = figure(chart)
    # Raises ValueError for a property that plotly does not know.
    plotly.graph_objects.Figure(made)
    assert json.loads(json.dumps(made, allow_nan=False)) == made


def test_a_band_lies_between_its_edges_and_the_line_on_top():
    low, high, line = figure(Chart("t", [BAND]))["data"]
    assert (low["y"], high["y"], line["y"]) == ([0.0, None, 2.0], [2.0, 3.0, 4.0], [1.0, None, 3.0])
    assert high["fill"] == "tonexty"
    assert "fill" not in low
    assert [trace.get("hoverinfo") for trace in (low, high, line)] == ["skip", "skip", None]
    assert (line["mode"], line["line"]["dash"]) == ("lines+markers", "dash")
    assert {trace["meta"] for trace in (low, high, line)} == {2}


def test_colours_repeat_after_as_many_as_the_style_has():
    style = asset("base.css")
    numbers = {Series("s", [], [], colour=colour).category for colour in range(1, 30)}
    assert all(f"--series-{number}:" in style for number in numbers)
    assert f"--series-{max(numbers) + 1}:" not in style
    assert [Series("s", [], [], colour=colour).category for colour in (1, 8, 9)] == [1, 8, 1]


def test_what_is_no_number_is_a_gap():
    assert finite([1, NAN, math.inf, None, -2.5]) == [1.0, None, None, None, -2.5]


def test_last_value_is_the_last_that_is_a_number():
    assert BAND.last == 3.0
    assert Series("s", [1, 2, 3], [1.0, 2.0, NAN]).last == 2.0
    assert Series("s", [1], [None]).last is None


def test_paths_in_the_plane_have_one_scale_and_a_large_last_point():
    chart = Chart("Paths", [Series("row 1", [0.0, 1.0, 2.0], [0.0, 1.0, 4.0])], "x", "y", square=True)
    made = figure(chart)
    plotly.graph_objects.Figure(made)
    assert made["layout"]["yaxis"]["scaleanchor"] == "x"
    assert made["data"][0]["marker"]["size"] == [5, 5, 11]
    assert chart.description == "Paths: paths in the plane"


def test_description_says_where_the_lines_end():
    chart = Chart("FID", [Series("a", [1, 2], [9, 8.25]), Series("b", [1], [None])])
    assert chart.description == "Chart of FID over step: a ends at 8.25"
    assert Chart("FID", [Series("b", [1], [None])]).description == "Chart of FID over step"


def test_script_holds_plotly_and_what_draws_and_cannot_end_early():
    script = plotly_script()
    assert "plotly.js v" in script
    assert script.endswith(asset("charts.js"))
    assert "</script" not in script.lower()
