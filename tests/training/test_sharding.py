import dataclasses
import functools
import io

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import toy_experiment
from jax.sharding import AxisType, PartitionSpec
from rich.console import Console
from toy_games import resident, start, toy_game

import gen_jax
from gen_jax.preflight.collectives import collectives
from gen_jax.run.train import train_run
from gen_jax.training import Aux, Player, Program, Turn, digest
from gen_jax.training.checkpoints import Checkpoints
from gen_jax.training.sharding import make_mesh, replicated, split_batch, state_shardings

pytestmark = pytest.mark.usefixtures("compiled_as_for_users")


@pytest.mark.parametrize("count", [1, 2, 8])
def test_a_mesh_has_all_devices_along_data_and_axes_that_xla_partitions(count):
    mesh = make_mesh(jax.devices()[:count])
    assert dict(mesh.shape) == {"data": count, "fsdp": 1}
    assert mesh.devices[:, 0].tolist() == jax.devices()[:count]
    assert mesh.axis_types == (AxisType.Auto, AxisType.Auto)


def test_a_mesh_takes_all_devices_unless_told():
    assert make_mesh().size == len(jax.devices()) == 8


def test_a_replicated_array_is_whole_on_every_device():
    array = jax.device_put(np.arange(6.0).reshape(3, 2), replicated(make_mesh()))
    assert [shard.data.tolist() for shard in array.addressable_shards] == [[[0, 1], [2, 3], [4, 5]]] * 8


@pytest.mark.parametrize("axis", [0, 1])
def test_a_batch_is_split_along_its_axis_in_the_order_of_the_devices(axis):
    values = np.arange(48).reshape((16, 3) if axis == 0 else (3, 16))
    array = jax.device_put(values, split_batch(make_mesh(), axis))
    for number, device in enumerate(jax.devices()):
        (shard,) = (shard for shard in array.addressable_shards if shard.device == device)
        np.testing.assert_array_equal(shard.data, np.split(values, 8, axis)[number])


def test_a_batch_is_split_over_both_axes_of_the_mesh():
    mesh = make_mesh()
    assert split_batch(mesh).spec == PartitionSpec(("data", "fsdp"))
    assert split_batch(mesh, 1).spec == PartitionSpec(None, ("data", "fsdp"))


def test_the_mean_over_a_split_batch_is_that_over_all_devices():
    mesh = make_mesh()
    values = jax.device_put(jnp.arange(16.0), split_batch(mesh))
    mean = jax.jit(jnp.mean, out_shardings=replicated(mesh))(values)
    assert [float(shard.data) for shard in mean.addressable_shards] == [7.5] * 8


