"""What the chips of a small pod send each other in a step of each headline experiment, and nothing else.

Data parallel: the gradients are added up once a player and move, and beside them only what is averaged over the batch.
"""

import dataclasses
import importlib.util

import jax
import pytest

from gen_jax.preflight.command import find_experiment
from gen_jax.preflight.report import preflight
from gen_jax.preflight.topology import parse_topology

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("libtpu") is None, reason="libtpu is not installed"),
]

FLOAT = 4


def train_step(name, **changes):
    """The train step of an experiment on eight chips, and the bytes of the gradients of each net."""
    experiment = find_experiment(name)
    config = dataclasses.replace(experiment.presets["tiny"], **changes)
    found = preflight(experiment, config, parse_topology("v5e:2x4"), ("train",))
    gradients = {net: FLOAT * size for net, size in found.parameters.items()}
    return found.program("train"), gradients


def summed(step):
    """Bytes of the numbers that are added up over the chips; all else that is sent fails."""
    assert {(each.kind, each.group_size, each.dtype) for each in step.collectives} == {("all-reduce", 8, "f32")}
    return sum(each.bytes * each.count for each in step.collectives)


def test_vae_adds_up_its_gradients_and_four_means():
    step, gradients = train_step("vae")
    assert summed(step) == sum(gradients.values()) + 4 * FLOAT


def test_wgan_gp_adds_up_each_players_gradients_in_each_of_its_moves():
    step, gradients = train_step("wgan_gp", critic_steps=2)
    # Of the last of the critic's steps its loss and another metric are kept, of the generator's the loss.
    assert summed(step) == 2 * (gradients["discriminator"] + 2 * FLOAT) + gradients["generator"] + FLOAT


def test_dcgan_adds_up_gradients_and_statistics_of_the_batch():
    step, gradients = train_step("dcgan")
    beside = summed(step) - sum(gradients.values())
    # Means and variances of the batch norms, forwards and backwards, of both nets; and the metrics.
    assert 0 < beside < 1200


def test_ddpm_adds_up_its_gradients_and_the_loss():
    # Of one example a chip XLA splits the counters of the noise by examples, and brings those 64 bytes together again.
    step, gradients = train_step("ddpm", multipliers=(1,), attention=(1,), batch_size=64)
    # A bias before a group norm of one channel a group, and a key's, have gradients that XLA knows to be equal or zero.
    assert 0.95 * gradients["network"] <= summed(step) <= gradients["network"] + FLOAT


def test_a_split_state_is_gathered_once_and_its_gradients_are_scattered():
    step, gradients = train_step("vae", fsdp=4)
    sent = {(each.kind, each.group_size) for each in step.collectives}
    # Within the four that hold a state together, between the two that hold the same part, or over all.
    assert sent <= {("all-gather", 4), ("reduce-scatter", 4), ("all-reduce", 4), ("all-reduce", 2), ("all-reduce", 8)}
    gathered = sum(each.bytes * each.count for each in step.collectives if each.kind == "all-gather")
    assert 0.9 * sum(gradients.values()) < gathered <= sum(gradients.values())


def test_jax_still_has_its_own_devices():
    assert {device.platform for device in jax.devices()} == {"cpu"}
