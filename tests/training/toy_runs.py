"""Training runs of toys, in a directory, with everything that belongs to one."""

import io
import json

import jax
import numpy as np
import optax
from rich.console import Console
from toy_games import resident, scalar_nets, start, toy_game

from gen_jax.errors import NonFiniteError
from gen_jax.training import Aux, Player, Program, Turn
from gen_jax.training.checkpoints import Checkpoints
from gen_jax.training.loop import train
from gen_jax.training.metrics_log import MetricsLog
from gen_jax.training.progress import Reporter
from gen_jax.training.sharding import make_mesh, replicated

POINTS = np.random.default_rng(0).normal([1.0, -2.0], 1.0, (24, 2)).astype(np.float32)


def fit_a_point(where=lambda x, step: x):
    """One player pulls a point to the data; `where` may spoil what it sees of them, by the count of its turns."""

    def loss(params, variables, batch, key, now):
        return ((params["a"]["w"][None] - where(batch["x"], now.carry)) ** 2).sum(-1), Aux(
            {"first": params["a"]["w"][0]}
        )

    turn = Turn(("a",), carry_update=lambda carry, metrics, outputs, key: carry + 1)
    return toy_game(
        scalar_nets(a=np.zeros(2, np.float32)), {"a": Player(("a",), loss, optax.sgd(0.1))}, (turn,), carry=1
    )


def program_of(game, loop=False):
    """The program of a game on these points, on one device."""
    mesh = make_mesh(jax.devices()[:1])
    return Program(game, resident(game, POINTS, 8), mesh, 0, loop=loop)


def train_in(directory, program, cadence, *, evaluate=lambda step, state: {"nll": float(step)}, events=None):
    """Trains in a directory as the command does, continuing what is there.

    Appends (what, step) to `events`, and ("stopped", lines on disk) where the numbers stop being finite.
    """
    happened = (lambda *event: None) if events is None else (lambda *event: events.append(event))

    class Log(MetricsLog):
        def write(self, step, split, *metrics):
            nonlocal lines_written
            lines_written += 1
            happened(split, step)
            super().write(step, split, *metrics)

    class Saver(Checkpoints):
        def save(self, step, state, metrics):
            assert int(state.step) == step
            # A checkpoint assumes that all lines up to its step are on disk.
            assert len(jsonl(directory)) == lines_before + lines_written
            happened("save", step)
            super().save(step, state, {})

    checkpoints = Saver(directory / "checkpoints", keep=2)
    begin = checkpoints.latest()
    state = jax.device_put(start(program.game), replicated(program.mesh))
    if begin is not None:
        state = checkpoints.restore(begin, state)
    log = Log(directory, begin or 0)
    lines_before, lines_written = len(jsonl(directory)), 0
    try:
        with Reporter(Console(file=io.StringIO()), begin or 0, cadence.steps, 8) as reporter:
            options = {"checkpoints": checkpoints, "log": log, "reporter": reporter}
            return train(program, state, cadence, **options, evaluate=evaluate)
    except NonFiniteError:
        happened("stopped", jsonl(directory))
        raise
    finally:
        log.close()
        checkpoints.close()


def jsonl(directory):
    """The lines of a run's metrics.jsonl."""
    return [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
