import math

import pytest

from gen_jax.metrics.comparable import measurement, sampling, shared, ways_of_sampling
from gen_jax.metrics.score import Score
from gen_jax.metrics.score_table import score_table


def score(value, metric="fid", *, step=10, better="smaller", interval=None, name=None, **protocol):
    return Score(metric, name or metric.upper(), float(value), better, step, protocol, interval)


def table(**groups):
    """Rows by name, and notes, of {group: {seed: scores}} or a score alone for seed 0."""
    measured = {k: v if isinstance(v, dict) else {0: v if isinstance(v, list) else [v]} for k, v in groups.items()}
    rows, notes = score_table(measured)
    return {row.name: row for row in rows}, notes


def test_mean_over_seeds_and_the_scores_own_interval_of_one():
    rows, notes = table(a={0: [score(1)], 1: [score(3)]}, b=score(5, interval=(4.0, 7.0)), c=score(6))
    half = math.tan(math.pi * 0.475)
    cells = rows["FID"].cells
    assert (cells["a"].value, cells["a"].interval) == (2, pytest.approx((2 - half, 2 + half)))
    assert (str(cells["b"]), str(cells["c"])) == ("5.0 [4.0, 7.0]", "6")
    assert notes == []


@pytest.mark.parametrize(("better", "best"), [("smaller", {"a"}), ("larger", {"b"}), (None, set())])
def test_best_is_marked_where_a_direction_is_known(better, best):
    rows, _ = table(a=score(1, better=better), b=score(2, better=better))
    assert rows["FID"].best == best
    assert [rows["FID"].text(group).endswith(" *") for group in "ab"] == [group in best for group in "ab"]


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
            "FID: rows (1000 samples) and (500 samples) are not comparable.",
        ),
        (
            {"features": {"name": "inception", "digest": "a" * 30}},
            {"features": {"name": "inception", "digest": "b" * 30}},
            {"FID [1]", "FID [2]"},
            f"FID: rows [1] and [2] are not comparable: features digest is {'a' * 30} in [1], {'b' * 30} in [2].",
        ),
        (
            {"reference": {"split": "test"}},
            {"reference": {"split": "train"}},
            {"FID (test)", "FID (train)"},
            "FID: rows (test) and (train) are not comparable: they differ in reference split.",
        ),
        ({"epoch": 5}, {"epoch": 9}, {"FID (epoch 5)", "FID (epoch 9)"}, "rows (epoch 5) and (epoch 9) are not"),
        ({"reference": "test"}, {}, {"FID [1]", "FID [2]"}, "reference is test in [1], not stated in [2]"),
    ],
)
def test_unequal_protocols_have_rows_of_their_own_and_a_note(one, other, names, words):
    rows, notes = table(a=score(1, **one), b=score(2, **other))
    assert set(rows) == names
    assert all(len(row.cells) == 1 and not row.best for row in rows.values())
    (note,) = notes
    assert "not comparable" in note
    assert words in note


def test_the_draw_is_no_protocol():
    rows, notes = table(a=score(1, seed=0, samples=10), b=score(2, seed=1, samples=10))
    assert set(rows) == {"FID"}
    assert notes == []


def test_how_samples_are_made_is_noted_in_one_row():
    rows, notes = table(
        vae=score(9, sampler="one pass", weights="average"), ddpm=score(2, sampler="ancestral", weights="average")
    )
    assert rows["FID"].best == {"ddpm"}
    assert notes == ["† Made differently: sampler one pass of vae, ancestral of ddpm."]
    assert rows["FID"].head == "FID†\xa0↓"
    assert rows["FID"].protocol == {"weights": "average"}


def test_rows_whose_samples_were_made_alike_share_a_mark_and_a_note():
    def made(metric, sampler, weights="average"):
        return score(2 if sampler == "ddim" else 1, metric, sampler=sampler, weights=weights)

    rows, notes = table(
        a=[made("fid", "ddim"), made("kid", "ddim"), made("recall", "ddim"), made("sec", "ddim", "last")],
        b=[made("fid", "one pass"), made("kid", "one pass"), made("sec", "one pass")],
        c=[made("kid", "ancestral"), made("recall", "ancestral")],
    )
    assert [row.mark for row in rows.values()] == ["†", "†", "†", "‡"]
    assert notes == [
        "† Made differently: sampler ddim of a, one pass of b, ancestral of c.",
        "‡ Made differently: weights last of a, average of b; sampler ddim of a, one pass of b.",
    ]


