import dataclasses
import json

import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.errors import ConfigError
from gen_jax.measures import measure
from gen_jax.training.game import Density


def by_metric(scores):
    return {score.metric: score for score in scores}


def test_held_out_numbers_are_those_of_the_last_evaluation(subject, vae_run):
    found = by_metric(measure(subject(vae_run), ["held_out"]))
    lines = [json.loads(line) for line in (vae_run.directory.path / "metrics.jsonl").read_text().splitlines()]
    logged = [line for line in lines if line["split"] == "eval"][-1]
    assert {name: score.value for name, score in found.items()} == {name: logged[name] for name in found}
    assert set(found) == {"elbo", "kl", "log_likelihood"}
    assert (found["elbo"].better, found["kl"].better) == ("larger", None)
    assert found["elbo"].unit == "nats"
    assert found["elbo"].protocol["observed"] == "binary pixels"


def test_more_importance_samples_are_nearer_to_the_truth_and_stated(subject, vae_run):
    elbo = by_metric(measure(subject(vae_run), ["held_out"]))["elbo"].value
    (few,) = measure(subject(vae_run, importance_samples=1), ["nll"])
    (many,) = measure(subject(vae_run, importance_samples=200), ["nll"])
    # One sample is the ELBO with other noise.
    assert few.value == pytest.approx(-elbo, abs=0.5)
    assert many.value < few.value
    assert many.name == "-log p(x), 200 importance samples"
    assert many.protocol["importance_samples"] == 200
    low, high = many.interval
    assert low < many.value < high


def test_the_seed_is_that_of_importance_sampling(subject, vae_run):
    first, again, other = (measure(subject(vae_run, importance_samples=2, seed=seed), ["nll"])[0] for seed in (3, 3, 4))
    assert first.value == again.value != other.value
    assert (first.protocol["seed"], other.protocol["seed"]) == (3, 4)


def test_last_weights_are_measured_if_asked_for(subject, vae_run):
    averaged = by_metric(measure(subject(vae_run), ["held_out"]))["elbo"]
    last = by_metric(measure(subject(vae_run, weights="last"), ["held_out"]))["elbo"]
    assert last.value != averaged.value
    assert (averaged.protocol["weights"], last.protocol["weights"]) == ("average", "last")


def test_a_loss_has_no_direction_for_it_means_another_thing_in_each_experiment(subject, image_run):
    (loss,) = measure(subject(image_run), ["held_out"])
    assert (loss.metric, loss.better) == ("loss", None)


def test_weights_without_an_average_are_called_last(subject, image_run):
    assert measure(subject(image_run), ["held_out"])[0].protocol["weights"] == "last"


def test_bits_are_refused_of_binary_pixels(subject, vae_run):
    with pytest.raises(ConfigError) as raised:
        measure(subject(vae_run), ["bits_per_dim"])
    assert str(raised.value) == (
        "bits_per_dim does not apply: the model scores binary pixels, not 256 levels or dequantised pixels"
    )


def scoring(run, density, evaluate=None):
    """The run, as if its game gave probabilities like that."""
    changed = object.__new__(type(run))
    changed.__dict__.update(run.__dict__)
    changed.game = dataclasses.replace(run.game, density=density, **({"evaluate": evaluate} if evaluate else {}))
    return changed


def constant(value):
    return lambda params, variables, batch, key, k: jnp.full((k, batch["x"].shape[0]), value)


@pytest.mark.parametrize(
    ("observed", "how", "bits"),
    [("256 levels", "none", 100 / 64 / np.log(2)), ("dequantised", "uniform", 100 / 64 / np.log(2) + 8)],
)
def test_bits_of_an_exact_model_follow_from_its_nats_and_name_the_dequantisation(
    subject, image_run, observed, how, bits
):
    made = subject(scoring(image_run, Density(observed, constant(-100.0), exact=True)))
    (score,) = measure(made, ["bits_per_dim"])
    assert score.value == pytest.approx(bits)
    assert score.protocol["dequantisation"] == how
    assert score.name == f"Bits per dimension, {observed}, exact"
    (nll,) = measure(made, ["nll"])
    assert (nll.value, nll.name, nll.protocol["importance_samples"]) == (pytest.approx(100), "-log p(x), exact", 1)


def test_bits_of_a_model_with_only_a_bound_come_from_its_elbo(subject, image_run):
    def evaluate(params, variables, batch, key):
        return {"elbo": jnp.full(batch["x"].shape[0], -64 * np.log(2))}

    made = subject(scoring(image_run, Density("256 levels"), evaluate))
    (score,) = measure(made, ["bits_per_dim"])
    assert score.value == pytest.approx(1)
    assert score.name == "Bits per dimension, 256 levels, by the ELBO"
    with pytest.raises(ConfigError, match="nll does not apply: of this model only a bound is known"):
        measure(made, ["nll"])
