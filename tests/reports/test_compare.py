import dataclasses
import io
import json
import os
import shutil

import numpy as np
import pytest
from hand_made_runs import DIGITS, curve, fid, write_run
from rich.console import Console

from gen_jax.errors import ConfigError, StorageError
from gen_jax.metrics.intervals import bootstrap_interval
from gen_jax.metrics.score import Score
from gen_jax.reports.compare import compare


def columns(comparison, section=0):
    """{label: {metric: text}} of a section's table."""
    head, rows = comparison.tables()[section]
    assert all(len(row) == len(head) for row in rows)
    names = [row[0].replace("\xa0", " ") for row in rows]
    return {label: dict(zip(names, texts, strict=True)) for label, *texts in list(zip(head, *rows, strict=True))[1:]}


def printed(comparison, width=80, **options):
    console = Console(file=io.StringIO(), width=width, **options)
    comparison.print(console)
    return console.file.getvalue()


def vae(path, values=(-50.0, -40.0), **options):
    return write_run(path, lines=[*curve("train", "loss", [2.0, 1.0]), *curve("eval", "elbo", values)], **options)


def test_runs_that_differ_in_the_seed_are_a_column_with_mean_and_interval(tmp_path):
    for seed, elbo in enumerate((-41.0, -40.0, -39.0)):
        vae(tmp_path / f"a{seed}", (-50.0, elbo), seed=seed, steps=20 + seed)
        vae(tmp_path / f"b{seed}", (-50.0, elbo - 1 - 0.1 * seed), seed=seed, latent=9)
    found = columns(compare([*tmp_path.glob("a*"), *tmp_path.glob("b*")]))
    assert list(found) == ["latent=4", "latent=9"]
    # t(0.975, 2 degrees) = 4.302653; of 1 / sqrt(3) and, differences being 1, 1.1, 1.2, of 0.1 / sqrt(3).
    name = "ELBO, held-out (nats) ↑"
    assert found["latent=4"] == {"seeds": "3", "steps": "20", name: "-40.0 ± 2.5 *"}
    assert found["latent=9"][name] == "-41.1 ± 2.2"
    section = compare(sorted(tmp_path.iterdir())).sections[0]
    head, (row,) = section.differences
    assert (head, row) == (["", "latent=4 − latent=9"], ["ELBO, held-out (nats)\xa0↑", "1.10 ± 0.25 (3)"])


def test_intervals_may_be_bootstrapped(tmp_path):
    paths = [vae(tmp_path / str(seed), (1.0, float(seed)), seed=seed) for seed in range(3)]
    comparison = compare(paths, interval=bootstrap_interval)
    assert columns(comparison)["vae"]["ELBO, held-out (nats) ↑"] == "1.0 ± 1.0"
    assert "95% bootstrap interval" in printed(comparison)


def test_labels_say_what_differs(tmp_path):
    vae(tmp_path / "a", seed=3)
    vae(tmp_path / "b", latent=5, beta=2.0)
    write_run(tmp_path / "c", experiment="dcgan", lines=curve("train", "generator_loss", [1.0]))
    assert list(columns(compare([tmp_path / "a"]))) == ["vae"]
    assert list(columns(compare([tmp_path / "a", tmp_path / "b"]))) == ["latent=4, beta=1.0", "latent=5, beta=2.0"]
    found = columns(compare([tmp_path / name for name in "bca"]))
    assert list(found) == ["vae, latent=5, beta=2.0", "dcgan", "vae, latent=4, beta=1.0"]


def test_long_labels_are_cut_to_what_tells_groups_apart_and_the_rest_is_noted(tmp_path):
    changed = {"learning_rate": 0.002, "likelihood": "gaussian", "free_bits": 0.5, "average_decay": 0.5, "latent": 5}
    vae(tmp_path / "a")
    vae(tmp_path / "b", **changed)
    comparison = compare([tmp_path / "a", tmp_path / "b"])
    assert list(columns(comparison)) == ["learning_rate=0.001", "learning_rate=0.002"]
    (note,) = [note for note in comparison.sections[0].notes if "also differ" in note]
    assert note == "The runs of vae also differ in average_decay, latent, likelihood, free_bits."
    vae(tmp_path / "c", **{**changed, "latent": 6})
    assert list(columns(compare(sorted(tmp_path.iterdir())))) == ["latent=4", "latent=5", "latent=6"]