def test_a_mark_is_not_shared_with_rows_that_state_less():
    rows, notes = table(
        a=score(1, "elbo", weights="last"),
        b=score(2, "elbo", weights="average"),
        c=score(1, sampler="ddim", weights="last"),
        d=score(2, sampler="one pass", weights="last"),
    )
    assert [row.mark for row in rows.values()] == ["†", "‡"]
    assert "not stated" not in " ".join(notes)


def test_what_several_metrics_have_in_common_is_said_once():
    def two(samples, step):
        return [score(1, "fid", samples=samples, step=step), score(1, "kid", samples=samples, step=step)]

    _, notes = table(a={0: two(9, 10), 1: [*two(9, 10), *two(9, 20)]}, b=two(5, 10))
    assert notes == [
        "FID; KID: rows (9 samples) and (5 samples) are not comparable.",
        "FID (9 samples); KID (9 samples): of a at step 10, the newest that all its runs have, not 20.",
    ]


def test_a_protocol_is_what_all_numbers_share_as_deep_as_it_goes():
    def one(accuracy, **more):
        return score(1, features={"name": "inception", **more}, seed=accuracy, samples=5)

    rows, _ = table(a={0: [one(1, draw={"a": 1, "b": 2})], 1: [one(2, draw={"a": 1, "b": 2})]})
    assert rows["FID"].protocol == {"features": {"name": "inception", "draw": {"a": 1, "b": 2}}, "samples": 5}
    assert shared([{"x": {"a": 1, "b": 2}}, {"x": {"a": 1, "b": 3}}, {"x": {"a": 1}}]) == {"x": {"a": 1}}
    assert shared([{"x": {"a": 1}}, {"x": {"a": 2}}, {"x": 1}]) == {}
    assert shared([{"x": {"a": 1}}, {"x": {"a": 2}}]) == {}
    assert shared([{"x": None}, {}]) == {}


def test_the_newest_step_that_all_runs_have_is_taken():
    rows, notes = table(a={0: [score(1, step=10), score(100, step=20)], 1: [score(3, step=10)]})
    cell = rows["FID"].cells["a"]
    assert (cell.step, cell.value) == (10, 2)
    assert notes == ["FID: of a at step 10, the newest that all its runs have, not 20."]


def test_runs_without_a_common_step_have_no_mean():
    rows, notes = table(a={0: [score(1, step=10)], 1: [score(3, step=20)]}, b=score(7))
    assert "a" not in rows["FID"].cells
    assert notes == ["FID: the runs of a have it at different steps, and so not here."]
    assert rows["FID"].text("a") == "—"


def test_a_mean_over_those_that_went_well_says_so_and_is_not_best():
    rows, notes = table(a={0: [score(1)], 1: [score(math.nan)], 2: [score(1)]}, b=score(2), c=score(3))
    assert str(rows["FID"].cells["a"]) == "1 ± 0 (2 of 3)"
    assert rows["FID"].best == {"b"}
    assert notes == ["FID: Not finite for seed 1 of a."]


def test_differences_are_of_groups_that_share_seeds():
    rows, _ = table(
        a={s: [score(v)] for s, v in ((0, 1), (1, 2), (2, 9))},
        b={s: [score(v)] for s, v in ((0, 0), (1, 0), (5, 3))},
        c={0: [score(1)]},
    )
    ((first, second, estimate),) = rows["FID"].differences()
    assert (first, second, estimate.value, estimate.n) == ("a", "b", 1.5, 2)


def test_names_that_differ_in_brackets_are_one_row():
    rows, _ = table(
        a=score(1, name="HYPE (1 evaluator, 20 answers)", answers=20, evaluators=1),
        b=score(2, name="HYPE (3 evaluators, 60 answers)", answers=60, evaluators=3),
    )
    assert set(rows) == {"HYPE"}


def test_options_of_sampling_are_a_way_of_sampling_and_no_other_measurement():
    runs = {0: [score(3, sampler="ddim", sampling={"eta": eta}) for eta in (0.0, 0.5)], 1: [score(2, sampler="ddim")]}
    first, second = (one.protocol for one in runs[0])
    assert measurement(first) == measurement(second)
    assert sampling(second) == {"sampler": "ddim", "sampling": "eta 0.5"}
    # What says nothing of its options is with the first.
    found = ways_of_sampling(runs)
    assert {way: {seed: len(scores) for seed, scores in by_seed.items()} for way, by_seed in found.items()} == {
        "eta 0.0": {0: 1, 1: 1},
        "eta 0.5": {0: 1, 1: 0},
    }
