import dataclasses
import functools
import gc

import flax.linen as nn
import jax
import jax.extend
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from toy_games import resident, scalar_nets, start, toy_game

from gen_jax.data import Identity, Split, Streamed
from gen_jax.kernels.convolution import convolution
from gen_jax.training import Aux, Player, Program, Turn, digest
from gen_jax.training import keys as key_paths
from gen_jax.training.sharding import make_mesh, replicated, split_batch
from gen_jax.training.state import leaves_by_name

pytestmark = pytest.mark.usefixtures("compiled_as_for_users")

POINTS = np.random.default_rng(0).normal([2.0, -1.0], 0.5, (40, 2)).astype(np.float32)


class MLP(nn.Module):
    """Two layers, from and to points."""

    @nn.compact
    def __call__(self, x):
        return nn.Dense(2)(nn.tanh(nn.Dense(8)(x)))


def adversarial_game():
    """A generator and a critic of small networks with repeats, an average and a carry."""
    mlp = MLP()

    def fake(params, batch, key):
        return mlp.apply(params["generator"], jax.random.normal(key, batch["x"].shape))

    def score(params, x):
        return mlp.apply(params["critic"], x).sum(-1)

    def critic(params, variables, batch, key, now):
        real, faked = score(params, batch["x"]), score(params, fake(params, batch, key))
        return jax.nn.softplus(-real) + jax.nn.softplus(faked), Aux({"real": real})

    def generator(params, variables, batch, key, now):
        return jax.nn.softplus(-score(params, fake(params, batch, key))), Aux(outputs=batch["x"])

    def remember(carry, metrics, outputs, key):
        return {"scale": carry["scale"] * 0.5 + jax.nn.sigmoid(metrics["generator_loss"]), "last": outputs["generator"]}

    def init(key, example):
        nets = ("generator", "critic")
        return {net: {"params": dict(mlp.init(key_paths.derive(key, net), example["x"]))} for net in nets}

    players = {
        "critic": Player(("critic",), critic, optax.adam(0.02)),
        "generator": Player(("generator",), generator, optax.adam(0.02)),
    }
    turns = (Turn(("critic",), repeat=2), Turn(("generator",), fresh=False, carry_update=remember))
    carry = {"scale": 0.5, "last": np.zeros((8, 2), np.float32)}
    averages = {"generator": optax.constant_schedule(0.9)}
    return toy_game(init, players, turns, averages=averages, carry=carry)


def lazy_game():
    """Two weights against each other in turns of every kind: repeated, lazy with and without a batch, looking again."""

    def error(own, other):
        def loss(params, variables, batch, key, now):
            noise = jax.random.uniform(key, batch["x"].shape)
            return ((params[own]["w"] * batch["x"] - params[other]["w"] * noise - now.carry) ** 2).sum(-1), Aux()

        return loss

    players = {
        "a": Player(("a",), error("a", "b"), optax.adam(0.02)),
        "penalty": Player(("a",), error("a", "a"), "a"),
        "b": Player(("b",), error("b", "a"), optax.adam(0.02)),
    }
    turns = (
        Turn(("a",), repeat=2),
        Turn(("penalty",), every=2, fresh=False),
        Turn(("a",), every=2),
        Turn(("b",), repeat=2, fresh=False, carry_update=lambda carry, metrics, outputs, key: metrics["b_loss"] / 9),
    )
    return toy_game(scalar_nets(a=1.0, b=0.5), players, turns, averages={"a": lambda step: 0.9}, carry=0.5)


def first_state(game, mesh):
    return jax.device_put(start(game), replicated(mesh))


def run(game, source, mesh, steps, *, loop, stride=1):
    """The state after so many steps, `stride` at most a dispatch, and the metrics of each dispatch's last step."""
    program, state, step, history = Program(game, source, mesh, 0, loop=loop), first_state(game, mesh), 0, []
    while step < steps:
        state, step, metrics = program.advance(state, step, min(stride, steps - step))
        history.append(metrics)
    assert int(state.step) == step == steps
    return state, history


def assert_states_close(one, other, rtol=2e-5, atol=2e-6):
    one, other = leaves_by_name(one), leaves_by_name(other)
    assert one.keys() == other.keys()
    for name, leaf in one.items():
        np.testing.assert_allclose(leaf, other[name], rtol=rtol, atol=atol, err_msg=name)


@functools.cache
def run_on_devices(count):
    """Six steps on so many devices: the state and the metrics of each step, on the host, and how the state lay."""
    game, mesh = adversarial_game(), make_mesh(jax.devices()[:count])
    state, history = run(game, resident(game, POINTS, 8, mesh=mesh), mesh, 6, loop=False)
    whole = [leaf.sharding.is_equivalent_to(replicated(mesh), leaf.ndim) for leaf in jax.tree.leaves(state)]
    return *jax.device_get((state, history)), whole