@pytest.mark.parametrize(("count", "fsdp"), [(8, 1), (8, 2), (8, 4), (8, 8), (6, 3), (1, 1)])
def test_fsdp_takes_neighbours_and_data_what_is_left(count, fsdp):
    devices = jax.devices()[:count]
    mesh = make_mesh(devices, fsdp=fsdp)
    assert dict(mesh.shape) == {"data": count // fsdp, "fsdp": fsdp}
    assert mesh.devices.tolist() == [devices[n : n + fsdp] for n in range(0, count, fsdp)]
    assert mesh.axis_types == (AxisType.Auto, AxisType.Auto)


@pytest.mark.parametrize("fsdp", [3, 5, 16])
def test_fsdp_that_does_not_divide_the_devices_is_refused(fsdp):
    with pytest.raises(ValueError, match="reshape"):
        make_mesh(fsdp=fsdp)


def shape(*sizes):
    return jax.ShapeDtypeStruct(sizes, jnp.float32)


@pytest.mark.parametrize(
    ("sizes", "spec"),
    [
        ((), ()),
        ((3,), ()),
        ((5, 7), ()),
        ((2,), ()),
        ((4,), ("fsdp",)),
        ((8,), ("fsdp",)),
        ((12, 3), ("fsdp",)),
        ((3, 12), (None, "fsdp")),
        ((8, 16), (None, "fsdp")),
        ((16, 8), ("fsdp",)),
        # The largest does not divide, the next one does.
        ((8, 30), ("fsdp",)),
        ((30, 4), (None, "fsdp")),
        # Of equals the first.
        ((8, 8), ("fsdp",)),
        ((3, 3, 64, 128), (None, None, None, "fsdp")),
        ((3, 3, 128, 64), (None, None, "fsdp")),
        ((4, 4, 3, 1), ("fsdp",)),
    ],
)
def test_leaves_are_split_in_four_along_the_largest_axis_that_divides(sizes, spec):
    mesh = make_mesh(fsdp=4)
    sharding = state_shardings(mesh, shape(*sizes))
    assert sharding.spec == PartitionSpec(*spec)
    assert sharding.mesh == mesh
    part = list(sizes)
    if spec:
        part[len(spec) - 1] //= 4
    assert sharding.shard_shape(sizes) == tuple(part)


def test_shardings_are_the_tree_of_the_leaves():
    tree = {"net": {"w": shape(8, 3), "b": shape(3)}, "carry": None, "moments": (shape(2, 8), np.zeros(8))}
    found = jax.tree.map(lambda sharding: tuple(sharding.spec), state_shardings(make_mesh(fsdp=8), tree))
    assert found == {
        "net": {"w": ("fsdp",), "b": ()},
        "carry": None,
        "moments": ((None, "fsdp"), ("fsdp",)),
    }


def test_without_fsdp_every_leaf_is_whole():
    mesh = make_mesh()
    tree = {"w": shape(8, 16), "b": shape(8)}
    assert state_shardings(mesh, tree) == {"w": replicated(mesh), "b": replicated(mesh)}


def test_values_are_spread_over_fsdp_and_repeated_over_data():
    mesh = make_mesh(fsdp=4)
    values = np.arange(24).reshape(3, 8)
    array = jax.device_put(values, state_shardings(mesh, values))
    for shard in array.addressable_shards:
        column = shard.device.id % 4
        np.testing.assert_array_equal(shard.data, values[:, 2 * column : 2 * column + 2])


POINTS = np.random.default_rng(0).normal([1.0, -2.0], 1.0, (64, 2)).astype(np.float32)


def deep_game():
    """A perceptron that learns the norm of a point: leaves that can be split and others, moments, averages, noise."""
    net = nn.Sequential([nn.Dense(16), nn.tanh, nn.Dense(24), nn.tanh, nn.Dense(1)])

    def loss(params, variables, batch, key, now):
        x = batch["x"] + 0.1 * jax.random.normal(key, batch["x"].shape)
        return (net.apply({"params": params["net"]}, x)[:, 0] - jnp.linalg.norm(x, axis=-1)) ** 2, Aux()

    return toy_game(
        lambda key, example: {"net": net.init(key, example["x"])},
        {"player": Player(("net",), loss, optax.adam(0.01))},
        (Turn(("player",)),),
        averages={"net": optax.constant_schedule(0.9)},
    )


def trained(mesh, steps, state=None, **options):
    """The game's state on a mesh after `steps` more steps, and the loss of the last."""
    game = deep_game()
    begun = 0 if state is None else int(state.step)
    state = start(game) if state is None else state
    shardings = state_shardings(mesh, state)
    state = jax.device_put(jax.tree.map(np.asarray, state), shardings)
    source = resident(game, POINTS, 16, mesh=mesh)
    program = Program(game, source, mesh, 0, shardings=shardings, **options)
    for step in range(begun, begun + steps):
        state, _, metrics = program.advance(state, step, 1)
    return state, float(metrics[0]["loss"])


@pytest.fixture(scope="module")
def alone():
    """Ten steps on one device."""
    return trained(make_mesh(jax.devices()[:1]), 10)


@pytest.mark.parametrize(
    ("count", "fsdp", "loop"),
    [(8, 4, False), *(pytest.param(*layout, marks=pytest.mark.slow) for layout in ((8, 8, True), (2, 2, False)))],
)
def test_a_sharded_run_learns_what_one_device_does(alone, count, fsdp, loop):
    mesh = make_mesh(jax.devices()[:count], fsdp=fsdp)
    state, loss = trained(mesh, 10, loop=loop)
    np.testing.assert_allclose(loss, alone[1], rtol=1e-4)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-5), state, alone[0])
    # It has learnt something, and every step leaves the leaves where they belong.
    assert (
        np.abs(state.params["net"]["layers_0"]["kernel"] - start(deep_game()).params["net"]["layers_0"]["kernel"]).max()
        > 0.01
    )
    assert jax.tree.all(jax.tree.map(lambda a, b: a.sharding == b, state, state_shardings(mesh, state)))
    kernel = state.params["net"]["layers_2"]["kernel"]
    assert kernel.addressable_shards[0].data.shape == (16, 24 // fsdp)
    moment = state.opt_state["player"][0].mu["net"]["layers_2"]["kernel"]
    assert moment.addressable_shards[0].data.shape == (16, 24 // fsdp)
    assert state.averages["net"]["layers_2"]["kernel"].addressable_shards[0].data.shape == (16, 24 // fsdp)


def compiled_step(game, fsdp, example, batch_size=16, **options):
    """The collectives of a train step on eight devices, and the bytes of what the state holds in parts."""
    mesh = make_mesh(fsdp=fsdp)
    state = start(game)
    wanted = jax.tree.map(
        lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
        state,
        state_shardings(mesh, state),
    )
    source = resident(game, example, batch_size, mesh=mesh)
    program = Program(game, source, mesh, 0, shardings=state_shardings(mesh, state), **options)
    split = sum(4 * leaf.size for leaf in jax.tree.leaves(wanted.params) if not leaf.sharding.is_fully_replicated)
    everything = sum(4 * leaf.size for leaf in jax.tree.leaves(wanted.params))
    return collectives(program.lower(wanted).compile().as_text()), split, everything


@pytest.mark.parametrize("fsdp", [4, pytest.param(8, marks=pytest.mark.slow)])
def test_only_parameters_are_gathered_and_only_gradients_are_added_up(fsdp):
    found, split, everything = compiled_step(deep_game(), fsdp, POINTS)
    assert {each.kind for each in found} <= {"all-gather", "all-reduce", "reduce-scatter"}
    assert sum(each.bytes * each.count for each in found if each.kind == "all-gather") == split
    # And the loss.
    assert sum(each.bytes * each.count for each in found if each.kind != "all-gather") == everything + 4


def test_without_fsdp_nothing_is_gathered():
    found, split, everything = compiled_step(deep_game(), 1, POINTS)
    assert split == 0
    assert {each.kind for each in found} == {"all-reduce"}
    assert sum(each.bytes * each.count for each in found) == everything + 4


def blind_game(look):
    """A net that is trained on noise alone, as a generator is: no data says that the batch is split."""
    net = nn.Sequential([nn.Dense(16), nn.tanh, nn.Dense(32), nn.tanh, nn.Dense(8)])

    def loss(params, variables, batch, key, now):
        z = jax.random.normal(key, (len(batch["x"]), 2))
        output = net.apply({"params": params["net"]}, z)
        jax.debug.inspect_array_sharding(z, callback=look)
        jax.debug.inspect_array_sharding(output[:, :2], callback=look)
        return (output**2).sum(-1), Aux()

    return toy_game(
        lambda key, example: {"net": net.init(key, example["x"])},
        {"player": Player(("net",), loss, optax.sgd(0.1))},
        (Turn(("player",)),),
    )


@pytest.mark.parametrize("fsdp", [1, 4, pytest.param(8, marks=pytest.mark.slow)])
def test_noise_is_split_as_the_batch_is(fsdp):
    seen = []
    found, split, everything = compiled_step(blind_game(seen.append), fsdp, POINTS)
    assert {sharding.shard_shape((16, 2)) for sharding in seen} == {(2, 2)}
    assert sum(each.bytes * each.count for each in found if each.kind == "all-gather") == split
    assert sum(each.bytes * each.count for each in found if each.kind != "all-gather") == everything + 4


MESHES = {"8 in 4": (8, 4), "8": (8, 1), "2": (2, 1), "2 in 2": (2, 2), "1": (1, 1)}


@pytest.mark.parametrize(
    ("saved_on", "restored_on"),
    [("8 in 4", "8"), ("8 in 4", "2"), ("8 in 4", "1"), ("8 in 4", "2 in 2"), ("1", "8 in 4"), ("8", "2 in 2")],
)
def test_a_checkpoint_of_a_sharded_run_is_restored_to_the_bit_on_another_mesh(tmp_path, saved_on, restored_on):
    here, there = (
        make_mesh(jax.devices()[:count], fsdp=fsdp) for count, fsdp in (MESHES[saved_on], MESHES[restored_on])
    )
    state, _ = trained(here, 3)
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    checkpoints.save(3, state)
    checkpoints.close()
    like = jax.tree.map(
        lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
        state,
        state_shardings(there, state),
    )
    checkpoints = Checkpoints(tmp_path / "checkpoints", create=False)
    step, found = checkpoints.restore_newest(like)
    checkpoints.close()
    assert step == 3
    assert digest(found) == digest(state)
    assert jax.tree.all(jax.tree.map(lambda a, b: np.array_equal(a, b), found, state))
    assert jax.tree.all(jax.tree.map(lambda a, b: a.sharding == b.sharding, found, like))
    shards = MESHES[restored_on][1]
    assert found.params["net"]["layers_2"]["kernel"].addressable_shards[0].data.shape == (16, 24 // shards)


@pytest.mark.slow
def test_a_run_may_change_its_sharding_each_time_it_is_continued(tmp_path):
    def train(name, **changes):
        config = dataclasses.replace(
            toy_experiment.EXPERIMENT.presets["default"], run_dir=str(tmp_path / name), **changes
        )
        train_run(toy_experiment.EXPERIMENT, config, Console(file=io.StringIO()))
        return gen_jax.load(tmp_path / name)

    for steps, fsdp in ((2, 2), (4, 1)):
        run = train("run", steps=steps, fsdp=fsdp)
        assert run.step == steps
    unbroken = train("unbroken", steps=4)
    np.testing.assert_allclose(
        run.state.params["mean"]["value"], unbroken.state.params["mean"]["value"], rtol=1e-5, atol=1e-6
    )
    lines = [path.read_text().splitlines() for path in sorted(tmp_path.glob("*/metrics.jsonl"))]
    assert len(lines) == 2
    assert len(lines[0]) == len(lines[1]) + 1
