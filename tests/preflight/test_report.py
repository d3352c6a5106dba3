import dataclasses
import importlib.util
import json

import jax
import jax.numpy as jnp
import pytest
import toy_experiment

from gen_jax.experiment import Experiment
from gen_jax.preflight.advice import advise
from gen_jax.preflight.compiled import OutOfMemory
from gen_jax.preflight.data import described
from gen_jax.preflight.report import preflight
from gen_jax.preflight.topology import parse_topology
from gen_jax.training import Aux

CONFIG = toy_experiment.EXPERIMENT.presets["default"]
IMAGES = dataclasses.replace(CONFIG, data="digits")
needs_libtpu = pytest.mark.skipif(importlib.util.find_spec("libtpu") is None, reason="libtpu is not installed")


@pytest.fixture(scope="module")
def host():
    said = []
    found = preflight(toy_experiment.EXPERIMENT, IMAGES, parse_topology("host"), announce=said.append)
    assert said == ["train step", "samples", "evaluation"]
    return found


def test_what_was_compiled_is_described(host):
    assert (host.experiment, host.data, host.resident, host.devices, host.kind) == (
        "toy_experiment",
        "digits",
        True,
        8,
        "cpu",
    )
    assert host.parameters == {"mean": 64}
    assert [program.name for program in host.programs] == ["train", "sample", "evaluate"]
    assert host.available is None
    assert host.fits


def test_gradients_are_added_up_once(host):
    train = host.program("train")
    # 64 gradients and the loss, in float32.
    floats = [each for each in train.collectives if each.dtype == "f32"]
    assert {each.kind for each in train.collectives} == {"all-reduce"}
    assert sum(each.bytes * each.count for each in floats) == 4 * 65
    assert all(each.group_size == 8 for each in floats)
    assert train.sent >= 2 * 7 / 8 * 4 * 65


def test_the_state_is_given_away(host):
    # A step's number and the mean; the optimizer (plain SGD) counts its steps.
    assert host.program("train").donation.arrays == 3
    assert host.program("train").donation.kept == ()
    assert host.program("sample").donation is None


def test_memory_is_that_of_a_device(host):
    memory = host.program("train").memory
    # The images are whole on each device; the labels, which the toy does not look at, are no argument of its program.
    assert 1438 * 64 <= memory.arguments <= 1438 * 64 + 2000
    assert memory.total >= memory.arguments


def test_it_can_be_written_as_json(host):
    stored = json.loads(json.dumps(host.as_json()))
    assert stored["topology"] == {"name": "host", "slices": 1}
    assert (stored["fits"], stored["measured"]) == (True, False)
    train = stored["programs"][0]
    assert train["memory"]["total"] == host.program("train").memory.total
    assert train["collectives"][0]["wire_bytes"] == host.program("train").collectives[0].wire_bytes


def test_nothing_of_a_pod_is_known_of_the_devices_at_hand(host):
    assert all(program.roofline is None for program in host.programs)


@pytest.fixture(scope="module")
def pod():
    return preflight(toy_experiment.EXPERIMENT, IMAGES, parse_topology("v5e:2x4", 2), ("train",))


@pytest.mark.slow
@needs_libtpu
def test_a_pod_is_compiled_for(pod):
    (train,) = pod.programs
    assert (pod.devices, pod.kind) == (16, "TPU v5 lite")
    assert train.donation.kept == ()
    assert set(train.roofline.times) == {"arithmetic", "memory traffic", "interconnect", "network"}
    # Each chip exchanges its part of the sums with its counterpart in the other slice.
    assert 0 < train.between_slices < train.sent
    assert json.loads(json.dumps(pod.as_json()))["programs"][0]["roofline"]["bound"] == train.roofline.bound


@pytest.mark.slow
@needs_libtpu
def test_a_step_of_the_loop_is_what_is_counted(pod):
    one = preflight(toy_experiment.EXPERIMENT, IMAGES, parse_topology("v5e:1x1"), ("train",)).program("train")
    # 16 images of 64 pixels: a few operations for each pixel, and what the shuffling takes.
    assert 16 * 64 * 3 < one.costs.flops < 16 * 64 * 40
    assert one.collectives == ()
    assert one.between_slices == 0


def wasteful(config, data):
    """The toy, with a loss whose gradient needs 512 MiB of what was computed for each example."""
    game = toy_experiment.build(config, data)

    def loss(params, variables, batch, key, now):
        noise = jnp.ones((len(batch["x"]), 1 << 20))
        noise = noise + jnp.mean(batch["x"], axis=1, keepdims=True)
        scale = jnp.sum(params["mean"]["value"])
        last, _ = jax.lax.scan(lambda x, _: (jnp.sin(scale * x), None), noise, length=128)
        return jnp.mean(last, axis=1), Aux()

    return dataclasses.replace(game, players={"mean": dataclasses.replace(game.players["mean"], loss=loss)})


@pytest.mark.slow
@needs_libtpu
def test_what_does_not_fit_is_said_and_mended():
    experiment, topology = Experiment(wasteful, type(CONFIG)), parse_topology("v5e:2x4")
    config = dataclasses.replace(CONFIG, batch_size=512)
    dataset = described(config)
    found = preflight(experiment, config, topology, ("train",), dataset=dataset)
    (train,) = found.programs
    assert not found.fits
    assert (train.memory, train.roofline) == (None, None)
    assert isinstance(train.trouble, OutOfMemory)
    assert train.trouble.needed > train.trouble.available == topology.chip.usable
    said = []
    advice = advise(experiment, found, dataset, said.append)
    # To compute it again at once needs as much.
    assert said[0] == "train step with --remat"
    assert advice[0].change.keys() == {"accumulate"}
    for one in advice:
        assert one.found.fits
        assert one.memory < topology.chip.usable
        changed = dataclasses.replace(config, **one.change)
        assert preflight(experiment, changed, topology, ("train",), dataset=dataset).fits


@pytest.mark.slow
@needs_libtpu
def test_jax_keeps_its_cache_and_its_devices():
    preflight(toy_experiment.EXPERIMENT, IMAGES, parse_topology("v5e:1x1"), ("sample",))
    assert jax.config.jax_enable_compilation_cache
    assert jax.devices()[0].platform == "cpu"