@pytest.mark.slow
def test_one_device_and_eight_give_the_same_curves():
    (one, one_curve, _), (eight, eight_curve, whole) = run_on_devices(1), run_on_devices(8)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=2e-5, atol=2e-6), one_curve, eight_curve)
    assert_states_close(one, eight)
    assert all(whole)
    assert len({float(metrics[0]["critic_loss"]) for metrics in one_curve}) == 6


@pytest.mark.slow
def test_a_loop_on_the_device_and_one_in_python_play_the_same_game():
    game, mesh = lazy_game(), make_mesh(jax.devices()[:1])
    python, one_by_one = run(game, resident(game, POINTS, 8), mesh, 6, loop=False)
    device, three_by_three = run(game, resident(game, POINTS, 8), mesh, 6, loop=True, stride=3)
    assert_states_close(python, device)
    # Of several steps in one dispatch the metrics of the last are given. Lazy turns are due in the sixth.
    assert (len(one_by_one), len(three_by_three)) == (6, 2)
    jax.tree.map(
        lambda one, other: np.testing.assert_allclose(one, other, rtol=2e-5), one_by_one[-1], three_by_three[-1]
    )


def linear_game(look=lambda x: None, repeat=2):
    """One weight, moved by the mean of the points' first dimension; what is quickest to compile."""

    def loss(params, variables, batch, key, now):
        look(batch["x"])
        return params["a"]["w"] * batch["x"][:, 0], Aux()

    players = {"a": Player(("a",), loss, optax.sgd(0.5, momentum=0.9))}
    averages = {"a": optax.constant_schedule(0.9)}
    return toy_game(scalar_nets(a=1.0), players, (Turn(("a",), repeat=repeat),), averages=averages)


def test_each_device_computes_the_loss_of_its_share_of_the_batch():
    seen, mesh = [], make_mesh()
    game = linear_game(look=lambda x: jax.debug.inspect_array_sharding(x, callback=seen.append))
    Program(game, resident(game, POINTS, 16, mesh=mesh), mesh, 0).advance(first_state(game, mesh), 0, 1)
    assert {sharding.shard_shape((16, 2)) for sharding in seen} == {(2, 2)}


@pytest.mark.parametrize("loop", [False, True], ids=["unrolled", "looped"])
def test_a_state_that_was_advanced_is_gone(loop):
    game, mesh = linear_game(), make_mesh(jax.devices()[:1])
    state, program = first_state(game, mesh), Program(game, resident(game, POINTS, 8), mesh, 0, loop=loop)
    program.advance(state, 0, 1)
    assert {name for name, leaf in leaves_by_name(state).items() if not leaf.is_deleted()} == set()
    with pytest.raises(RuntimeError, match="deleted"):
        np.asarray(state.params["a"]["w"])
    with pytest.raises((RuntimeError, ValueError), match=r"deleted|donated"):
        program.advance(state, 0, 1)


def run_streamed(game, mesh, steps, **options):
    split = Split(len(POINTS), read=lambda index: {"x": POINTS[index]})
    stream = Streamed(split, batch_size=8, seed=0, draws=game.draws, sharding=split_batch(mesh, 1), threads=2)
    try:
        return run(game, stream, mesh, steps, **options)
    finally:
        stream.close()


def test_a_stream_and_arrays_on_the_device_give_identical_states():
    streamed, _ = run_streamed(adversarial_game(), make_mesh(), 6, loop=False)
    assert digest(streamed) == digest(run_on_devices(8)[0])


def test_a_stream_hands_a_loop_on_the_device_one_step_at_a_time():
    game, mesh = linear_game(), make_mesh()
    in_memory, at_once = run(game, resident(game, POINTS, 8, mesh=mesh), mesh, 6, loop=True, stride=3)
    streamed, one_by_one = run_streamed(game, mesh, 6, loop=True, stride=3)
    assert (len(at_once), len(one_by_one)) == (2, 6)
    assert digest(streamed) == digest(in_memory)


def test_a_transform_has_a_key_of_its_own_for_each_batch():
    @dataclasses.dataclass(frozen=True)
    class Noisy(Identity):
        def train(self, x, key):
            return jax.random.normal(key, x.shape)

    def look(params, variables, batch, key, now):
        return batch["x"][:, 0] * params["a"]["w"], Aux(outputs=batch["x"])

    def remember(carry, metrics, outputs, key):
        return jnp.roll(carry, -1, axis=0).at[-1].set(outputs["a"])

    turns = (Turn(("a",), repeat=2, carry_update=remember), Turn(("a",), fresh=False, carry_update=remember))
    players = {"a": Player(("a",), look, optax.sgd(0.1))}
    game = toy_game(scalar_nets(a=1.0), players, turns, transform=Noisy(), carry=np.zeros((6, 8, 2), np.float32))
    mesh = make_mesh(jax.devices()[:1])
    state, _ = run(game, resident(game, POINTS, 8), mesh, 2, loop=False)
    numbers = [(0, 0), (0, 1), (0, 1), (1, 0), (1, 1), (1, 1)]
    for seen, (step, number) in zip(state.carry, numbers, strict=True):
        key = key_paths.derive(jax.random.key(0), "transform", step, number)
        np.testing.assert_array_equal(seen, jax.random.normal(key, (8, 2)))


