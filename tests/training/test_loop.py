import dataclasses
import functools
import io
import itertools
import json
import math
import re

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from rich.console import Console
from toy_games import resident, scalar_nets, start, toy_game

from gen_jax.data import Split, batch_indices, evaluation_batches
from gen_jax.errors import NonFiniteError
from gen_jax.training import Aux, Player, Program, Turn, digest
from gen_jax.training.checkpoints import Checkpoints
from gen_jax.training.evaluation import Evaluator
from gen_jax.training.loop import Cadence, check_finite, due_metrics, non_finite_leaves, train
from gen_jax.training.metrics_log import MetricsLog
from gen_jax.training.progress import Reporter
from gen_jax.training.sharding import make_mesh, replicated

POINTS = np.random.default_rng(0).normal([1.0, -2.0], 1.0, (24, 2)).astype(np.float32)


class Killed(Exception):
    """The run is cut off here."""


def fit_a_point(where=lambda x, step: x):
    """One player pulls a point to the data; `where` may spoil what it sees of them, by the count of its turns."""

    def loss(params, variables, batch, key, carry):
        return ((params["a"]["w"][None] - where(batch["x"], carry)) ** 2).sum(-1), Aux({"first": params["a"]["w"][0]})

    turn = Turn(("a",), carry_update=lambda carry, metrics, outputs, key: carry + 1)
    return toy_game(
        scalar_nets(a=np.zeros(2, np.float32)), {"a": Player(("a",), loss, optax.sgd(0.1))}, (turn,), carry=1
    )


def program_of(game, loop=False):
    mesh = make_mesh(jax.devices()[:1])
    return Program(game, resident(game, POINTS, 8), mesh, 0, loop=loop)


def train_in(directory, program, cadence, *, evaluate=lambda step, state: {"nll": float(step)}, events=None):
    """Trains in a directory as the command does, continuing what is there. Appends (what, step) to `events`."""
    happened = (lambda *event: None) if events is None else (lambda *event: events.append(event))

    class Log(MetricsLog):
        def write(self, step, split, *metrics):
            happened(split, step)
            super().write(step, split, *metrics)

    class Saver(Checkpoints):
        def save(self, step, state, metadata):
            assert int(state.step) == step == metadata["step"]
            happened("save", step)
            super().save(step, state, metadata)

    checkpoints = Saver(directory / "checkpoints", keep=2)
    begin = checkpoints.latest()
    state = jax.device_put(start(program.game), replicated(program.mesh))
    if begin is not None:
        state = checkpoints.restore(begin, state)
    log = Log(directory, begin or 0)
    try:
        with Reporter(Console(file=io.StringIO()), begin or 0, cadence.steps, 8) as reporter:
            options = {"checkpoints": checkpoints, "log": log, "reporter": reporter}
            return train(program, state, cadence, **options, evaluate=evaluate)
    finally:
        log.close()
        checkpoints.close()


@pytest.mark.parametrize("periods", list(itertools.product((0, 1, 3), (0, 2, 6), (0, 5, 12))))
@pytest.mark.parametrize("steps", [1, 7, 12])
def test_a_cadence_agrees_with_counting(periods, steps):
    cadence = Cadence(steps, *periods)
    happens = {
        period: [step for step in range(1, steps + 1) if step == steps or (period and step % period == 0)]
        for period in periods
    }
    for period in periods:
        assert [step for step in range(1, steps + 1) if cadence.due(period, step)] == happens[period]
    for step in range(steps):
        assert cadence.next_event(step) == min(s for period in periods for s in happens[period] if s > step)


@pytest.mark.parametrize("loop", [False, True], ids=["unrolled", "looped"])
def test_everything_happens_when_it_is_due_in_the_order_log_evaluate_save(tmp_path, loop):
    events = []

    def evaluate(step, state):
        assert int(state.step) == step
        events.append(("evaluate", step))
        return {"nll": 1.0}

    state = train_in(tmp_path, program_of(fit_a_point(), loop), Cadence(11, 2, 4, 6), evaluate=evaluate, events=events)
    assert int(state.step) == 11
    happened = [("train", 2), ("train", 4), ("evaluate", 4), ("eval", 4), ("train", 6), ("save", 6)]
    happened += [("train", 8), ("evaluate", 8), ("eval", 8), ("train", 10)]
    happened += [("train", 11), ("evaluate", 11), ("eval", 11), ("save", 11)]
    assert events == happened


def test_logged_metrics_are_those_of_their_step(tmp_path):
    train_in(tmp_path, program_of(fit_a_point()), Cadence(7, 2, 0, 0))
    weights, point = [], np.zeros(2)
    for step in range(7):
        weights.append(point[0])
        point = point - 0.2 * (point - POINTS[np.asarray(batch_indices(0, step, 8, 24))].mean(0))
    lines = [line for line in jsonl(tmp_path) if line["split"] == "train"]
    assert [line["step"] for line in lines] == [2, 4, 6, 7]
    np.testing.assert_allclose(
        [line["first"] for line in lines], [weights[step - 1] for step in (2, 4, 6, 7)], rtol=1e-5
    )


