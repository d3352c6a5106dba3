"""Runs that are parts of others: copied, known again, refused when they have changed; and warm starts."""

import dataclasses
import io
import re
import shutil

import jax
import numpy as np
import pytest
from rich.console import Console

import gen_jax
from experiments.classifier import EXPERIMENT as CLASSIFIER
from experiments.gan import EXPERIMENT as GAN
from experiments.vae import EXPERIMENT as VAE
from gen_jax.errors import ConfigError
from gen_jax.run.train import train_run


def train(experiment, directory, **changes):
    output = io.StringIO()
    config = dataclasses.replace(experiment.presets["tiny"], run_dir=str(directory), **changes)
    train_run(experiment, config, Console(file=output, width=1000))
    return output.getvalue()


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    directory = tmp_path_factory.mktemp("encoder") / "vae"
    train(VAE, directory, steps=2)
    return directory


@pytest.fixture
def moved(encoder, tmp_path):
    """A copy of the encoder's run, to be changed."""
    return shutil.copytree(encoder, tmp_path / "vae")


def leaves(tree):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]


def test_a_run_needs_its_part_no_more_once_it_is_copied(moved, tmp_path):
    before = gen_jax.load(moved).state
    train(CLASSIFIER, tmp_path / "codes", encoder=str(moved), steps=2)
    shutil.rmtree(moved)
    run = gen_jax.load(tmp_path / "codes")
    averaged = {**before.params, **before.averages}["encoder"]
    # Frozen: what it was when it was copied, to the bit.
    for mine, theirs in zip(leaves(run.state.params["encoder"]), leaves(averaged), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert set(run.state.params) == {"encoder", "classifier"}
    assert "continuing after step 2" in train(CLASSIFIER, tmp_path / "codes", encoder=str(moved), steps=4)
    assert [score.metric for score in run.evaluate("held_out")] == ["accuracy", "loss"]


def test_a_part_that_is_trained_on_moves(encoder, tmp_path):
    train(CLASSIFIER, tmp_path / "tuned", encoder=str(encoder), finetune=True, steps=2)
    tuned, before = gen_jax.load(tmp_path / "tuned").state.params["encoder"], gen_jax.load(encoder).state
    averaged = {**before.params, **before.averages}["encoder"]
    assert any((mine != theirs).any() for mine, theirs in zip(leaves(tuned), leaves(averaged), strict=True))


def test_a_part_that_has_changed_is_refused_and_the_run_still_loads(moved, tmp_path):
    train(CLASSIFIER, tmp_path / "codes", encoder=str(moved), steps=2)
    train(VAE, moved, steps=4)
    message = (
        f"--encoder is {re.escape(str(moved))}, which has changed: this run began with its step 2, state .* step 4"
    )
    with pytest.raises(ConfigError, match=message):
        train(CLASSIFIER, tmp_path / "codes", encoder=str(moved), steps=4)
    assert gen_jax.load(tmp_path / "codes").step == 2


def test_what_a_part_is_and_not_where_it_lies_makes_the_run(encoder, moved, tmp_path):
    train(CLASSIFIER, tmp_path / "codes", encoder=str(encoder), steps=2)
    assert "continuing after step 2" in train(CLASSIFIER, tmp_path / "codes", encoder=str(moved), steps=4)


def test_what_is_no_run_is_one_line(tmp_path):
    with pytest.raises(ConfigError, match=r"--encoder is none, which is not a trained run: none does not exist"):
        train(CLASSIFIER, tmp_path / "codes", encoder="none")
    assert not (tmp_path / "codes").exists()


def test_a_run_of_another_kind_is_one_line_that_says_what_would_do(tmp_path):
    train(GAN, tmp_path / "gan", steps=2)
    message = (
        r"a run of experiments.gan, which cannot encode; accepted: a run with an encoder, such as of experiments.vae"
    )
    with pytest.raises(ConfigError, match=message):
        train(CLASSIFIER, tmp_path / "codes", encoder=str(tmp_path / "gan"))


def test_a_part_of_other_shapes_is_one_line(encoder, tmp_path):
    message = r"which was trained on image of 8x8x1; digits has image of 16x16x1"
    with pytest.raises(ConfigError, match=message):
        train(CLASSIFIER, tmp_path / "codes", encoder=str(encoder), image_size=16)


def test_a_warm_start_takes_the_nets_that_fit_and_names_those_it_left(encoder, tmp_path):
    said = train(VAE, tmp_path / "warm", init_from=str(encoder), steps=1, learning_rate=1e-9, seed=5)
    assert f"begins   with decoder, encoder of {encoder}, step 2\n" in said
    warm, source = gen_jax.load(tmp_path / "warm").state.params, gen_jax.load(encoder).state
    for mine, theirs in zip(leaves(warm), leaves({**source.params, **source.averages}), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-6)
    other = train(CLASSIFIER, tmp_path / "scratch", encoder=str(encoder), steps=1, init_from=str(encoder))
    assert f"begins   with encoder of {encoder}, step 2; classifier of its own\n" in other


def test_a_warm_start_with_nothing_in_common_is_one_line(encoder, tmp_path):
    message = r"which has decoder, encoder; this run has discriminator, generator, and none of the same name and shape"
    with pytest.raises(ConfigError, match=message):
        train(GAN, tmp_path / "gan", init_from=str(encoder))