def test_fields_that_are_too_long_give_way_to_the_names_of_directories(tmp_path):
    for name, width in (("wide", 10**30), ("narrow", 10**31)):
        for seed in (0, 1):
            vae(tmp_path / f"{name}-{seed}", seed=seed, features=(width, width))
    assert list(columns(compare(sorted(tmp_path.iterdir())))) == ["narrow", "wide"]
    for place, width in (("x", 10**32), ("y", 10**33)):
        vae(tmp_path / place / "same", features=(width, width))
    same = [tmp_path / place / "same" for place in "xy"]
    assert list(columns(compare(same))) == [f"same ({path})" for path in same]


def test_equal_seeds_of_one_configuration_are_kept_apart_and_paired(tmp_path):
    for name, gain in (("before", 0.0), ("after", 1.0)):
        for seed in (0, 1):
            vae(tmp_path / name / str(seed), (0.0, seed + gain), seed=seed)
    comparison = compare([tmp_path / name / str(seed) for name in ("after", "before") for seed in (0, 1)])
    assert [(label, row["seeds"]) for label, row in columns(comparison).items()] == [
        ("vae (after)", "2"),
        ("vae (before)", "2"),
    ]
    assert "same configuration and the same seeds" in comparison.sections[0].notes[0]
    head, (row,) = comparison.sections[0].differences
    assert (head[1], row[1]) == ("vae (after) − vae (before)", "1 ± 0 (2)")
    shutil.copytree(tmp_path / "after" / "0", tmp_path / "after" / "again")
    alone = compare([tmp_path / "after" / name for name in ("0", "again")])
    assert list(columns(alone)) == ["vae (0)", "vae (again)"]


def test_a_run_that_is_named_twice_counts_once_and_it_is_said(tmp_path, monkeypatch):
    vae(tmp_path / "run")
    other = vae(tmp_path / "other", seed=1)
    monkeypatch.chdir(tmp_path)
    comparison = compare([tmp_path / "run", f"run{os.sep}", other, "run"])
    assert columns(comparison)["vae"]["seeds"] == "2"
    assert comparison.sections[0].notes == ["run was given 3 times, and counts once."]


def test_data_sets_have_tables_of_their_own(tmp_path):
    other = {**DIGITS, "fingerprint": "fedcba9876543210"}
    vae(tmp_path / "a")
    vae(tmp_path / "b", (-50.0, -1.0), data=other)
    comparison = compare([tmp_path / "a", tmp_path / "b"])
    assert [list(columns(comparison, i)) for i in (0, 1)] == [["vae"], ["vae"]]
    assert "*" not in str(comparison.tables())
    assert ["fingerprint fedc" in part.details for part in comparison.sections] == [False, True]


def test_scores_stand_beside_what_was_logged(tmp_path):
    vae(tmp_path / "a", scores=[fid(9.0, step=10), fid(5.0, interval=(4.0, 6.5))])
    vae(tmp_path / "b", latent=5, scores=[fid(6.0)])
    found = columns(compare([tmp_path / "a", tmp_path / "b"]))
    assert found["latent=4"]["FID ↓"] == "5.0 [4.0, 6.5] *"
    assert found["latent=5"]["FID ↓"] == "6"
    assert found["latent=4"]["ELBO, held-out (nats) ↑"] == "-40"


