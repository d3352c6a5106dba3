import math

from gen_jax.metrics.score import Score
from gen_jax.show.scores import by_step, provenance, row, words


def test_newest_step_is_first_and_the_order_within_a_step_stays():
    scores = [Score("b", "B", 1.0, None, 100), Score("a", "A", 2.0, None, 900), Score("c", "C", 3.0, None, 100)]
    assert [(step, [row.name for row in rows]) for step, rows in by_step(scores)] == [(900, ["A"]), (100, ["B", "C"])]


def test_a_score_in_words():
    found = row(Score("nll", "NLL", 91.234, "smaller", 5, {"k": 5000}, (90.9, 91.6), "nats"))
    assert (found.name, found.value, found.interval) == ("NLL", "91.23 nats", "90.90 to 91.60")
    assert (found.better, found.arrow) == ("smaller is better", "↓")
    assert found.provenance == [("k", "5,000")]


def test_what_a_score_lacks_is_left_out():
    found = row(Score("share", "Share", math.nan, None, 5, unit="share"))
    assert (found.value, found.interval, found.better, found.arrow, found.provenance) == ("— ".strip(), "", "", "", [])
    assert row(Score("is", "IS", 8.0, "larger", 5)).arrow == "↑"


def test_provenance_is_readable_however_deep():
    protocol = {
        "samples": 10_000,
        "sampler": {"name": "ancestral", "steps": 1000},
        "clip_range": [0, 1.5],
        "label": None,
        "averaged": True,
        "features": {"name": "mnist classifier", "accuracy": 0.99123456, "layers": [64, 128]},
    }
    assert list(provenance(protocol)) == [
        ("samples", "10,000"),
        ("sampler", "ancestral, steps 1,000"),
        ("clip range", "0, 1.5"),
        ("averaged", "yes"),
        ("features", "mnist classifier, accuracy 0.991235, layers 64, 128"),
    ]


def test_hashes_are_not_shortened():
    assert words("0123456789abcdef" * 4) == "0123456789abcdef" * 4
