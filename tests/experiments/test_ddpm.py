import dataclasses

import pytest

from experiments.ddpm import EXPERIMENT, build
from gen_jax.config import free_fields
from gen_jax.data.info import DataInfo
from gen_jax.errors import ConfigError

TINY = EXPERIMENT.presets["tiny"]
INFO = DataInfo("digits", (8, 8, 1), class_names=None, train_size=9, held_out_size=1, fingerprint="f")


@pytest.mark.parametrize(("asked", "taken"), [(0, 4), (2, 2), (4, 4)])
def test_game_says_in_how_many_steps_it_samples(asked, taken):
    assert build(dataclasses.replace(TINY, sampling_steps=asked), INFO).sampling == ("ancestral", taken)


@pytest.mark.parametrize("asked", [1, 5])
def test_sampling_steps_that_the_diffusion_does_not_have_are_refused(asked):
    with pytest.raises(ConfigError) as raised:
        build(dataclasses.replace(TINY, sampling_steps=asked), INFO)
    assert str(raised.value) == (
        f"--sampling-steps is {asked}; accepted: 0, for all 4 steps of the diffusion, or a number from 2 to 4"
    )


def test_a_run_may_go_on_with_other_sampling_steps():
    assert "sampling_steps" in free_fields(type(TINY))
