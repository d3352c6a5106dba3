"""What the presets of today's experiments are, value for value, so that none changes unseen."""

import dataclasses
import functools
import importlib
import math
from typing import Any

import jax
import pytest

from gen_jax.config import Config
from gen_jax.data.field import image_fields, point_fields
from gen_jax.data.info import DataInfo
from gen_jax.run.setup import initial_state
from gen_jax.training.loop import Cadence

# Of every preset below, unless it says otherwise.
SHARED = {
    "data": "digits",
    "examples": None,
    "init_from": None,
    "image_size": None,
    "batch_size": 128,
    "learning_rate": 1e-3,
    "optimizer": "adam",
    "betas": (0.9, 0.999),
    "weight_decay": 0.0,
    "warmup": 0,
    "decay_steps": 0,
    "decay_schedule": "linear",
    "clip_gradients": 0.0,
    "average_decay": 0.0,
    "flip": False,
    "data_dir": None,
    "skip_bad_images": False,
    "run_dir": None,
    "seed": 0,
    "eval_metrics": (),
    "eval_samples": 1000,
    "keep": 2,
    "keep_best": None,
    "on_nonfinite": "stop",
    "precision": "float32",
    "reproducible": False,
    "fsdp": 1,
    "accumulate": 1,
    "remat": False,
    "distributed": False,
}
TINY_PERIODS = {"log_every": 2, "eval_every": 3, "save_every": 3}
TABLE: dict[tuple[str, str], dict[str, Any]] = {
    ("vae", "default"): {
        "steps": 10000,
        "network": "mlp",
        "features": (512, 512),
        "activation": "relu",
        "width": 32,
        "latent": 32,
        "likelihood": "bernoulli",
        "beta": 1.0,
        "free_bits": 0.0,
        "beta_warmup": 0,
        "optimizer": "adam",
        "average_decay": 0.999,
    },
    ("vae", "tiny"): {
        "steps": 20,
        "batch_size": 32,
        "network": "mlp",
        "features": (16,),
        "activation": "relu",
        "width": 32,
        "latent": 4,
        "likelihood": "bernoulli",
        "beta": 1.0,
        "free_bits": 0.0,
        "beta_warmup": 0,
        "optimizer": "adam",
        "average_decay": 0.999,
    },
    ("vae", "paper"): {
        "data": "mnist",
        "steps": 1000000,
        "batch_size": 100,
        "learning_rate": 0.02,
        "network": "mlp",
        "features": (500,),
        "activation": "tanh",
        "width": 32,
        "latent": 20,
        "likelihood": "bernoulli",
        "beta": 1.0,
        "free_bits": 0.0,
        "beta_warmup": 0,
        "optimizer": "adagrad",
        "average_decay": 0.0,
    },
    ("gan", "default"): {
        "data": "ring8",
        "steps": 10000,
        "batch_size": 256,
        "loss": "non_saturating",
        "latent": 100,
        "prior": "normal",
        "features": (128, 128),
        "discriminator": "mlp",
        "discriminator_features": (128, 128),
        "discriminator_steps": 1,
        "betas": (0.5, 0.999),
    },
    ("gan", "tiny"): {
        "data": "ring8",
        "steps": 20,
        "batch_size": 32,
        "loss": "non_saturating",
        "latent": 4,
        "prior": "normal",
        "features": (16,),
        "discriminator": "mlp",
        "discriminator_features": (16,),
        "discriminator_steps": 1,
        "betas": (0.5, 0.999),
    },
    ("gan", "paper"): {
        "data": "mnist",
        "steps": 600000,
        "batch_size": 100,
        "learning_rate": 0.0002,
        "loss": "non_saturating",
        "latent": 100,
        "prior": "uniform",
        "features": (1200, 1200),
        "discriminator": "maxout",
        "discriminator_features": (240, 240),
        "discriminator_steps": 1,
        "betas": (0.5, 0.999),
    },
    ("dcgan", "default"): {
        "steps": 5000,
        "batch_size": 64,
        "learning_rate": 0.0002,
        "latent": 100,
        "width": 64,
        "flip": False,
        "betas": (0.5, 0.999),
    },
    ("dcgan", "tiny"): {"steps": 6, "batch_size": 8, "latent": 4, "width": 4, "flip": False, "betas": (0.5, 0.999)},
    ("dcgan", "paper"): {
        "data": "celeb_a",
        "image_size": 64,
        "steps": 100000,
        "learning_rate": 0.0002,
        "latent": 100,
        "width": 128,
        "flip": True,
        "betas": (0.5, 0.999),
    },
    ("wgan_gp", "default"): {
        "data": "grid25",
        "steps": 6000,
        "batch_size": 256,
        "latent": 2,
        "width": 128,
        "features": (128, 128, 128),
        "critic_steps": 5,
        "penalty": 0.1,
        "flip": False,
        "betas": (0.5, 0.9),
        "scale": 2.83,
        "average_decay": 0.99,
        "decay_steps": 6000,
    },
    ("wgan_gp", "images"): {
        "data": "fashion_mnist",
        "image_size": 32,
        "steps": 20000,
        "batch_size": 64,
        "learning_rate": 0.0002,
        "latent": 128,
        "width": 64,
        "features": (512, 512, 512),
        "critic_steps": 5,
        "penalty": 10.0,
        "flip": False,
        "betas": (0.0, 0.9),
        "scale": 1.0,
        "average_decay": 0.0,
        "decay_steps": 0,
    },
    ("wgan_gp", "tiny"): {
        "data": "grid25",
        "steps": 6,
        "batch_size": 32,
        "latent": 4,
        "width": 4,
        "features": (16,),
        "critic_steps": 2,
        "penalty": 10.0,
        "flip": False,
        "betas": (0.0, 0.9),
        "scale": 1.0,
        "average_decay": 0.0,
        "decay_steps": 0,
    },
    ("wgan_gp", "paper"): {
        "data": "cifar10",
        "steps": 100000,
        "batch_size": 64,
        "learning_rate": 0.0002,
        "latent": 128,
        "width": 128,
        "features": (512, 512, 512),
        "critic_steps": 5,
        "penalty": 10.0,
        "flip": False,
        "betas": (0.0, 0.9),
        "scale": 1.0,
        "average_decay": 0.0,
        "decay_steps": 100000,
    },
    ("ddpm", "default"): {
        "steps": 4000,
        "batch_size": 64,
        "diffusion_steps": 250,
        "sampler": "ancestral",
        "sampling_steps": 0,
        "eta": 0.0,
        "schedule": "cosine",
        "channels": 16,
        "multipliers": (1, 2),
        "blocks": 1,
        "attention": (4,),
        "dropout": 0.0,
        "flip": False,
        "warmup": 500,
        "clip_gradients": 1.0,
        "average_decay": 0.999,
    },
    ("ddpm", "tiny"): {
        "steps": 6,
        "batch_size": 8,
        "diffusion_steps": 4,
        "sampler": "ancestral",
        "sampling_steps": 0,
        "eta": 0.0,
        "schedule": "cosine",
        "channels": 8,
        "multipliers": (1, 2),
        "blocks": 1,
        "attention": (4,),
        "dropout": 0.0,
        "flip": False,
        "warmup": 500,
        "clip_gradients": 1.0,
        "average_decay": 0.999,
    },
    ("ddpm", "paper"): {
        "data": "cifar10",
        "steps": 800000,
        "learning_rate": 0.0002,
        "diffusion_steps": 1000,
        "sampler": "ancestral",
        "sampling_steps": 0,
        "eta": 0.0,
        "schedule": "linear",
        "channels": 128,
        "multipliers": (1, 2, 2, 2),
        "blocks": 2,
        "attention": (16,),
        "dropout": 0.1,
        "flip": True,
        "warmup": 5000,
        "clip_gradients": 1.0,
        "average_decay": 0.9999,
    },
}