def jsonl(directory):
    return [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]


def test_metrics_of_turns_that_were_not_taken_are_not_logged():
    game = dataclasses.replace(fit_a_point(), turns=(Turn(("a",)), Turn(("a",), every=3)))
    metrics = ({"loss": jnp.float32(1)}, {"penalty": jnp.float32(2)})
    assert [due_metrics(game, step, metrics) for step in (1, 2, 3, 4)] == [
        {"loss": 1},
        {"loss": 1},
        {"loss": 1, "penalty": 2},
        {"loss": 1},
    ]


def test_a_finished_run_is_left_as_it_is(tmp_path):
    state = train_in(tmp_path, program_of(fit_a_point()), Cadence(4, 1, 0, 0))
    before, events = (tmp_path / "metrics.jsonl").read_bytes(), []
    again = train_in(tmp_path, program_of(fit_a_point()), Cadence(4, 1, 0, 0), events=events)
    assert events == []
    assert digest(again) == digest(state)
    assert (tmp_path / "metrics.jsonl").read_bytes() == before


@pytest.mark.parametrize("loop", [False, True], ids=["unrolled", "looped"])
@pytest.mark.parametrize(
    ("spoilt_at", "message", "saved"),
    [
        (2, "loss stopped being finite at or before step 2; there is no checkpoint yet", []),
        (6, "loss stopped being finite at or before step 6; the last good checkpoint is that of step 4", [4]),
        # Logged only in the eighth step, when the point is lost as well; its checkpoint is due, and is not written.
        (7, "first, loss stopped being finite at or before step 8; the last good checkpoint is that of step 4", [4]),
        (8, "loss stopped being finite at or before step 8; the last good checkpoint is that of step 4", [4]),
    ],
)
def test_a_loss_that_stops_being_finite_ends_the_run(tmp_path, spoilt_at, message, saved, loop):
    game = fit_a_point(lambda x, step: jnp.where(step >= spoilt_at, jnp.inf, x))
    events = []
    with pytest.raises(NonFiniteError, match=f"^{re.escape(message)}$"):
        train_in(tmp_path, program_of(game, loop), Cadence(20, 2, 0, 4), events=events)
    assert [step for what, step in events if what == "save"] == saved
    assert Checkpoints(tmp_path / "checkpoints").steps() == saved
    # What went wrong is on record, as null.
    last = jsonl(tmp_path)[-1]
    assert last["loss"] is None
    assert last["step"] == spoilt_at + spoilt_at % 2


def test_a_parameter_that_is_not_finite_is_not_saved_though_nothing_was_logged(tmp_path):
    def spoil(owned):
        return jax.tree.map(lambda w: jnp.where(jnp.abs(w) > 0.5, jnp.nan, w), owned)

    game = fit_a_point()
    player = dataclasses.replace(
        game.players["a"], project=spoil, loss=lambda params, *rest: (loss_of_nothing(params), Aux())
    )
    game = dataclasses.replace(game, players={"a": player})
    message = (
        "averages/a/w, params/a/w stopped being finite at or before step 6; the last good checkpoint is that of step 4"
    )
    game = dataclasses.replace(game, averages={"a": optax.constant_schedule(0.5)})
    with pytest.raises(NonFiniteError, match=f"^{message}$"):
        train_in(tmp_path, program_of(game), Cadence(20, 0, 0, 2))
    assert Checkpoints(tmp_path / "checkpoints").steps() == [2, 4]


def loss_of_nothing(params):
    """A finite loss whatever the parameters, that moves them by 0.1 a step under a rate of 0.1."""
    moving = -params["a"]["w"].sum()
    return jnp.full(8, moving - jax.lax.stop_gradient(jnp.where(jnp.isnan(moving), 0.0, moving)))


def test_leaves_that_are_not_finite_are_found_by_name():
    state = start(fit_a_point())
    bad = dataclasses.replace(
        state, averages={"a": {"w": jnp.array([0.0, -jnp.inf])}, "b": {"w": jnp.array([jnp.nan], jnp.bfloat16)}}
    )
    found = {name: bool(value) for name, value in non_finite_leaves(bad).items()}
    assert found == {"averages/a/w": True, "averages/b/w": True, "params/a/w": False}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_finite_metrics_pass_and_others_are_named(value):
    check_finite({"loss": 1.0, "kl": -1e30}, 3, None)
    with pytest.raises(
        NonFiniteError, match=r"^kl, nll stopped being finite at or before step 3; there is no checkpoint"
    ):
        check_finite({"loss": 1.0, "kl": value, "nll": value}, 3, None)


