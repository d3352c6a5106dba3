import io
import json
import os
import shutil

import numpy as np
import pytest
from hand_made_runs import DIGITS, curve, fid, write_run
from rich.console import Console

from gen_jax.compare import compare
from gen_jax.errors import ConfigError, StorageError
from gen_jax.metrics.intervals import bootstrap_interval


def rows(comparison, section=0):
    """{label: {column: text}} of a section's table."""
    head, found = comparison.tables()[section]
    return {row[0]: dict(zip(head[1:], row[1:], strict=True)) for row in found}


def printed(comparison, width=80, **options):
    console = Console(file=io.StringIO(), width=width, **options)
    comparison.print(console)
    return console.file.getvalue()


def vae(path, values=(-50.0, -40.0), **options):
    return write_run(path, lines=[*curve("train", "loss", [2.0, 1.0]), *curve("eval", "elbo", values)], **options)


def test_runs_that_differ_in_the_seed_are_a_row_with_mean_and_interval(tmp_path):
    for seed, elbo in enumerate((-41.0, -40.0, -39.0)):
        vae(tmp_path / f"a{seed}", (-50.0, elbo), seed=seed, steps=20 + seed)
        vae(tmp_path / f"b{seed}", (-50.0, elbo - 1 - 0.1 * seed), seed=seed, latent=9)
    found = rows(compare([*tmp_path.glob("a*"), *tmp_path.glob("b*")]))
    assert list(found) == ["latent=4", "latent=9"]
    # t(0.975, 2 degrees) = 4.302653; of 1 / sqrt(3) and, differences being 1, 1.1, 1.2, of 0.1 / sqrt(3).
    name = "elbo, held-out (nats) ↑"
    assert found["latent=4"] == {"seeds": "3", "steps": "20", name: "-40.0 ± 2.5 *"}
    assert found["latent=9"][name] == "-41.1 ± 2.2"
    section = compare(sorted(tmp_path.iterdir())).sections[0]
    assert section.differences_rows == [["latent=4 − latent=9", "1.10 ± 0.25 (3)"]]


def test_intervals_may_be_bootstrapped(tmp_path):
    paths = [vae(tmp_path / str(seed), (1.0, float(seed)), seed=seed) for seed in range(3)]
    comparison = compare(paths, interval=bootstrap_interval)
    assert rows(comparison)["vae"]["elbo, held-out (nats) ↑"] == "1.0 ± 1.0"
    assert "95% bootstrap interval" in printed(comparison)


def test_labels_say_what_differs(tmp_path):
    vae(tmp_path / "a", seed=3)
    vae(tmp_path / "b", latent=5, beta=2.0)
    write_run(tmp_path / "c", experiment="dcgan", lines=curve("train", "generator_loss", [1.0]))
    assert list(rows(compare([tmp_path / "a"]))) == ["vae"]
    assert list(rows(compare([tmp_path / "a", tmp_path / "b"]))) == ["latent=4, beta=1.0", "latent=5, beta=2.0"]
    found = rows(compare([tmp_path / name for name in "bca"]))
    assert list(found) == ["vae, latent=5, beta=2.0", "dcgan", "vae, latent=4, beta=1.0"]


def test_long_labels_are_cut_to_what_tells_groups_apart_and_the_rest_is_noted(tmp_path):
    changed = {"learning_rate": 0.002, "likelihood": "gaussian", "free_bits": 0.5, "average_decay": 0.5, "latent": 5}
    vae(tmp_path / "a")
    vae(tmp_path / "b", **changed)
    comparison = compare([tmp_path / "a", tmp_path / "b"])
    assert list(rows(comparison)) == ["learning_rate=0.001", "learning_rate=0.002"]
    (note,) = [note for note in comparison.sections[0].notes if "also differ" in note]
    assert note == "The runs of vae also differ in latent, likelihood, free_bits, average_decay."
    vae(tmp_path / "c", **{**changed, "latent": 6})
    assert list(rows(compare(sorted(tmp_path.iterdir())))) == ["latent=4", "latent=5", "latent=6"]


def test_fields_that_are_too_long_give_way_to_the_names_of_directories(tmp_path):
    for name, width in (("wide", 10**30), ("narrow", 10**31)):
        for seed in (0, 1):
            vae(tmp_path / f"{name}-{seed}", seed=seed, features=(width, width))
    assert list(rows(compare(sorted(tmp_path.iterdir())))) == ["narrow", "wide"]
    for place, width in (("x", 10**32), ("y", 10**33)):
        vae(tmp_path / place / "same", features=(width, width))
    same = [tmp_path / place / "same" for place in "xy"]
    assert list(rows(compare(same))) == [f"same ({path})" for path in same]