# Log, evaluate, save: what the periods that are a share of the steps come to.
PERIODS = {
    ("vae", "default"): (500, 2_500, 2_500),
    ("vae", "paper"): (500, 20_000, 10_000),
    ("gan", "default"): (500, 2_500, 2_500),
    ("gan", "paper"): (500, 20_000, 10_000),
    ("dcgan", "default"): (250, 1_250, 1_250),
    ("dcgan", "paper"): (500, 20_000, 10_000),
    ("wgan_gp", "default"): (300, 1_500, 1_500),
    ("wgan_gp", "images"): (500, 5_000, 5_000),
    ("wgan_gp", "paper"): (500, 20_000, 10_000),
    ("ddpm", "default"): (200, 1_000, 1_000),
    ("ddpm", "paper"): (500, 20_000, 10_000),
}
PARAMETERS = {
    ("vae", "default"): 641_152,
    ("vae", "tiny"): 2_344,
    ("vae", "paper"): 815_824,
    ("gan", "default"): 46_723,
    ("gan", "tiny"): 179,
    ("gan", "paper"): 3_735_425,
    ("dcgan", "default"): 105_666,
    ("dcgan", "tiny"): 462,
    ("dcgan", "paper"): 23_694_724,
    ("wgan_gp", "default"): 67_203,
    ("wgan_gp", "tiny"): 179,
    ("wgan_gp", "images"): 631_106,
    ("wgan_gp", "paper"): 2_258_308,
    ("ddpm", "default"): 176_849,
    ("ddpm", "tiny"): 44_969,
    ("ddpm", "paper"): 35_746_307,
}
SHAPES = {
    "digits": (8, 8, 1),
    "ring8": (2,),
    "grid25": (2,),
    "mnist": (28, 28, 1),
    "fashion_mnist": (28, 28, 1),
    "cifar10": (32, 32, 3),
    "celeb_a": (218, 178, 3),
}