def test_a_score_replaces_what_was_logged_under_its_name_where_all_have_it(tmp_path):
    measured = [fid(5.0), Score("elbo", "ELBO", -39.0, "larger", 20, {"observed": "binary pixels"})]
    vae(tmp_path / "a", scores=measured)
    vae(tmp_path / "b", latent=5, scores=measured)
    vae(tmp_path / "c", latent=6)
    both = [tmp_path / "a", tmp_path / "b"]
    assert list(columns(compare(both))["latent=4"]) == ["seeds", "steps", "FID ↓", "ELBO ↑"]
    assert "ELBO, held-out (nats) ↑" in columns(compare([*both, tmp_path / "c"]))["latent=4"]


def test_ways_of_sampling_one_run_are_columns(tmp_path):
    vae(tmp_path / "a", scores=[fid(5.0, sampler="one pass", sampler_steps=1, weights="average")])
    ways = [fid(value, sampler="ddim", sampler_steps=n, weights="average") for n, value in ((50, 4.0), (1000, 3.0))]
    vae(tmp_path / "b", latent=5, scores=ways)
    comparison = compare([tmp_path / "a", tmp_path / "b"])
    found = {label: list(row.values())[2:] for label, row in columns(comparison).items()}
    assert found == {
        "latent=4": ["5", "-40"],
        "latent=5, 50 sampler steps": ["4", "-40"],
        "latent=5, 1000 sampler steps": ["3 *", "—"],
    }
    section = comparison.sections[0]
    assert section.texts[2][0] == "FID†\xa0↓"
    assert "sampler one pass of latent=4, ddim of latent=5, 50 sampler steps and latent=5, 1000" in section.notes[0]
    assert list(section.curves["eval/elbo"]) == ["latent=4", "latent=5"]


def test_unequal_protocols_and_observations_are_never_in_one_row(tmp_path):
    vae(tmp_path / "a", scores=[fid(5.0, features={"digest": "a" * 40})])
    vae(tmp_path / "b", likelihood="gaussian", scores=[fid(6.0, features={"digest": "b" * 40})])
    found = columns(compare([tmp_path / "a", tmp_path / "b"]))
    assert [text for text in found["likelihood=bernoulli"].values()][2:] == ["5", "—", "-40", "—"]
    assert "*" not in str(found)
    notes = " ".join(compare([tmp_path / "a", tmp_path / "b"]).sections[0].notes)
    assert (
        f"FID: rows [1] and [2] are not comparable: features digest is {'a' * 40} in [1], {'b' * 40} in [2]." in notes
    )
    assert "held-out: rows (binary pixels) and (real numbers) are not comparable: they differ in how data" in notes


def test_losses_of_different_experiments_have_curves_and_rows_of_their_own(tmp_path):
    for name in ("vae", "ddpm"):
        for steps, rate in enumerate((0.1, 0.2)):
            lines = [*curve("train", "loss", [2.0, 1.0]), *curve("eval", "loss", [2.0, 1.0])]
            write_run(tmp_path / f"{name}{steps}", experiment=name, lines=lines, learning_rate=rate)
    comparison = compare([*tmp_path.glob("vae*"), *tmp_path.glob("ddpm*")], ["loss"])
    assert comparison.metrics == ["eval/loss (vae)", "eval/loss (ddpm)"]
    found = columns(comparison)["vae, learning_rate=0.1"]
    assert found == {"seeds": "1", "steps": "20", "Loss, held-out (vae)": "1", "Loss, held-out (ddpm)": "—"}


def test_what_no_two_columns_share_is_not_in_the_table_but_has_a_curve(tmp_path):
    vae(tmp_path / "a")
    vae(tmp_path / "b", latent=5)
    for name in ("dcgan", "wgan_gp"):
        # Of what was measured, only what was logged too has a curve.
        measured = [Score(metric, metric, 2.0, None, 20) for metric in ("generator_loss", f"only_{name}")]
        lines = curve("eval", "generator_loss", [1.0, 2.0])
        write_run(tmp_path / name, experiment=name, lines=lines, scores=measured if name == "dcgan" else [])
    comparison = compare(sorted(tmp_path.iterdir()))
    assert list(columns(comparison)["dcgan"]) == ["seeds", "steps", "ELBO, held-out (nats) ↑", "Only dcgan"]
    assert comparison.sections[0].notes == ["Not in the table, because no two columns share them: Generator loss."]
    assert {"eval/generator_loss (dcgan)", "eval/generator_loss (wgan_gp)"} < set(comparison.sections[0].curves)