def noisy_game():
    """Everything that a state may hold: BatchNorm, moments, an average, a carry, repeats, a lazy turn, noise."""
    norm = nn.BatchNorm(use_running_average=False, momentum=0.9)

    def normed(params, variables, x):
        return norm.apply({"params": params["norm"], **variables["norm"]}, x, mutable=["batch_stats"])

    def loss(params, variables, batch, key, carry):
        x, updated = normed(params, variables, batch["x"] + 0.1 * jax.random.normal(key, batch["x"].shape))
        error = ((x * params["scale"]["w"][None] - carry[None]) ** 2).sum(-1)
        return error, Aux({"x": x[:, 0]}, {"norm": updated})

    def decay(params, variables, batch, key, carry):
        return jnp.full(len(batch["x"]), (params["scale"]["w"] ** 2).sum()), Aux()

    def update(carry, metrics, outputs, key):
        return 0.5 * carry + 0.1 * metrics["player_loss"] + 0.01 * jax.random.normal(key, (2,))

    def evaluate(params, variables, batch, key):
        x = batch["x"] * variables["norm"]["batch_stats"]["mean"][None] + jax.random.normal(key, batch["x"].shape)
        return {"error": (x * params["scale"]["w"][None]).sum(-1)}

    def init(key, example):
        return {"norm": norm.init(key, example["x"]), "scale": {"params": {"w": jax.random.normal(key, (2,))}}}

    players = {
        "player": Player(("norm", "scale"), loss, optax.adam(optax.linear_schedule(0.1, 0.01, 10))),
        "decay": Player(("scale",), decay, optax.adam(0.01)),
    }
    turns = (Turn(("player",), repeat=2, carry_update=update), Turn(("decay",), every=3, fresh=False))
    averages = {"scale": lambda step: jnp.minimum(0.9, (1 + step) / (10 + step))}
    return toy_game(init, players, turns, averages=averages, carry=np.zeros(2, np.float32), evaluate=evaluate)


@pytest.fixture(scope="module", params=[False, True], ids=["unrolled", "looped"])
def unbroken(request, tmp_path_factory):
    """(program, evaluation, digest, metrics.jsonl) of a run of ten steps that nothing interrupts."""
    program = program_of(noisy_game(), loop=request.param)
    held_out = functools.partial(evaluation_batches, Split(24, arrays={"x": POINTS}), 8)
    evaluator = Evaluator(program.game, held_out, program.mesh, 0)

    def evaluate(step, state):
        return evaluator(state)

    directory = tmp_path_factory.mktemp("unbroken")
    state = train_in(directory, program, Cadence(10, 1, 3, 5), evaluate=evaluate)
    return program, evaluate, digest(state), (directory / "metrics.jsonl").read_text()


@pytest.mark.parametrize(("killed_at", "continues_after"), [(3, None), (6, 5), (9, 5)])
def test_a_run_that_was_cut_off_and_continued_is_the_unbroken_run_to_the_bit(
    tmp_path, unbroken, killed_at, continues_after
):
    program, evaluate, expected, log = unbroken

    def cut_off(step, state):
        if step == killed_at:
            raise Killed
        return evaluate(step, state)

    with pytest.raises(Killed):
        train_in(tmp_path, program, Cadence(10, 1, 3, 5), evaluate=cut_off)
    assert Checkpoints(tmp_path / "checkpoints").latest() == continues_after
    continued = train_in(tmp_path, program, Cadence(10, 1, 3, 5), evaluate=evaluate)
    assert digest(continued) == expected
    assert (tmp_path / "metrics.jsonl").read_text() == log


def test_a_run_that_ended_and_is_given_more_steps_is_one_that_had_them_from_the_start(tmp_path, unbroken):
    program, evaluate, expected, log = unbroken
    # Six steps end with a log, an evaluation and a checkpoint, of which only the checkpoint was not due anyway.
    train_in(tmp_path, program, Cadence(6, 1, 3, 5), evaluate=evaluate)
    extended = train_in(tmp_path, program, Cadence(10, 1, 3, 5), evaluate=evaluate)
    assert digest(extended) == expected
    assert (tmp_path / "metrics.jsonl").read_text() == log


def test_the_unbroken_run_has_something_to_get_wrong(unbroken):
    lines = [json.loads(line) for line in unbroken[-1].splitlines()]
    assert [line["step"] for line in lines if line["split"] == "train"] == list(range(1, 11))
    assert [line["step"] for line in lines if line["split"] == "eval"] == [3, 6, 9, 10]
    assert len({line["error"] for line in lines if line["split"] == "eval"}) == 4
    assert len({line["player_loss"] for line in lines if line["split"] == "train"}) == 10
    assert ["decay_loss" in line for line in lines if line["split"] == "train"] == [n % 3 == 0 for n in range(1, 11)]
