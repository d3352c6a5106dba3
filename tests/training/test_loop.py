import dataclasses
import itertools
import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from toy_games import start
from toy_runs import POINTS, fit_a_point, jsonl, program_of, train_in

from gen_jax.data import batch_indices
from gen_jax.errors import NonFiniteError
from gen_jax.training import Aux, Turn
from gen_jax.training.checkpoints import Checkpoints
from gen_jax.training.loop import Cadence
from gen_jax.training.nonfinite import bad_leaves, check_finite, due_metrics


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


def test_metrics_of_turns_that_were_not_taken_are_not_logged():
    game = dataclasses.replace(fit_a_point(), turns=(Turn(("a",)), Turn(("a",), every=3)))
    metrics = ({"loss": jnp.float32(1)}, {"penalty": jnp.float32(2)})
    assert [due_metrics(game, step, metrics) for step in (1, 2, 3, 4)] == [
        {"loss": 1},
        {"loss": 1},
        {"loss": 1, "penalty": 2},
        {"loss": 1},
    ]


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
    # What went wrong was on record by then, as null.
    what, lines = events[-1]
    assert what == "stopped"
    assert [line["loss"] is None for line in lines] == [False] * (len(lines) - 1) + [True]
    assert lines[-1]["step"] == spoilt_at + spoilt_at % 2


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
    assert bad_leaves(bad) == ["averages/a/w", "averages/b/w"]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_finite_metrics_pass_and_others_are_named(value):
    check_finite({"loss": 1.0, "kl": -1e30}, 3, lambda: None)
    with pytest.raises(
        NonFiniteError, match=r"^kl, nll stopped being finite at or before step 3; there is no checkpoint"
    ):
        check_finite({"loss": 1.0, "kl": value, "nll": value}, 3, lambda: None)


@pytest.mark.parametrize(
    ("steps", "asked", "expected"),
    [
        (10_000, (None, None, None), (500, 2_500, 2_500)),
        (800_000, (None, None, None), (500, 20_000, 10_000)),
        (4_000, (None, None, None), (200, 1_000, 1_000)),
        (3, (None, None, None), (1, 1, 1)),
        (1, (None, None, None), (1, 1, 1)),
        (4_000, (0, 0, 0), (0, 0, 0)),
        (4_000, (7, None, 9_000), (7, 1_000, 9_000)),
    ],
)
def test_periods_that_are_not_given_are_a_share_of_the_steps(steps, asked, expected):
    assert Cadence.of(steps, *asked) == Cadence(steps, *expected)
