import dataclasses
import re
import types

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from toy_games import resident, start, toy_game

from experiments import dcgan, ddpm, vae, wgan_gp
from gen_jax.config import Config
from gen_jax.data import load_dataset
from gen_jax.data.field import image_fields, point_fields
from gen_jax.data.info import DataInfo
from gen_jax.errors import ConfigError
from gen_jax.kernels import convolution, winograd
from gen_jax.preflight.programs import Setting
from gen_jax.run import devices
from gen_jax.run.devices import choose_cpu_parts, cpu_parts_here, mesh_for, mesh_for_features
from gen_jax.run.setup import example
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


NO_PARTS = [{"batch_size": 15}, {"accumulate": 2}, {"fsdp": 2}, {"reproducible": True}]


@pytest.fixture(autouse=True)
def two_cores(monkeypatch):
    """A machine with two cores."""
    monkeypatch.setattr(devices, "cores", lambda: 2)


def kernels(number, channels=8):
    """The parameters of so many convolutions, each with a bias."""
    shapes = (3, 3, channels, channels), (channels,)
    return [[jax.ShapeDtypeStruct(shape, np.float32) for shape in shapes] for _ in range(number)]


@pytest.mark.parametrize(
    ("changes", "parameters", "parts"),
    [
        ({}, kernels(12), 2),
        # Few convolutions, none, and more parameters than 10 million.
        ({}, kernels(11), 1),
        ({}, [jax.ShapeDtypeStruct((9, 9), np.float32)] * 40, 1),
        ({}, kernels(12, channels=400), 1),
        *((changes, kernels(12), 1) for changes in NO_PARTS),
    ],
)
def test_a_run_begins_in_parts_where_its_networks_are_deep_and_not_large(changes, parameters, parts):
    config = dataclasses.replace(Config(batch_size=16), **changes)
    assert choose_cpu_parts(config, parameters, jax.devices()[:2]) == parts


def test_a_run_begins_in_parts_on_two_cores_and_two_devices_alone(monkeypatch):
    config = Config(batch_size=16)
    assert [choose_cpu_parts(config, kernels(12), jax.devices()[:count]) for count in (1, 2, 8)] == [1, 2, 1]
    monkeypatch.setattr(devices, "cores", lambda: 1)
    assert choose_cpu_parts(config, kernels(12), jax.devices()[:2]) == 1


@pytest.mark.parametrize(
    ("experiment", "preset", "shape", "parts"),
    [
        (ddpm, "default", (8, 8, 1), 2),
        (ddpm, "tiny", (8, 8, 1), 2),
        (ddpm, "paper", (32, 32, 3), 1),
        (wgan_gp, "images", (32, 32, 1), 2),
        (wgan_gp, "default", (2,), 1),
        (dcgan, "default", (8, 8, 1), 1),
        (vae, "default", (8, 8, 1), 1),
    ],
)
def test_parts_of_the_presets(experiment, preset, shape, parts):
    config = experiment.EXPERIMENT.presets[preset]
    info = DataInfo(
        "any",
        image_fields(shape) if len(shape) == 3 else point_fields(),
        train_size=1000,
        held_out_size=100,
        fingerprint="f",
    )
    game = experiment.EXPERIMENT.build(config, info)
    parameters = jax.eval_shape(game.init, jax.random.key(0), example(info))
    assert choose_cpu_parts(config, parameters, jax.devices()[:2]) == parts


@pytest.mark.parametrize("changes", NO_PARTS)
def test_what_is_cut_in_another_way_is_left_in_one_piece(changes):
    config = Config(batch_size=16)
    assert cpu_parts_here(config, 2) == 2
    assert cpu_parts_here(dataclasses.replace(config, **changes), 2) == 1


def test_what_a_run_has_noted_is_without_effect_elsewhere_than_on_the_cpu_of_one_process(monkeypatch):
    with monkeypatch.context() as pod:
        pod.setattr(jax, "process_count", lambda: 2)
        assert cpu_parts_here(Config(batch_size=16), 2) == 1
    monkeypatch.setattr(jax, "devices", lambda: [types.SimpleNamespace(platform="gpu")] * 2)
    assert cpu_parts_here(Config(batch_size=16), 2) == 1


def test_a_run_has_as_many_devices_as_parts_or_is_refused():
    config = Config(batch_size=16)
    assert mesh_for(config, 4).size == 4
    assert mesh_for(config, 1).size == 8
    with pytest.raises(ConfigError) as error:
        mesh_for(config, 2, jax.devices()[:1])
    assert str(error.value) == (
        "the run computes each batch in 2 parts, on as many devices of a CPU; here is 1: "
        "set JAX_NUM_CPU_DEVICES=2 before JAX is used"
    )


def test_of_a_cpu_that_a_command_has_split_a_run_in_one_piece_has_the_first_device(monkeypatch):
    monkeypatch.setattr(devices, "was_split", lambda: True)
    config = Config(batch_size=16)
    assert mesh_for(config, 1).devices.tolist() == [[jax.devices()[0]]]
    assert mesh_for(config, 2).size == 2
    # The same bits on any number of devices need several.
    assert mesh_for(dataclasses.replace(config, reproducible=True), 1).size == 8


def test_features_are_computed_on_the_first_of_the_devices_of_parts():
    assert mesh_for_features(mesh_of(2), 2).size == 1
    assert mesh_for_features(mesh_of(2), 1).size == 2
    assert mesh_for_features(mesh_of(8), 2).size == 8
