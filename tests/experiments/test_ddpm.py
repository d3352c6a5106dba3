import dataclasses

import jax
import jax.numpy as jnp
import pytest

from experiments.ddpm import EXPERIMENT, SAMPLERS, build
from gen_jax.config import free_fields
from gen_jax.data.field import image_fields
from gen_jax.data.info import DataInfo
from gen_jax.errors import ConfigError
from gen_jax.training.game import Sampling

TINY = EXPERIMENT.presets["tiny"]
KEY = jax.random.key(0)
INFO = DataInfo("digits", image_fields((8, 8, 1)), train_size=9, held_out_size=1, fingerprint="f")


@pytest.mark.parametrize(("asked", "taken"), [(0, 4), (2, 2), (4, 4)])
def test_game_says_in_how_many_steps_it_samples(asked, taken):
    assert build(dataclasses.replace(TINY, sampling_steps=asked), INFO).sampling == Sampling("ancestral", taken)


@pytest.mark.parametrize("asked", [1, 5])
def test_sampling_steps_that_the_diffusion_does_not_have_are_refused(asked):
    with pytest.raises(ConfigError) as raised:
        build(dataclasses.replace(TINY, sampling_steps=asked), INFO)
    assert str(raised.value) == (
        f"--sampling-steps is {asked}; accepted: 0, for all 4 steps of the diffusion, or a number from 2 to 4"
    )


def test_a_run_may_go_on_with_another_sampler_and_other_sampling_steps():
    assert {"sampler", "sampling_steps"} <= free_fields(type(TINY))


def test_the_sampler_asked_for_is_the_one_that_samples_and_makes_the_views(monkeypatch):
    asked = []

    def remember(predict_noise, schedule, x_T, key, **options):
        asked.append((schedule.steps, sorted(options)))
        return x_T

    monkeypatch.setitem(SAMPLERS, "ddim", remember)
    game = build(dataclasses.replace(TINY, sampler="ddim", sampling_steps=3), INFO)
    assert game.sampling == Sampling("ddim", 3)
    batch = {"x": jnp.zeros((8, 8, 8, 1))}
    jax.eval_shape(lambda: game.sample({}, {}, KEY, 2))
    for view in game.views.values():
        jax.eval_shape(lambda view=view: view({}, {}, batch, KEY))
    assert asked == [(3, []), (3, ["start", "stop"]), (3, ["start"])]


def test_views_work_with_ddim_as_it_is():
    game = build(dataclasses.replace(TINY, sampler="ddim", sampling_steps=3), INFO)
    nets = jax.eval_shape(lambda: game.init(KEY, {"x": jnp.zeros((1, 8, 8, 1))}))
    params = {net: variables["params"] for net, variables in nets.items()}
    for view in game.views.values():
        shown = jax.eval_shape(
            lambda params, view=view: view(params, {"network": {}}, {"x": jnp.zeros((8, 8, 8, 1))}, KEY), params
        )
        assert (shown.shape[0], shown.shape[2:]) == (8, (8, 8, 1))


def test_an_unknown_sampler_is_refused_before_anything_is_built():
    with pytest.raises(ConfigError, match=r"^--sampler is euler; accepted: ancestral, ddim$"):
        dataclasses.replace(TINY, sampler="euler").check()
