import dataclasses
import io

import pytest
from rich.console import Console

from benchmarks.speed import tables
from benchmarks.speed.measuring import Pairs
from benchmarks.speed.results import Comparison, Cost, PublicJob, Results, Started, Tried
from gen_jax.errors import ConfigError

OURS = Cost(step=0.5, first=9.0, stepping=100_000_000, process=300_000_000, again=2.0)
THEIRS = Cost(step=1.0, first=30.0, stepping=200_000_000, process=400_000_000, again=6.0)
TRIED = (
    Tried("eager", THEIRS),
    Tried("compiled", None, "not supported: RuntimeError: a | b"),
    Tried("other", THEIRS, "", 1.6e-7),
)
COMPARISON = Comparison(
    "dcgan",
    "DCGAN, 32x32x1",
    64,
    1_234,
    "eager",
    Pairs([0.5, 0.5, 0.4], [1.0, 0.9, 1.0]),
    OURS,
    THEIRS,
    TRIED,
    flops=2e9,
)
JOB = PublicJob("pythae", "VAE", 600, 10, 11, Pairs([0.001], [0.002]), Pairs([5.0], [20.0]))
RESULTS = Results(
    {"processor": "an abacus", "date": "2026-01-01"},
    ["python -m benchmarks.speed"],
    "cpu",
    "float32",
    [COMPARISON],
    [JOB],
    [Started("experiments.vae --preset tiny", {"first step": 9.0}, {"first step": 3.0})],
    {"ddim_sampling": "no such sampler"},
    {"gen_jax": 1e10, "PyTorch": 8e9},
)


def by_title(results):
    return {table.title.partition(",")[0]: table for table in tables.tables(results)}


def test_results_survive_json(tmp_path):
    path = tmp_path / "new" / "run.json"
    RESULTS.write(path)
    read = Results.read(path)
    assert list(tables.tables(read)) == list(tables.tables(RESULTS))
    assert read.comparisons[0].pairs.ratio == COMPARISON.pairs.ratio
    assert read.comparisons[0].tried[1].cost is None


def test_what_is_measured_later_replaces_what_it_repeats_and_nothing_else():
    machine = {"date": "2026-01-03", "processor": "an abacus"}
    other = dataclasses.replace(COMPARISON, name="vae_mlp", title="VAE")
    slower = dataclasses.replace(COMPARISON, ours=THEIRS)
    sampled = dataclasses.replace(COMPARISON, name="ddim_sampling", title="DDIM")
    first = dataclasses.replace(RESULTS, comparisons=[COMPARISON, other])
    command = "python -m benchmarks.speed --workloads dcgan"
    later = Results(machine, [command], "cpu", "float32", [sampled, slower], failed={"ddpm_large": "no memory"})
    both = first.and_then(later)
    assert both.comparisons == [other, slower, sampled]
    assert (both.jobs, both.started, both.ceiling) == ([JOB], RESULTS.started, RESULTS.ceiling)
    assert both.failed == {"ddpm_large": "no memory"}
    assert both.commands == [*RESULTS.commands, command]
    assert both.machine == {"processor": "an abacus", "date": "2026-01-01 to 2026-01-03"}
    third = both.and_then(
        dataclasses.replace(later, machine={**machine, "date": "2026-01-04"}, ceiling={"gen_jax": 1.0})
    )
    assert third.machine["date"] == "2026-01-01 to 2026-01-04"
    assert third.ceiling == {"gen_jax": 1.0}
    assert third.and_then(dataclasses.replace(later, failed={})).failed == {"ddpm_large": "no memory"}


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"device": "gpu"}, "--out has results of device cpu, not gpu"),
        ({"precision": "bfloat16"}, "--out has results of precision float32, not bfloat16"),
        (
            {"machine": {"processor": "two abaci", "date": ""}},
            "--out has results of processor an abacus, not two abaci",
        ),
    ],
)
def test_results_that_cannot_be_compared_are_not_put_together(changes, text):
    with pytest.raises(ConfigError) as raised:
        RESULTS.and_then(dataclasses.replace(RESULTS, **changes))
    assert str(raised.value) == text


