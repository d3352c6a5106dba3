import io
import re

import pytest
from rich.console import Console

from gen_jax.training import progress
from gen_jax.training.progress import Reporter, duration, line, number


@pytest.fixture
def clock(monkeypatch):
    """Time that passes only when told to: `clock.now += 5`."""

    class Clock:
        now = 100.0

    monkeypatch.setattr(progress.time, "perf_counter", lambda: Clock.now)
    return Clock


def plain(width=80):
    return Console(file=io.StringIO(), width=width, force_terminal=False)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (3.0, "3"),
        (-12.0, "-12"),
        (999999.0, "999999"),
        (1e6, "1e+06"),
        (1234567.0, "1.235e+06"),
        (0.012345, "0.01235"),
        (12.3456, "12.35"),
        (123456.7, "1.235e+05"),
        (1.5e-7, "1.5e-07"),
        (float("nan"), "nan"),
        (float("inf"), "inf"),
        (float("-inf"), "-inf"),
    ],
)
def test_numbers_have_four_digits_unless_they_are_whole(value, text):
    assert number(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0:00"),
        (6.6, "0:07"),
        (59.6, "1:00"),
        (750.0, "12:30"),
        (3599.4, "59:59"),
        (3599.6, "1:00:00"),
        (7500.0, "2:05:00"),
        (360000.0, "100:00:00"),
    ],
)
def test_durations_are_rounded_before_they_are_split(seconds, text):
    assert duration(seconds) == text


def test_losses_come_first_and_the_rest_in_order():
    metrics = {"wasserstein": 2.0, "generator_loss": 0.125, "accuracy": 0.5, "critic_loss": 3.0}
    assert line(metrics) == "critic_loss 3  generator_loss 0.125  accuracy 0.5  wasserstein 2"
    assert line(metrics, most=1) == "critic_loss 3"
    assert line({}) == ""


def test_where_there_is_no_terminal_each_log_is_a_line(clock):
    console = plain()
    with Reporter(console, 0, 1000, 64) as reporter:
        reporter.start_clock(1)
        clock.now += 3.0
        rate = reporter.trained(301, {"loss": 0.123456, "kl": 2.0})
        reporter.evaluated(301, {"nll": 3.0})
        reporter.say("[bold]not markup[/bold] " + "x" * 100)
    # 300 steps of 64 examples in 3 s; 699 steps at 10 ms are left.
    assert rate == pytest.approx(6400)
    assert console.file.getvalue().splitlines() == [
        "step 301/1000  loss 0.1235  kl 2  6,400 examples/s  0:07 left",
        "step 301/1000  held-out  nll 3",
        "[bold]not markup[/bold] " + "x" * 100,
    ]


def test_what_is_not_training_is_not_timed(clock):
    reporter = Reporter(plain(), 0, 100, 10)
    clock.now += 50.0  # compiling
    reporter.start_clock(1)
    clock.now += 1.0
    with reporter.pause("evaluating"):
        clock.now += 30.0
    clock.now += 1.0
    with reporter.pause("saving"):
        clock.now += 5.0
    assert reporter.trained(21, {}) == pytest.approx(20 * 10 / 2.0)
    clock.now += 4.0
    assert reporter.trained(41, {}) == pytest.approx(20 * 10 / 4.0)


def bar(clock, metric, step, steps, seconds):
    """The lines of the bar on a terminal of 80 columns, after so many steps of so many seconds."""
    console = Console(file=io.StringIO(), width=80, force_terminal=True, color_system=None, legacy_windows=False)
    reporter = Reporter(console, 0, steps, 64)
    reporter.start_clock(0)
    clock.now += step * seconds
    reporter.trained(step, {metric: 0.123456, "other": 1.0, "third": 2.0})
    return rendered(console, reporter)


@pytest.mark.parametrize(
    ("metric", "step", "steps", "seconds", "shown"),
    [
        ("loss", 100, 5000, 0.002, "loss 0.1235  0:10 left  32,000 examples/s"),
        ("loss", 300_000, 1_000_000, 0.05, "loss 0.1235  9:43:20 left  1,280 examples/s"),
        ("discriminator_loss", 100, 5000, 0.05, "discriminator_loss 0.1235  4:05 left  1,280 examples/s"),
        # Where there is no room for all, the end is what is cut.
        ("discriminator_loss", 50_000, 100_000, 0.05, "discriminator_loss 0.1235  41:40 left  1,280 exam"),
    ],
)
def test_the_bar_shows_what_matters_on_a_terminal_of_80_columns(clock, metric, step, steps, seconds, shown):
    (text,) = bar(clock, metric, step, steps, seconds)
    assert text.startswith(f"step {step}/{steps} ")
    assert f" {100 * step // steps}% {shown}" in text


@pytest.mark.parametrize(
    "metric", ["loss", "discriminator_loss", "a_name_that_is_longer_than_" + 3 * "anything_" + "loss"]
)
@pytest.mark.parametrize("steps", [10, 100_000, 10**9])
def test_the_bar_is_one_line_whatever_it_says(clock, metric, steps):
    (text,) = bar(clock, metric, steps // 2, steps, 1e-4)
    assert len(text) <= 80


def rendered(console, reporter):
    """The lines of the bar as a terminal would show them."""
    with console.capture() as capture:
        console.print(reporter._bar.get_renderable())
    return capture.get().rstrip("\n").splitlines()


def test_the_bar_says_what_is_going_on(clock):
    console = Console(file=io.StringIO(), width=80, force_terminal=True, color_system=None)
    reporter = Reporter(console, 20, 100, 64)
    assert re.search(r"step 20/100 .* 20% compiling$", rendered(console, reporter)[0].rstrip())
    with reporter.pause("evaluating"):
        assert rendered(console, reporter)[0].rstrip().endswith("evaluating")


def test_the_bar_is_gone_in_the_end_and_lines_stay(clock):
    console = Console(file=io.StringIO(), width=80, force_terminal=True, color_system=None)
    with Reporter(console, 0, 10, 64) as reporter:
        reporter.say("a line")
        clock.now += 1.0
        reporter.trained(5, {"loss": 1.0})
    written = console.file.getvalue()
    assert "a line\n" in written
    # Ends by clearing the bar's line and showing the cursor again.
    assert written.endswith("\x1b[2K")
    assert "\x1b[?25h" in written
