import dataclasses
import importlib
import json

import pytest

from benchmarks.speed.workloads import METHODS, WORKLOADS, Workload, chosen
from gen_jax.errors import ConfigError


@pytest.mark.parametrize("name", WORKLOADS)
def test_workload_survives_json(name):
    stored = json.dumps(WORKLOADS[name].as_json())
    assert Workload.from_json(json.loads(stored)) == WORKLOADS[name]


def test_names_are_those_by_which_workloads_are_found():
    assert all(workload.name == name for name, workload in WORKLOADS.items())


def test_a_step_of_a_critic_looks_at_a_batch_each_time():
    assert WORKLOADS["wgan_gp"].examples == 5 * 64
    assert WORKLOADS["dcgan"].examples == 64


@pytest.mark.parametrize("kind", METHODS.values())
def test_fields_are_options_of_the_experiment_and_its_preset_is_there(kind):
    experiment = importlib.import_module(f"experiments.{kind.experiment}").EXPERIMENT
    options = {field.name for field in dataclasses.fields(experiment.presets[kind.preset])}
    assert {field.name for field in dataclasses.fields(kind)} <= options


def test_large_unet_is_that_of_the_paper():
    paper = importlib.import_module("experiments.ddpm").EXPERIMENT.presets["paper"]
    method = WORKLOADS["ddpm_large"].method
    for field in dataclasses.fields(method):
        if hasattr(paper, field.name):
            assert getattr(method, field.name) == getattr(paper, field.name), field.name


def test_names_are_taken_in_the_order_given_and_none_means_all():
    known = ("a", "b", "c")
    assert chosen("c, a,c", known) == ["c", "a"]
    assert chosen("", known) == ["a", "b", "c"]


def test_a_wrong_name_is_answered_with_the_nearest():
    with pytest.raises(ConfigError, match=r"--workloads has 'dcgn'; the nearest is 'dcgan'; accepted: vae_mlp, "):
        chosen("vae_mlp,dcgn", WORKLOADS)
