import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from toy_games import resident, start, toy_game

from experiments import ddpm
from gen_jax.config import Config
from gen_jax.data import load_dataset
from gen_jax.kernels import convolution, winograd
from gen_jax.preflight.programs import Setting
from gen_jax.run.devices import in_cpu_parts, mesh_for_features
from gen_jax.training import Aux, Player, Program, Turn, keys
from gen_jax.training.cpu_parts import CPUParts
from gen_jax.training.sharding import make_mesh, replicated, split_batch

X = np.random.default_rng(0).normal([1.0, -2.0], 1.0, (32, 2)).astype(np.float32)
counts = pytest.mark.parametrize("count", [2, 4])


def mesh_of(count):
    return make_mesh(jax.devices()[:count])


def reduced(part, batch, count, *, shared=None, key=None):
    """What so many devices make of a part, on the host."""
    mesh = mesh_of(count)
    given = ({} if shared is None else shared, batch, jax.random.key(0) if key is None else key)
    everywhere = replicated(mesh)
    reduce = jax.jit(lambda *given: CPUParts(mesh)(part, *given))
    return jax.device_get(reduce(*jax.device_put(given, (everywhere, split_batch(mesh), everywhere))))


@counts
def test_means_are_those_of_the_whole_batch_and_values_come_in_order(count):
    x = np.arange(64, dtype=np.float32).reshape(32, 2)

    def part(shared, batch, key):
        assert len(batch["x"]) == 32 // count
        means = {"mean": batch["x"].mean(0) * shared["scale"], "count": shared["count"], "loss": batch["x"].mean()}
        return means, {"twice": 2 * batch["x"], "index": batch["index"]}

    shared = {"scale": jnp.float32(3), "count": jnp.int32(5)}
    means, examples = reduced(part, {"x": x, "index": np.arange(32, dtype=np.int32)}, count, shared=shared)
    np.testing.assert_array_equal(means["mean"], 3 * x.mean(0))
    np.testing.assert_array_equal(means["loss"], x.mean())
    assert (means["count"], means["count"].dtype) == (5, np.int32)
    np.testing.assert_array_equal(examples["twice"], 2 * x)
    np.testing.assert_array_equal(examples["index"], np.arange(32))


@counts
def test_each_part_draws_noise_of_its_own(count):
    root = jax.random.key(3)

    def part(shared, batch, key):
        return (), jax.random.normal(key, (len(batch["x"]),))

    _, noise = reduced(part, {"x": np.zeros(32, np.float32)}, count, key=root)
    expected = [jax.random.normal(keys.derive(root, "part", n), (32 // count,)) for n in range(count)]
    np.testing.assert_array_equal(noise, np.concatenate(expected))
    assert len(set(noise.tolist())) == 32


def test_leaves_of_other_types_come_back_as_they_were():
    def part(shared, batch, key):
        return {"narrow": batch["x"].mean().astype(jnp.bfloat16), "wide": batch["x"].mean()}, ()

    means, _ = reduced(part, {"x": np.float32([1, 3, 5, 7])}, 2)
    assert (means["narrow"].dtype, means["wide"].dtype) == (jnp.bfloat16, np.float32)
    assert means["narrow"] == means["wide"] == 4


def regression():
    """The mean of the data by gradient steps, with no noise."""

    def loss(params, variables, batch, key, now):
        return ((batch["x"] - params["mean"]["w"][None]) ** 2).sum(-1), Aux({"distance": jnp.abs(batch["x"]).sum(-1)})

    def init(key, example):
        # Made anew for each state, which is given away with every step.
        return {"mean": {"params": {"w": jnp.zeros(2)}}}

    return toy_game(init, {"mean": Player(("mean",), loss, optax.sgd(0.1))}, (Turn(("mean",)),))


def test_without_noise_training_is_that_of_one_device():
    game, found = regression(), []
    for count, cpu_parts in ((1, False), (2, True)):
        mesh = mesh_of(count)
        program = Program(game, resident(game, X, 16, mesh=mesh), mesh, 0, cpu_parts=cpu_parts)
        state = jax.device_put(start(game), replicated(mesh))
        for step in range(4):
            state, _, metrics = program.advance(state, step, 1)
        found.append(jax.device_get((state.params, metrics)))
    for one, two in zip(jax.tree.leaves(found[0]), jax.tree.leaves(found[1]), strict=True):
        np.testing.assert_allclose(two, one, rtol=1e-6)


def exchanges(lowered):
    """The collective operations of a program."""
    operations = "all-reduce|all-gather|collective-permute|all-to-all|reduce-scatter"
    return re.findall(rf" ({operations})(?:-start)?\(", lowered.compile().as_text())


@pytest.mark.slow
def test_a_program_of_a_ddpm_on_two_devices_has_one_exchange(monkeypatch):
    # Of two, each device of a CPU may wait for the other in another one; XLA then ends the process.
    config = dataclasses.replace(ddpm.EXPERIMENT.presets["tiny"], channels=8, multipliers=(1,), attention=())
    setting = Setting(ddpm.EXPERIMENT, config, load_dataset("digits", image_size=16), jax.devices()[:2])
    assert exchanges(setting.lower_train()) == ["all-reduce"]
    # What XLA splits by itself is the rest, here with convolutions of Winograd's form in rounds of an image a device.
    monkeypatch.setattr(jax, "local_device_count", lambda: 2)
    for module, name, least in ((convolution, "PRODUCTS", 0), (convolution, "CHANNELS", 8), (winograd, "OWN_CACHE", 1)):
        monkeypatch.setattr(module, name, least)
    assert exchanges(setting.lower_evaluate()) == ["all-gather"]
    assert exchanges(setting.lower_sample()) == ["all-gather"]


@pytest.mark.parametrize(
    ("changes", "devices"),
    [
        ({}, 1),
        ({"cpu_parts": 2}, 2),
        ({"cpu_parts": 4}, 4),
        # A batch that so many do not divide, and what is cut or split in another way, is left in one piece.
        ({"cpu_parts": 2, "batch_size": 15}, 1),
        ({"cpu_parts": 2, "accumulate": 2}, 1),
        ({"cpu_parts": 2, "fsdp": 2}, 1),
        ({"cpu_parts": 4, "reproducible": True}, 2),
    ],
)
def test_how_many_devices_a_cpu_is_made(changes, devices):
    assert dataclasses.replace(Config(batch_size=16), **changes).cpu_devices == devices


def test_a_batch_is_in_parts_only_on_as_many_devices_as_were_wanted():
    config = Config(batch_size=16, cpu_parts=2)
    assert in_cpu_parts(config, mesh_of(2))
    assert not in_cpu_parts(config, mesh_of(1))
    assert not in_cpu_parts(config, mesh_of(8))
    assert not in_cpu_parts(dataclasses.replace(config, reproducible=True), mesh_of(2))
    assert mesh_for_features(config, mesh_of(2)).size == 1
    assert mesh_for_features(config, mesh_of(8)).size == 8