def test_a_measurement_of_an_older_step_says_so(tmp_path):
    vae(tmp_path / "a", scores=[fid(5.0, step=10)])
    vae(tmp_path / "b", scores=[fid(5.0, step=10), fid(1.0, step=10, samples=7)])
    assert compare([tmp_path / "a"]).sections[0].notes == ["FID: of vae measured at step 10, not 20."]
    *_, note = compare([tmp_path / "b"]).sections[0].notes
    assert note == "FID (10000 samples); FID (7 samples): of vae measured at step 10, not 20."


def test_metric_is_found_by_short_and_by_full_name(tmp_path):
    path = vae(tmp_path / "a")
    assert compare([path], ["elbo"]).metrics == ["eval/elbo"]
    assert compare([path], ["train/loss", "loss"]).metrics == ["train/loss", "train/loss"]
    with pytest.raises(ConfigError, match=r"--metric is elb; the nearest is 'elbo'; the runs have: elbo, loss"):
        compare([path], ["elb"])
    with pytest.raises(ConfigError, match=r"--metric is eval/loss; the nearest is 'loss'"):
        compare([path], ["eval/loss"])


def test_the_first_curve_is_held_out_or_the_loss(tmp_path):
    a = vae(tmp_path / "a")
    b = write_run(tmp_path / "b", lines=curve("train", "loss", [2.0]) + curve("train", "elbo", [-2.0]))
    assert compare([a]).sections[0].first_metric == ["eval/elbo"]
    assert compare([b]).sections[0].first_metric == ["train/loss"]


def test_the_first_curve_is_what_most_runs_logged_and_a_likelihood_before_other_scores(tmp_path):
    # A run whose ELBO is a score too, and one whose precision was logged: one run each.
    elbo = Score("elbo", "ELBO", -39.0, "larger", 20, {"observed": "binary pixels"}, unit="nats")
    gan = write_run(tmp_path / "gan", experiment="dcgan", lines=curve("eval", "precision_200", [0.1]))
    one = vae(tmp_path / "one", scores=[elbo])
    assert compare([gan, one]).sections[0].first_metric == ["eval/elbo"]
    # Two runs that logged precision are more than one that logged the ELBO, and more than curves of nothing but NaN.
    again = write_run(tmp_path / "again", experiment="dcgan", lines=curve("eval", "precision_200", [0.2]), seed=1)
    lost = [vae(tmp_path / str(seed), (None, None), seed=seed) for seed in (5, 6, 7)]
    assert compare([one, gan, again]).sections[0].first_metric == ["eval/precision_200"]
    assert compare([gan, *lost]).sections[0].first_metric == ["train/loss"]


def test_what_was_logged_is_called_as_its_scores_are_or_in_words(tmp_path):
    scores = [dataclasses.replace(fid(5.0), metric="fid_5k_inception", name="FID-5k (inception)")]
    lines = [line for name in ("fid_5k_inception", "kid_1k", "elbo") for line in curve("eval", name, [1.0])]
    section = compare([write_run(tmp_path / "a", lines=lines, scores=scores)]).sections[0]
    titles = [section.title(f"eval/{name}") for name in ("fid_5k_inception", "kid_1k", "elbo")]
    assert titles == ["FID-5k (inception), held-out", "KID 1k, held-out", "ELBO, held-out (nats)"]
    assert section.title("train/generator_loss (dcgan)") == "Generator loss (dcgan), training"


def test_damaged_lines_are_skipped(tmp_path):
    path = vae(tmp_path / "a")
    with (path / "metrics.jsonl").open("ab") as file:
        file.write(b'{"step": 30, "split": "eval", "elbo": -3\xff}\n')
        file.write(b'{"step": 30, "split": "eval", "elbo": "high", "kl": [1], "more": true}\n')
        file.write(b'{"step": 40, "split": "eval", "elbo": -1.0')
    section = compare([path]).sections[0]
    np.testing.assert_array_equal(section.curves["eval/elbo"]["vae"].steps, (10, 20))
    assert set(section.curves) == {"eval/elbo", "train/loss"}


