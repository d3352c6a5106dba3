import functools
import json

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from toy_games import toy_game
from toy_runs import POINTS, fit_a_point, program_of, train_in

from gen_jax.data import Split, evaluation_batches
from gen_jax.training import Aux, Player, Turn, digest
from gen_jax.training.checkpoints import Checkpoints
from gen_jax.training.evaluation import Evaluator
from gen_jax.training.loop import Cadence

pytestmark = pytest.mark.usefixtures("compiled_as_for_users")


class Killed(Exception):
    """The run is cut off here."""


def test_a_finished_run_is_left_as_it_is(tmp_path):
    state = train_in(tmp_path, program_of(fit_a_point()), Cadence(4, 1, 0, 0))
    before, events = (tmp_path / "metrics.jsonl").read_bytes(), []
    again = train_in(tmp_path, program_of(fit_a_point()), Cadence(4, 1, 0, 0), events=events)
    assert events == []
    assert digest(again) == digest(state)
    assert (tmp_path / "metrics.jsonl").read_bytes() == before


def noisy_game():
    """Everything that a state may hold: BatchNorm, moments, an average, a carry, repeats, a lazy turn, noise."""
    norm = nn.BatchNorm(use_running_average=False, momentum=0.9)

    def normed(params, variables, x):
        return norm.apply({"params": params["norm"], **variables["norm"]}, x, mutable=["batch_stats"])

    def loss(params, variables, batch, key, now):
        x, updated = normed(params, variables, batch["x"] + 0.1 * jax.random.normal(key, batch["x"].shape))
        error = ((x * params["scale"]["w"][None] - now.carry[None]) ** 2).sum(-1)
        return error, Aux({"x": x[:, 0]}, {"norm": updated})

    def decay(params, variables, batch, key, now):
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
