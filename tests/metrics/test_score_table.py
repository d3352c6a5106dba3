import math

import pytest

from gen_jax.metrics.score import Score
from gen_jax.metrics.score_table import score_table


def score(value, metric="fid", *, step=10, better="smaller", interval=None, name=None, **protocol):
    return Score(metric, name or metric.upper(), float(value), better, step, protocol, interval)


def table(**groups):
    """Columns by name, and notes, of {group: {seed: scores}} or a score alone for seed 0."""
    measured = {k: v if isinstance(v, dict) else {0: v if isinstance(v, list) else [v]} for k, v in groups.items()}
    columns, notes = score_table(measured)
    return {column.name: column for column in columns}, notes


def test_mean_over_seeds_and_the_scores_own_interval_of_one():
    columns, notes = table(a={0: [score(1)], 1: [score(3)]}, b=score(5, interval=(4.0, 7.0)), c=score(6))
    half = math.tan(math.pi * 0.475)
    cells = columns["FID"].cells
    assert (cells["a"].value, cells["a"].interval) == (2, pytest.approx((2 - half, 2 + half)))
    assert (str(cells["b"]), str(cells["c"])) == ("5.0 [4.0, 7.0]", "6")
    assert notes == []


@pytest.mark.parametrize(("better", "best"), [("smaller", {"a"}), ("larger", {"b"}), (None, set())])
def test_best_is_marked_where_a_direction_is_known(better, best):
    columns, _ = table(a=score(1, better=better), b=score(2, better=better))
    assert columns["FID"].best == best
    assert [columns["FID"].text(group).endswith(" *") for group in "ab"] == [group in best for group in "ab"]


def test_nothing_is_best_of_one_or_of_equals_and_two_may_be_best():
    assert table(a=score(1))[0]["FID"].best == set()
    assert table(a=score(1), b=score(1))[0]["FID"].best == set()
    assert table(a=score(1), b=score(1), c=score(2))[0]["FID"].best == {"a", "b"}


@pytest.mark.parametrize(
    ("one", "other", "names", "words"),
    [
        (
            {"samples": 1000},
            {"samples": 500},
            {"FID (1000 samples)", "FID (500 samples)"},
            "samples is 1000 in (1000 samples), 500 in",
        ),
        (
            {"features": {"name": "inception", "digest": "a" * 30}},
            {"features": {"name": "inception", "digest": "b" * 30}},
            {"FID [1]", "FID [2]"},
            f"features.digest is {'a' * 30} in [1], {'b' * 30} in [2]",
        ),
        ({"reference": "test"}, {}, {"FID [1]", "FID [2]"}, "reference is test in [1], not stated in [2]"),
    ],
)
def test_unequal_protocols_have_columns_of_their_own_and_a_note(one, other, names, words):
    columns, notes = table(a=score(1, **one), b=score(2, **other))
    assert set(columns) == names
    assert all(len(column.cells) == 1 and not column.best for column in columns.values())
    (note,) = notes
    assert "not comparable" in note
    assert words in note


def test_the_draw_is_no_protocol():
    columns, notes = table(a=score(1, seed=0, samples=10), b=score(2, seed=1, samples=10))
    assert set(columns) == {"FID"}
    assert notes == []


def test_how_samples_are_made_is_noted_in_one_column():
    columns, notes = table(
        vae=score(9, sampler="one pass", weights="average"), ddpm=score(2, sampler="ancestral", weights="average")
    )
    assert columns["FID"].best == {"ddpm"}
    assert notes == ["† Made differently: sampler one pass of vae, ancestral of ddpm."]
    assert columns["FID"].head == "FID† ↓"
    assert columns["FID"].protocol == {"weights": "average"}


def test_the_newest_step_that_all_runs_have_is_taken():
    columns, notes = table(a={0: [score(1, step=10), score(100, step=20)], 1: [score(3, step=10)]})
    cell = columns["FID"].cells["a"]
    assert (cell.step, cell.value) == (10, 2)
    assert notes == ["FID: of a at step 10, the newest that all its runs have, not 20."]


def test_runs_without_a_common_step_have_no_mean():
    columns, notes = table(a={0: [score(1, step=10)], 1: [score(3, step=20)]}, b=score(7))
    assert "a" not in columns["FID"].cells
    assert notes == ["FID: the runs of a have it at different steps, and so not here."]
    assert columns["FID"].text("a") == "—"


def test_a_mean_over_those_that_went_well_says_so_and_is_not_best():
    columns, notes = table(a={0: [score(1)], 1: [score(math.nan)], 2: [score(1)]}, b=score(2), c=score(3))
    assert str(columns["FID"].cells["a"]) == "1 ± 0 (2 of 3)"
    assert columns["FID"].best == {"b"}
    assert notes == ["FID: Not finite for seed 1 of a."]


def test_differences_are_of_groups_that_share_seeds():
    columns, _ = table(
        a={s: [score(v)] for s, v in ((0, 1), (1, 2), (2, 9))},
        b={s: [score(v)] for s, v in ((0, 0), (1, 0), (5, 3))},
        c={0: [score(1)]},
    )
    ((first, second, estimate),) = columns["FID"].differences()
    assert (first, second, estimate.value, estimate.n) == ("a", "b", 1.5, 2)


def test_names_that_differ_in_brackets_are_one_column():
    columns, _ = table(
        a=score(1, name="HYPE (1 evaluator, 20 answers)", answers=20, evaluators=1),
        b=score(2, name="HYPE (3 evaluators, 60 answers)", answers=60, evaluators=3),
    )
    assert set(columns) == {"HYPE"}
