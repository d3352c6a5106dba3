"""What every experiment must satisfy, without computing anything; a new file in `experiments/` is held to it.

Shapes alone are computed (`jax.eval_shape`), for all presets. tests/experiments/test_training.py trains.
"""

import functools
import math
import re

import held
import jax
import jax.numpy as jnp
import published
import pytest

from gen_jax.experiment import Experiment
from gen_jax.run.setup import initial_state
from gen_jax.training.step import train_step

# Those that every experiment has; most have "paper".
PRESETS = ("default", "tiny")
PARAMETERS = {
    # Ho et al. 2020, appendix B, say 35.7 million.
    ("ddpm", "paper"): 35_746_307,
}
# A source that a reader can find: arXiv, a DOI, or an address.
SOURCE = r"arXiv \d{4}\.\d{4,5}|arXiv [a-z-]+/\d{7}|\b(doi|DOI)\b.{0,2}10\.\d{4,}/\S+|https?://\S+"

every = pytest.mark.parametrize("name", [held.parameter(name) for name in held.NAMES])


def every_preset(quick=None):
    """Each experiment with each of its presets; all are quick, or the one that is named alone."""
    pairs = [(name, preset) for name in held.NAMES for preset in {*PRESETS, *held.module_of(name).EXPERIMENT.presets}]
    parameters = [held.parameter(*pair, slow=quick not in (None, pair[1])) for pair in sorted(pairs)]
    return pytest.mark.parametrize(("name", "preset"), parameters)


@functools.cache
def built(name, preset):
    """(config, what there is to know of the data, the game, the shapes of its state)."""
    experiment = held.module_of(name).EXPERIMENT
    config = experiment.presets[preset]
    info = published.described(config)
    if held.needs_other_runs(experiment):
        pytest.skip("it is made of other runs")
    game = experiment.game(config, info)
    return config, info, game, jax.eval_shape(functools.partial(initial_state, game, info), jax.random.key(0))


def batch_of(info, size):
    """A batch as it is stored, without its contents."""
    fields = {name: jnp.zeros((size, *field.shape), field.dtype) for name, field in info.fields.items()}
    return {**fields, "index": jnp.zeros(size, jnp.int32)}


def test_there_are_experiments():
    assert {"vae", "gan", "dcgan", "wgan_gp", "ddpm"} <= set(held.NAMES)


@every
def test_defines_an_experiment_that_a_run_can_find_again(name):
    experiment = held.module_of(name).EXPERIMENT
    assert isinstance(experiment, Experiment)
    assert experiment.identity == {"module": f"experiments.{name}", "file": ""}
    assert experiment.name == name


@every
def test_docstring_gives_source_command_and_what_to_expect(name):
    docstring = held.module_of(name).__doc__
    assert re.search(SOURCE, docstring)
    assert re.search(rf"^    python -m experiments\.{name}$", docstring, re.MULTILINE)
    assert re.search(r"\bExpect\b", docstring)


@every_preset()
def test_preset_passes_its_own_check(name, preset):
    presets = held.module_of(name).EXPERIMENT.presets
    config = presets[preset]
    config.check()
    assert type(config) is type(presets["default"])
    assert config.run_dir is None
    assert config.data_dir is None


@pytest.mark.parametrize("preset", ["default", "tiny"])
@every
def test_defaults_and_tiny_need_no_download(name, preset):
    config = held.module_of(name).EXPERIMENT.presets[preset]
    assert published.embedded(config.data, config.image_size).train_size > 0


@every_preset()
def test_preset_builds_a_game_on_its_data(name, preset):
    _, _, _, state = built(name, preset)
    parameters = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(state.params))
    assert parameters == PARAMETERS.get((name, preset), parameters) > 0


@every_preset()
def test_samples_are_like_the_entry_of_the_data_that_the_game_makes(name, preset):
    _, info, game, state = built(name, preset)
    if game.sample is None:
        pytest.skip("it makes no samples")

    def draw(params, variables, key):
        given = {
            name: jnp.zeros((3, *given.field.shape), given.field.dtype) if given.draw is None else given.draw(key, 3)
            for name, given in game.given.items()
        }
        given = game.transformed(given, key, train=False)
        return game.restored(game.sample(params, variables, key, 3, **given))

    samples = jax.eval_shape(draw, state.sampling_params, state.variables, jax.random.key(0))
    assert (samples.shape, samples.dtype) == ((3, *info.fields[game.makes].shape), info.fields[game.makes].dtype)


# Written out with its gradients, a step of a large network takes Python seconds.
@every_preset(quick="tiny")
def test_a_step_keeps_the_shapes_of_the_state_and_has_metrics(name, preset):
    config, info, game, state = built(name, preset)
    batch = batch_of(info, config.batch_size)
    due = (True,) * len(game.turns)
    moved, metrics = jax.eval_shape(
        lambda state: train_step(game, lambda step, draw: batch, state, jax.random.key(0), due=due, unroll=False), state
    )
    # An array that changes its shape or its type would be refused by the second step of a loop.
    described = [jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype.name), tree) for tree in (moved, state)]
    assert described[0] == described[1]
    assert len(metrics) == len(game.turns)
    assert all(turn for turn in metrics)
    assert {leaf.shape for leaf in jax.tree.leaves(metrics)} == {()}


@every_preset(quick="tiny")
def test_an_evaluation_has_a_value_for_each_example(name, preset):
    _, info, game, state = built(name, preset)
    if game.evaluate is None:
        pytest.skip("it evaluates nothing on held-out data")

    def evaluate(params, variables, batch, key):
        return game.evaluate(params, variables, game.transformed(batch, key, train=False), key)

    found = jax.eval_shape(evaluate, state.sampling_params, state.variables, batch_of(info, 5), jax.random.key(0))
    assert found
    assert {metric.shape for metric in found.values()} == {(5,)}


def test_every_expected_number_of_parameters_is_compared():
    assert all(preset in held.module_of(name).EXPERIMENT.presets for name, preset in PARAMETERS)