@pytest.mark.parametrize("text", ["", "no JSON", "[]", "{}", '{"comparisons": [], "jobs": [], "started": [], "a": 1}'])
def test_a_file_of_something_else_is_refused(tmp_path, text):
    path = tmp_path / "other.json"
    path.write_text(text)
    with pytest.raises(ConfigError) as raised:
        Results.read(path)
    assert str(raised.value) == f"{path} does not hold what `python -m benchmarks.speed` writes"


def test_results_that_cannot_be_written_are_one_line(tmp_path):
    with pytest.raises(ConfigError, match="cannot be written: Is a directory"):
        RESULTS.write(tmp_path)


def test_speed_says_rates_ratio_spread_and_share_of_the_ceiling():
    shown = by_title(RESULTS)["Speed"]
    assert shown.rows[0] == [
        "DCGAN, 32x32x1", "128", "64", "2.00x", "1.80-2.50", "eager", "1,234", "40%", "20%",
    ]  # fmt: skip
    assert len(shown.rows) == 1
    assert shown.notes[0] == "ddim_sampling was not measured: no such sampler"


def test_other_tables_hold_what_was_measured():
    shown = by_title(RESULTS)
    assert shown["Peak memory"].rows == [["DCGAN, 32x32x1", "100", "200", "0.50x", "300", "400"]]
    assert shown["Time to the first step"].rows == [["DCGAN, 32x32x1", "9.0", "2.0", "30.0", "6.0"]]
    ways = shown["PyTorch's modes"].rows
    assert [row[2] for row in ways] == ["1,000.00", "not supported", "1,000.00"]
    assert shown["PyTorch's modes"].notes[0] == "DCGAN, 32x32x1, compiled: not supported: RuntimeError: a | b"
    assert [row[-1] for row in ways] == ["-", "-", "2e-07"]
    assert shown["Public trainers"].rows[0][2:6] == ["10 / 11", "1,000", "500", "2.00x"]
    assert shown["Public trainers"].rows[0][-1] == "4.00x"
    assert shown["From the shell to the first step and the first samples"].rows[0][2:] == ["9.00", "3.00"]


def test_tables_that_would_be_empty_are_left_out():
    assert not list(tables.tables(Results({}, [], "cpu", "float32")))


def test_every_line_fits_a_terminal_of_80_columns():
    console = Console(file=io.StringIO(), width=80)
    tables.print_tables(console, list(tables.tables(RESULTS)))
    lines = console.file.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert any("2.00x" in line for line in lines)


def test_markdown_has_a_row_a_workload_and_no_stray_bars():
    text = tables.markdown(list(tables.tables(RESULTS)), tables.machine_lines(RESULTS))
    assert text.startswith("- processor: an abacus\n- date: 2026-01-01\n- command: `python -m benchmarks.speed`\n\n###")
    assert "not supported: RuntimeError: a | b" in text
    for table in text.split("### ")[1:]:
        bars = {line.count("|") for line in table.splitlines() if line.startswith("|")}
        assert len(bars) == 1


def test_section_is_written_anew_and_what_is_around_it_stays(tmp_path):
    path = tmp_path / "docs" / "performance.md"
    tables.write_section(path, "one", "first")
    path.write_text("# By hand\n\n" + path.read_text() + "\nThe end.\n")
    tables.write_section(path, "two", "other")
    tables.write_section(path, "one", "second")
    text = path.read_text()
    assert text.startswith("# By hand\n\n<!-- one: begin")
    assert "first" not in text
    assert text.index("second") < text.index("The end.") < text.index("other")
    before = text
    tables.write_section(path, "one", "second")
    assert path.read_text() == before


@pytest.mark.parametrize(("step", "shown"), [(0.001, "64,000"), (1.0, "64"), (30.0, "2.13")])
def test_rates_are_shown_with_the_digits_that_matter(step, shown):
    assert tables.rate(64, Cost(step, 0.0, 0, 0)) == shown
