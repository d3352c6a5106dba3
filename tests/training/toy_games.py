"""Games whose numbers can be worked out by hand, and the least that it takes to play them."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax

from gen_jax.data import Identity, Resident, Split
from gen_jax.training import Aux, Game, Player, Program, init_state
from gen_jax.training.sharding import make_mesh, replicated
from gen_jax.training.step import train_step


def scalar_nets(**values):
    """An `init` of nets that each hold one array `w`, of the given values."""
    return lambda key, example: {net: {"params": {"w": jnp.array(value)}} for net, value in values.items()}


def toy_game(init, players, turns, **fields):
    """A game on points as they are."""
    transforms = {"x": fields.pop("transform", Identity())}
    return Game(**{"init": init, "players": players, "turns": turns, "transforms": transforms} | fields)


def start(game, seed=0):
    """The state before the first step."""
    return init_state(game, jax.random.key(seed), {"x": jnp.zeros((1, 2)), "index": jnp.zeros(1, jnp.int32)})


def numbered_batch(game, size=4):
    """A way to draw batches in which every x is the number of the draw, counted from the start of training."""

    def draw(step, number):
        count = jnp.asarray(step * game.draws + number, jnp.int32)
        return {"x": jnp.full((size, 2), count.astype(jnp.float32)), "index": jnp.arange(size, dtype=jnp.int32)}

    return draw


def steps_of(game, draw=None, *, loop=False, seed=0):
    """Yields (state, metrics of each turn) after each step, from the initial state on; no mesh and no data needed."""
    state, root = start(game, seed), jax.random.key(seed)
    one = functools.partial(train_step, game, draw or numbered_batch(game))
    one_step = jax.jit(functools.partial(one, unroll=not loop), static_argnames="due")
    for step in itertools.count():
        state, metrics = one_step(state, root, due=None if loop else game.due(step))
        yield state, metrics


def after(game, steps, draw=None, **options):
    """The state after so many steps."""
    return next(itertools.islice(steps_of(game, draw, **options), steps - 1, None))[0]


def per_example(batch, value):
    """The same loss for each example."""
    return jnp.full(len(batch["x"]), value)


def linear(net, slope):
    """A loss whose gradient in the weight of `net` is `slope` everywhere."""
    return lambda params, variables, batch, key, now: (per_example(batch, slope * params[net]["w"]), Aux())


def moves(*names, nets, losses, turns, optimizer=None, **fields):
    """A game of scalar nets whose players own the net of their own name and step by their gradient unless told."""
    players = {
        name: Player((name,), loss, optimizer or optax.sgd(1.0)) for name, loss in zip(names, losses, strict=True)
    }
    return toy_game(scalar_nets(**nets), players, turns, **fields)


def weights(game, steps, net="a", **options):
    """The weight of a net after each of so many steps."""
    return [float(state.params[net]["w"]) for state, _ in itertools.islice(steps_of(game, **options), steps)]


def resident(game, x, batch_size, *, seed=0, mesh=None, **entries):
    """Points (size, 2), and other entries of as many rows, as a source of batches."""
    sharding = replicated(mesh or make_mesh(jax.devices()[:1]))
    split = Split(len(x), arrays={"x": np.asarray(x, np.float32), **entries})
    return Resident(split, batch_size=batch_size, seed=seed, draws=game.draws, sharding=sharding)


class Match:
    """A game being played on points (size, 2), all of them in each batch unless told otherwise."""

    def __init__(self, game, x, batch_size=None, seed=0, **entries):
        mesh = make_mesh(jax.devices()[:1])
        source = resident(game, x, batch_size or len(x), seed=seed, **entries)
        # Steps in a loop on the device: nothing here is a convolution, and dispatches cost more than the arithmetic.
        self.program = Program(game, source, mesh, seed, loop=True)
        first = dict(source.batch(source.feed(0), 0, 0))
        example = {name: rows[:1] for name, rows in first.items()}
        state = init_state(game, jax.random.key(seed), example, game.given_nets, first)
        self.state = jax.device_put(state, replicated(mesh))

    def play(self, steps):
        """The state after so many more steps."""
        state = jax.tree.map(jnp.copy, self.state)
        self.state = self.program.advance(state, int(state.step), steps)[0]
        return self.state