def test_experiments_that_are_gone_can_still_be_compared(tmp_path):
    for name, latent in (("a", 4), ("b", 5)):
        path = vae(tmp_path / name, latent=latent)
        stored = json.loads((path / "config.json").read_text())
        stored["experiment"] = {"module": "gone", "file": "/nowhere/gone.py"}
        (path / "config.json").write_text(json.dumps(stored))
    comparison = compare([tmp_path / "a", tmp_path / "b"])
    assert list(columns(comparison)) == ["latent=4", "latent=5"]
    # How the data were observed is not known, so nothing is called best.
    assert "*" not in str(comparison.tables())


def test_errors_are_one_line(tmp_path):
    with pytest.raises(ConfigError, match="at least one run"):
        compare([])
    with pytest.raises(ConfigError, match="does not exist"):
        compare([tmp_path / "none"])
    with pytest.raises(ConfigError, match="not a run directory"):
        compare([tmp_path])
    with pytest.raises(ConfigError, match="nothing to compare yet"):
        compare([write_run(tmp_path / "new")])
    broken = vae(tmp_path / "broken")
    (broken / "metrics.jsonl").unlink()
    (broken / "metrics.jsonl").mkdir()
    with pytest.raises(StorageError, match="cannot be read"):
        compare([broken])
    vae(tmp_path / "fine")
    for name in ("x.pdf", "page", "page.html.gz"):
        with pytest.raises(ConfigError, match=rf"{name} is no name of a page; accepted: .* in \.html or \.htm$"):
            compare([tmp_path / "fine"]).write(tmp_path / name)
        assert not (tmp_path / name).exists()
    assert compare([tmp_path / "fine"]).write(tmp_path / "PAGE.HTM").exists()
    with pytest.raises(ConfigError, match="cannot be written"):
        compare([tmp_path / "fine"]).write(tmp_path / "fine" / "config.json" / "page.html")


def test_text_fits_a_terminal_and_has_no_colours_without_one(tmp_path):
    for seed in (0, 1):
        measured = {f"a_rather_long_metric_{i}": i + seed / 10 for i in range(6)}
        lines = [*curve("train", "loss", [3.0, 2.0]), {"step": 20, "split": "eval", **measured}]
        write_run(tmp_path / f"a{seed}", lines=lines, seed=seed)
        write_run(tmp_path / f"b{seed}", lines=lines, seed=seed, latent=5, features=(128, 128))
    comparison = compare(sorted(tmp_path.iterdir()), ["loss"])
    text = printed(comparison)
    assert max(map(len, text.splitlines())) <= 80
    assert "\x1b" not in text
    for i in range(6):
        assert f"A rather long metric {i}, held-out" in text
    assert text.count("\nseeds ") == 1
    assert "Loss, training, over steps" in text
    assert text.index("a features=16, latent=4: 2 ± 0 at step 20, 2 seeds") < text.index("b features=128 128")
    assert "\x1b" in printed(comparison, force_terminal=True, color_system="standard")
    narrow = printed(comparison, width=40)
    assert max(map(len, narrow.splitlines())) <= 40
    # Not both columns fit: there are two tables, each with the names of its rows.
    assert narrow.count("\nseeds ") == narrow.count("\nsteps ") == 2


def test_no_line_of_the_terminal_begins_with_an_arrow(tmp_path):
    vae(tmp_path / "a", (-50.0, -40.25), scores=[fid(5.0)])
    vae(tmp_path / "b", (-50.0, -41.0), latent=5, scores=[fid(4.0)])
    comparison = compare([tmp_path / "a", tmp_path / "b"])
    for width in range(38, 80):
        lines = printed(comparison, width).splitlines()
        assert not [line for line in lines if line.strip().startswith(("↑", "↓"))]
