import pytest

from benchmarks.speed.measuring import MOST_STEPS, Pairs, Worker, WorkerFailed, alone, alternate, percentile, steps_for


class Fake:
    """Takes as long as it is told for each step, and keeps a record of who was asked for how many."""

    def __init__(self, name, per_step, record, slow_first=0.0):
        self.name, self.per_step, self.record, self.extra = name, per_step, record, slow_first

    def run(self, steps):
        self.record.append((self.name, steps))
        taken, self.extra = steps * self.per_step(len(self.record)) + self.extra, 0.0
        return taken


def constant(seconds):
    return lambda turn: seconds


def test_turns_alternate_and_take_about_as_long_as_asked():
    record, pauses = [], []
    ours, theirs = Fake("ours", constant(0.01), record), Fake("theirs", constant(0.25), record)
    pairs = alternate(ours, theirs, pairs=3, seconds=2.0, pause=lambda: pauses.append(len(record)))
    # The first step after a rest is not timed.
    assert record[-12:] == [("ours", 1), ("ours", 200), ("theirs", 1), ("theirs", 8)] * 3
    assert pairs.ours == pytest.approx([0.01] * 3)
    assert pairs.theirs == pytest.approx([0.25] * 3)
    # One after each turn, and after each side has found its number of steps.
    assert len(pauses) == 2 + 6
    assert pairs.ratio == pytest.approx(25)


def test_what_a_rest_costs_is_not_timed():
    ours, theirs = Fake("ours", constant(0.01), []), Fake("theirs", constant(0.25), [])

    def rest():
        ours.extra = theirs.extra = 7.0

    pairs = alternate(ours, theirs, pairs=3, seconds=2.0, pause=rest)
    assert pairs.ours == pytest.approx([0.01] * 3)
    assert pairs.theirs == pytest.approx([0.25] * 3)


def test_ratios_are_of_pairs_so_that_a_machine_that_slows_down_does_not_matter():
    record = []
    drift = [Fake(name, lambda turn, s=s: s * (1 + turn / 2), record) for name, s in (("ours", 1.0), ("theirs", 2.0))]
    pairs = alternate(*drift, pairs=4, seconds=0.5, pause=lambda: None)
    assert max(pairs.ours) > 1.5 * min(pairs.ours)
    assert pairs.spread[0] > 2.0
    assert pairs.spread[1] < 2.8


def test_median_and_spread_of_ratios():
    pairs = Pairs([1.0, 2.0, 1.0, 1.0], [1.0, 6.0, 2.0, 8.0])
    assert pairs.ratios == [1.0, 3.0, 2.0, 8.0]
    assert pairs.ratio == 2.5
    assert pairs.spread == (1.0, 8.0)


def test_percentiles_leave_out_what_is_outside():
    values = list(range(21))
    assert percentile(values, 0.1) == 2
    assert percentile(values, 0.9) == 18
    assert percentile([3.0], 0.1) == percentile([3.0], 0.9) == 3.0


@pytest.mark.parametrize(("per_step", "expected"), [(10.0, 1), (0.5, 4), (0.0003, 6667), (1e-12, MOST_STEPS)])
def test_number_of_steps_fills_the_time(per_step, expected):
    assert steps_for(2.0, Fake("one", constant(per_step), [])) == expected


def test_number_of_steps_is_not_misled_by_a_slow_first_one():
    record = []
    # Half of the time that a turn takes is not yet much; what matters is that later steps are measured by themselves.
    assert steps_for(4.0, Fake("one", constant(0.01), record, slow_first=0.4)) == 400
    assert record[0] == ("one", 1)


def test_alone_is_the_median_of_turns():
    times = iter([1.0, 0.4, 1.9, 0.6])
    assert alone(Fake("one", lambda turn: next(times), []), seconds=1.0) == 0.6


def test_alone_takes_a_single_turn_where_it_is_long():
    record = []
    assert alone(Fake("one", constant(10.0), record), seconds=1.0) == 10.0
    assert record == [("one", 1)] * 2


def test_a_worker_answers_over_pipes_and_says_what_goes_wrong():
    with Worker("gen_jax", 1, {"JAX_PLATFORMS": "cpu"}) as worker:
        assert worker.ask("describe", device="cpu")["device"] == "cpu"
        with pytest.raises(WorkerFailed, match="ValueError: nothing is built yet"):
            worker.run(1)
        # And is still there.
        product = worker.ask("product", size=16, device="cpu", precision="float32")
        assert product["seconds"] > 0
        assert worker.run(3) > 0
        assert worker.ask("watch").keys() == {"reset"}
        found = worker.ask("memory")
        assert 0 < found["stepping"] <= found["process"]


def test_a_worker_that_ends_is_told_with_its_last_words():
    with Worker("nothing", 1) as worker, pytest.raises(WorkerFailed, match="ended with code 1: KeyError: 'nothing'"):
        worker.ask("describe", device="cpu")