@pytest.mark.slow
@pytest.mark.parametrize("repeat", [1, 2])
@pytest.mark.parametrize("loop", [False, True, None], ids=["unrolled", "looped", "as it likes"])
def test_what_a_program_was_traced_to_is_not_kept(loop, repeat):
    game, mesh, before = linear_game(repeat=repeat), make_mesh(jax.devices()[:1]), len(traced("_step"))
    program = Program(game, resident(game, POINTS, 8), mesh, 0, loop=loop)
    state, _, _ = program.advance(first_state(game, mesh), 0, 1)
    assert len(traced("_step")) == before

    # A jitted function keeps it, and is found to.
    @jax.jit
    def _step(state):
        return state.step + 1

    _step(state)
    assert len(traced("_step")) > before


def traced(name):
    """What is left of functions of that name that were traced."""
    gc.collect()
    # To ask some things whether they are an instance warns.
    left = [thing for thing in gc.get_objects() if type(thing) is jax.extend.core.Jaxpr]
    return [jaxpr for jaxpr in left if jaxpr.debug_info.func_name == name]


@pytest.mark.parametrize(("loop", "steps"), [(False, 1), (True, 5)])
def test_a_program_loops_where_it_is_told_to(loop, steps):
    game, mesh = linear_game(), make_mesh(jax.devices()[:1])
    program = Program(game, resident(game, POINTS, 8), mesh, 0, loop=loop)
    state, step, _ = program.advance(first_state(game, mesh), 0, 5)
    assert int(state.step) == step == steps


def convolving_game(taps, repeat, look=lambda: None, convolve=convolution):
    """A kernel of so many taps that is moved by a pixel of what it makes of points."""

    # Channels too many for a convolution of 3x3 to be one product, and too few for Winograd's form.
    def loss(params, variables, batch, key, now):
        look()
        images = jnp.broadcast_to(batch["x"].reshape(-1, 1, 2, 1), (len(batch["x"]), 1, 2, 5))
        return convolve(images, params["a"]["w"])[:, 0, 0, 0], Aux()

    players = {"a": Player(("a",), loss, optax.sgd(0.5))}
    return toy_game(scalar_nets(a=jnp.ones((taps, taps, 5, 5))), players, (Turn(("a",), repeat=repeat),))


@pytest.mark.parametrize(
    ("taps", "repeat", "times"),
    [(1, 1, 1), (3, 1, 1), (1, 2, 1), (3, 2, 2)],
    ids=["in a loop", "by itself", "repeats in a loop", "repeats by themselves"],
)
def test_a_step_is_traced_once_unless_its_repeats_are_to_be_written_out(taps, repeat, times):
    seen, mesh = [], make_mesh(jax.devices()[:1])
    game = convolving_game(taps, repeat, look=lambda: seen.append(1))
    program, state = Program(game, resident(game, POINTS, 8), mesh, 0), first_state(game, mesh)
    for step in range(3):
        state, _, _ = program.advance(state, step, 1)
    assert len(seen) == times


@pytest.mark.parametrize(
    ("devices", "taps", "options", "steps"),
    [
        (1, 1, {}, 3),
        (1, 3, {}, 1),
        (8, 1, {}, 1),
        (2, 1, {"cpu_parts": True}, 3),
        (2, 3, {"cpu_parts": True}, 1),
        (1, 1, {"reproducible": True}, 1),
    ],
    ids=[
        "nothing convolves",
        "XLA convolves",
        "several devices",
        "nothing convolves in parts",
        "XLA convolves in parts",
        "reproducible",
    ],
)
def test_steps_are_looped_over_on_a_cpu_where_xla_convolves_nothing_itself(devices, taps, options, steps):
    mesh = make_mesh(jax.devices()[:devices])
    game = convolving_game(taps, repeat=2)
    program = Program(game, resident(game, POINTS, 8, mesh=mesh), mesh, 0, **options)
    state, step, _ = program.advance(first_state(game, mesh), 0, 3)
    assert int(state.step) == step == steps
    other, _ = run(game, resident(game, POINTS, 8, mesh=mesh), mesh, steps, loop=True, stride=steps)
    assert_states_close(state, other)


def convolution_of_another_library(images, kernel):
    return jax.lax.conv_general_dilated(images, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


@pytest.mark.parametrize(
    ("game", "steps"),
    [
        (lambda: linear_game(), 3),
        (lambda: convolving_game(1, 1), 3),
        (lambda: convolving_game(1, 1, convolve=convolution_of_another_library), 1),
    ],
    ids=["no kernels", "known kernels", "unknown kernels"],
)
def test_a_cpu_loops_over_steps_unless_a_parameter_is_the_kernel_of_an_unknown_convolution(game, steps):
    game, mesh = game(), make_mesh(jax.devices()[:1])
    program = Program(game, resident(game, POINTS, 8), mesh, 0)
    assert program.advance(first_state(game, mesh), 0, 3)[1] == steps
