import dataclasses

import jax
import numpy as np
import pytest

from benchmarks.speed import gen_jax_side
from benchmarks.speed.subject import Order
from benchmarks.speed.workloads import DDPM, VAE, Workload
from gen_jax.errors import ConfigError
from gen_jax.training.sharding import make_mesh

TRAINS = Workload("t", "t", VAE(features=(8,), latent=2), (8, 8, 1), 8)
SAMPLES = Workload(
    "t",
    "t",
    DDPM(channels=4, multipliers=(1,), attention=(), diffusion_steps=4, sampling_steps=2),
    (4, 4, 1),
    8,
    samples=True,
)


@pytest.fixture(autouse=True)
def one_device(monkeypatch):
    monkeypatch.setattr(gen_jax_side, "mesh_for", lambda config, cpu_parts: make_mesh(jax.devices()[:1]))


def order(workload):
    images = np.random.default_rng(0).integers(0, 256, (20, *workload.shape), np.uint8)
    return Order(workload, images, "cpu", "float32", {})


@pytest.mark.slow
def test_steps_are_those_of_the_experiment():
    subject = gen_jax_side.build(order(TRAINS))
    # 64-8-2x2 and 2-8-64, with biases.
    assert subject.parameters == {"encoder": 64 * 8 + 8 + 8 * 4 + 4, "decoder": 2 * 8 + 8 + 8 * 64 + 64}
    subject.run(1)
    subject.run(3)
    assert int(subject.state.step) == 4
    assert subject.disagreement() is None


@pytest.mark.slow
def test_samples_are_drawn_with_a_new_key_each_time(monkeypatch):
    subject = gen_jax_side.build(order(SAMPLES))
    drawn, draw = [], subject._sampler
    monkeypatch.setattr(subject, "_sampler", lambda *arguments: drawn.append(draw(*arguments)))
    subject.run(2)
    assert [samples.shape for samples in drawn] == [(8, 4, 4, 1)] * 2
    assert (drawn[0] != drawn[1]).any()


def test_options_are_the_workloads_and_all_else_the_presets():
    experiment, config = gen_jax_side.experiment_of(TRAINS, "bfloat16")
    assert config == dataclasses.replace(
        experiment.presets["default"],
        features=(8,),
        latent=2,
        batch_size=8,
        precision="bfloat16",
    )
    assert gen_jax_side.experiment_of(TRAINS, "tensorfloat32")[1].precision == "float32"


def test_an_option_that_the_experiment_lacks_is_named(monkeypatch):
    @dataclasses.dataclass(frozen=True)
    class Other(VAE):
        colour: str = "red"

    with pytest.raises(ConfigError, match=r"experiments\.vae has no option colour"):
        gen_jax_side.experiment_of(dataclasses.replace(TRAINS, method=Other()))


def test_a_product_of_matrices_is_counted():
    product = gen_jax_side.product(16, "cpu", "float32")
    product.run(2)
    assert product.flops() == 2 * 16**3