def preset(name: str, which: str) -> Config:
    return importlib.import_module(f"experiments.{name}").EXPERIMENT.presets[which]


@pytest.mark.parametrize(("name", "which"), TABLE)
def test_preset_is_what_it_was(name, which):
    found = dataclasses.asdict(preset(name, which))
    tiny = which == "tiny"
    expected = SHARED | {"preset": which, "report": not tiny, "grid_samples": 16 if tiny else 64}
    expected |= dict.fromkeys(("log_every", "eval_every", "save_every")) if not tiny else TINY_PERIODS
    assert found == expected | TABLE[name, which]


def test_every_preset_of_these_experiments_is_in_the_table():
    for name in {name for name, _ in TABLE}:
        experiment = importlib.import_module(f"experiments.{name}").EXPERIMENT
        assert {which for other, which in TABLE if other == name} == set(experiment.presets)


@pytest.mark.parametrize(("name", "which"), PERIODS)
def test_periods_are_a_share_of_the_steps(name, which):
    config = preset(name, which)
    cadence = Cadence.of(config.steps, config.log_every, config.eval_every, config.save_every)
    assert (cadence.log_every, cadence.eval_every, cadence.save_every) == PERIODS[name, which]


@pytest.mark.parametrize(("name", "which"), TABLE)
def test_networks_have_as_many_parameters_as_before(name, which):
    config = preset(name, which)
    shape = SHAPES[config.data]
    if config.image_size is not None:
        shape = (config.image_size, config.image_size, shape[-1])
    fields = image_fields(shape) if len(shape) == 3 else point_fields()
    info = DataInfo(config.data, fields, train_size=1000, held_out_size=100, fingerprint="f")
    game = importlib.import_module(f"experiments.{name}").build(config, info)
    state = jax.eval_shape(functools.partial(initial_state, game, info), jax.random.key(0))
    assert sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(state.params)) == PARAMETERS[name, which]