def test_equal_seeds_of_one_configuration_are_kept_apart_and_paired(tmp_path):
    for name, gain in (("before", 0.0), ("after", 1.0)):
        for seed in (0, 1):
            vae(tmp_path / name / str(seed), (0.0, seed + gain), seed=seed)
    comparison = compare([tmp_path / name / str(seed) for name in ("after", "before") for seed in (0, 1)])
    assert [(label, row["seeds"]) for label, row in rows(comparison).items()] == [
        ("vae (after)", "2"),
        ("vae (before)", "2"),
    ]
    assert "same configuration and the same seeds" in comparison.sections[0].notes[0]
    assert comparison.sections[0].differences_rows == [["vae (after) − vae (before)", "1 ± 0 (2)"]]
    shutil.copytree(tmp_path / "after" / "0", tmp_path / "after" / "again")
    alone = compare([tmp_path / "after" / name for name in ("0", "again")])
    assert list(rows(alone)) == ["vae (0)", "vae (again)"]


def test_a_run_that_is_named_twice_counts_once(tmp_path, monkeypatch):
    vae(tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    assert rows(compare(["run", tmp_path / "run", f"run{os.sep}"]))["vae"]["seeds"] == "1"


def test_data_sets_have_tables_of_their_own(tmp_path):
    other = {**DIGITS, "fingerprint": "fedcba9876543210"}
    vae(tmp_path / "a")
    vae(tmp_path / "b", (-50.0, -1.0), data=other)
    comparison = compare([tmp_path / "a", tmp_path / "b"])
    assert [list(rows(comparison, i)) for i in (0, 1)] == [["vae"], ["vae"]]
    assert "*" not in str(comparison.tables())
    assert ["fingerprint fedc" in part.details for part in comparison.sections] == [False, True]


def test_scores_stand_beside_what_was_logged(tmp_path):
    vae(tmp_path / "a", scores=[fid(9.0, step=10), fid(5.0, interval=(4.0, 6.5))])
    vae(tmp_path / "b", latent=5, scores=[fid(6.0)])
    found = rows(compare([tmp_path / "a", tmp_path / "b"]))
    assert found["latent=4"]["FID ↓"] == "5.0 [4.0, 6.5] *"
    assert found["latent=5"]["FID ↓"] == "6"
    assert found["latent=4"]["elbo, held-out (nats) ↑"] == "-40"


def test_a_score_replaces_what_was_logged_under_its_name_where_all_have_it(tmp_path):
    measured = [fid(5.0), type(fid(1.0))("elbo", "ELBO", -39.0, "larger", 20, {"observed": "binary pixels"})]
    vae(tmp_path / "a", scores=measured)
    vae(tmp_path / "b", latent=5, scores=measured)
    vae(tmp_path / "c", latent=6)
    both = [tmp_path / "a", tmp_path / "b"]
    assert list(rows(compare(both))["latent=4"]) == ["seeds", "steps", "FID ↓", "ELBO ↑"]
    assert "elbo, held-out (nats) ↑" in rows(compare([*both, tmp_path / "c"]))["latent=4"]


def test_ways_of_sampling_one_run_are_rows(tmp_path):
    vae(tmp_path / "a", scores=[fid(5.0, sampler="one pass", sampler_steps=1, weights="average")])
    ways = [fid(value, sampler="ddim", sampler_steps=n, weights="average") for n, value in ((50, 4.0), (1000, 3.0))]
    vae(tmp_path / "b", latent=5, scores=ways)
    comparison = compare([tmp_path / "a", tmp_path / "b"])
    found = {label: list(row.values())[2:] for label, row in rows(comparison).items()}
    assert found == {
        "latent=4": ["5", "-40"],
        "latent=5, 50 sampler steps": ["4", "-40"],
        "latent=5, 1000 sampler steps": ["3 *", "—"],
    }
    section = comparison.sections[0]
    assert section.head[3] == "FID† ↓"
    assert "sampler one pass of latent=4, ddim of latent=5, 50 sampler steps and latent=5, 1000" in section.notes[0]
    assert list(section.curves["eval/elbo"]) == ["latent=4", "latent=5"]


def test_unequal_protocols_and_observations_are_never_in_one_column(tmp_path):
    vae(tmp_path / "a", scores=[fid(5.0, features={"digest": "a" * 40})])
    vae(tmp_path / "b", likelihood="gaussian", scores=[fid(6.0, features={"digest": "b" * 40})])
    found = rows(compare([tmp_path / "a", tmp_path / "b"]))
    assert [text for text in found["likelihood=bernoulli"].values()][2:] == ["5", "—", "-40", "—"]
    assert "*" not in str(found)
    notes = " ".join(compare([tmp_path / "a", tmp_path / "b"]).sections[0].notes)
    assert "features.digest is" in notes
    assert "observed is binary pixels in (binary pixels), real numbers in (real numbers)" in notes


def test_losses_of_different_experiments_have_curves_and_columns_of_their_own(tmp_path):
    for name in ("vae", "ddpm"):
        for steps, rate in enumerate((0.1, 0.2)):
            lines = [*curve("train", "loss", [2.0, 1.0]), *curve("eval", "loss", [2.0, 1.0])]
            write_run(tmp_path / f"{name}{steps}", experiment=name, lines=lines, learning_rate=rate)
    comparison = compare([*tmp_path.glob("vae*"), *tmp_path.glob("ddpm*")], ["loss"])
    assert comparison.metrics == ["eval/loss (vae)", "eval/loss (ddpm)"]
    found = rows(comparison)["vae, learning_rate=0.1"]
    assert found == {"seeds": "1", "steps": "20", "loss, held-out (vae)": "1", "loss, held-out (ddpm)": "—"}


def test_what_no_two_rows_share_is_not_in_the_table_but_has_a_curve(tmp_path):
    vae(tmp_path / "a")
    vae(tmp_path / "b", latent=5)
    for name in ("dcgan", "wgan_gp"):
        write_run(tmp_path / name, experiment=name, lines=curve("eval", "generator_loss", [1.0, 2.0]))
    comparison = compare(sorted(tmp_path.iterdir()))
    assert list(rows(comparison)["dcgan"]) == ["seeds", "steps", "elbo, held-out (nats) ↑"]
    assert comparison.sections[0].notes == ["Not in the table, because no two rows share them: generator_loss."]
    assert {"eval/generator_loss (dcgan)", "eval/generator_loss (wgan_gp)"} < set(comparison.sections[0].curves)


def test_a_measurement_of_an_older_step_says_so(tmp_path):
    vae(tmp_path / "a", scores=[fid(5.0, step=10)])
    assert compare([tmp_path / "a"]).sections[0].notes == ["FID: of vae measured at step 10, not 20."]


def test_metric_is_found_by_short_and_by_full_name(tmp_path):
    path = vae(tmp_path / "a")
    assert compare([path], ["elbo"]).metrics == ["eval/elbo"]
    assert compare([path], ["train/loss", "loss"]).metrics == ["train/loss", "train/loss"]
    with pytest.raises(ConfigError, match=r"--metric is elb \(did you mean elbo\?\); the runs have: elbo, loss"):
        compare([path], ["elb"])
    with pytest.raises(ConfigError, match=r"--metric is eval/loss \(did you mean loss\?\)"):
        compare([path], ["eval/loss"])


def test_the_first_curve_is_held_out_or_the_loss(tmp_path):
    a = vae(tmp_path / "a")
    b = write_run(tmp_path / "b", lines=curve("train", "loss", [2.0]) + curve("train", "elbo", [-2.0]))
    assert compare([a]).sections[0].first_metric == ["eval/elbo"]
    assert compare([b]).sections[0].first_metric == ["train/loss"]


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
    assert list(rows(comparison)) == ["latent=4", "latent=5"]
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
    with pytest.raises(ConfigError, match="cannot be written"):
        compare([vae(tmp_path / "fine")]).write(tmp_path / "fine" / "config.json" / "page.html")


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
        assert f"a_rather_long_metric_{i}" in text
    assert text.count("seeds  steps") > 1
    assert "loss, training, over steps" in text
    assert text.index("a features=16, latent=4: 2 ± 0 at step 20, 2 seeds") < text.index("b features=128 128")
    assert "\x1b" in printed(comparison, force_terminal=True, color_system="standard")
    assert max(map(len, printed(comparison, width=40).splitlines())) <= 40
