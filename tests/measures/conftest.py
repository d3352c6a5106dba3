"""Trained runs to be measured, and a feature network that needs no training."""

import dataclasses
import io

import pytest
import small_networks
import toy_experiment
from rich.console import Console

import gen_jax
from experiments import vae
from gen_jax.measures import Protocol, Subject
from gen_jax.run.train import train_run


def trained(experiment, directory, preset="default", **changes):
    config = dataclasses.replace(experiment.presets[preset], run_dir=str(directory), **changes)
    train_run(experiment, config, Console(file=io.StringIO()))
    return directory


@pytest.fixture(scope="session")
def point_run(tmp_path_factory):
    """Samples around the centre of the ring."""
    return gen_jax.load(trained(toy_experiment.EXPERIMENT, tmp_path_factory.mktemp("points") / "run"))


@pytest.fixture(scope="session")
def image_run(tmp_path_factory):
    """Samples are the mean of the digits plus noise; no probabilities."""
    directory = tmp_path_factory.mktemp("images") / "run"
    return gen_jax.load(trained(toy_experiment.EXPERIMENT, directory, data="digits", steps=2))


@pytest.fixture(scope="session")
def vae_run(tmp_path_factory):
    """A VAE of binary pixels, with averaged weights."""
    return gen_jax.load(trained(vae.EXPERIMENT, tmp_path_factory.mktemp("vae") / "run", "tiny"))


@pytest.fixture
def subject(monkeypatch):
    """Makes a subject of a run, with features that are pixels."""
    network = small_networks.first_pixels(20)
    monkeypatch.setattr("gen_jax.measures.subject.feature_network", lambda *args: network)

    def make(run, **options):
        said = []
        made = Subject(run, Protocol.of(options), say=said.append)
        made.said = said
        return made

    return make
