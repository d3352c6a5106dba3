import pytest

from gen_jax.errors import ConfigError, NoFeatures
from gen_jax.measures import MEASURES, QUICK, Protocol, measure
from gen_jax.metrics.logged import reported


def names(scores):
    return {score.metric for score in scores}


def test_every_score_says_what_it_depends_on(subject, vae_run):
    made = subject(vae_run, samples=40, importance_samples=3, splits=4)
    for score in measure(made, ["all"]):
        assert score.step == 20
        assert score.protocol["seed"] == 0
        assert score.protocol["weights"] == "average"
        if {"samples"} & set(score.protocol):
            assert score.protocol["sampler"] == "one pass"
            assert score.protocol["sampler_steps"] == 1
        if "features" in score.protocol:
            assert score.protocol["samples"] == 40
            assert score.protocol["features"]["digest"] == "0123456789abcdef"
            assert score.name.endswith("not comparable") or score.metric.startswith(("copied", "distance_ratio"))
        if score.better is not None:
            assert reported(score.metric, made.game.reports).better == score.better
    assert any(score.protocol.get("reference", {}).get("split") == "test" for score in measure(made, ["fid"]))


def test_all_are_those_that_apply_and_the_others_are_named(subject, point_run):
    made = subject(point_run, samples=60)
    assert names(measure(made, ["all"])) == {"loss", "modes", "high_quality", "wasserstein_1"}
    assert made.said == [
        "left out: nll does not apply: the method gives no probabilities to data",
        "left out: bits_per_dim does not apply: the method gives no probabilities to data",
        "left out: fid does not apply to ring8: it has points, not images",
        "left out: kid does not apply to ring8: it has points, not images",
        "left out: inception_score does not apply to ring8: it has points, not images",
        "left out: precision_recall does not apply to ring8: it has points, not images",
        "left out: density_coverage does not apply to ring8: it has points, not images",
        "left out: neighbours does not apply to ring8: it has points, not images",
        "left out: recognition does not apply to ring8: its judge is made for digits",
        "left out: agreement does not apply to ring8: it has points, not images",
    ]


def test_without_names_what_takes_seconds_is_measured_and_nothing_said(subject, image_run):
    made = subject(image_run)
    assert names(measure(made, [])) == {"loss", "recognised", "rarest_class"}
    assert made.said == []
    assert set(QUICK) <= set(MEASURES)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("nll", "nll does not apply: the method gives no probabilities to data"),
        ("mixture", "mixture does not apply to digits: it is no mixture of known Gaussians"),
        ("wasserstein", "wasserstein does not apply to digits: it has images, not points"),
    ],
)
def test_a_measure_that_was_asked_for_and_does_not_apply_is_refused(subject, image_run, name, text):
    with pytest.raises(ConfigError) as raised:
        measure(subject(image_run), ["held_out", name])
    assert str(raised.value) == text


def test_unknown_measures_are_refused_before_anything_is_computed_with_the_nearest(subject, image_run):
    with pytest.raises(ConfigError) as raised:
        measure(subject(image_run), ["held_out", "precision"])
    assert (
        str(raised.value)
        == f"--metrics has 'precision'; the nearest is 'precision_recall'. Accepted: all, {', '.join(MEASURES)}"
    )
    with pytest.raises(ConfigError, match=r"--metrics has 'zzz'\. Accepted: all, held_out"):
        measure(subject(image_run), ["zzz"])


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"samples": 0}, "--samples is 0; accepted: a number from 1 to 10000000"),
        ({"samples": 10**12}, "--samples is 1000000000000; accepted: a number from 1 to 10000000"),
        ({"importance_samples": 0}, "--importance-samples is 0; accepted: a number from 1 to 1000000"),
        ({"splits": -1}, "--splits is -1; accepted: a number from 1 to 10000"),
        ({"sampling_steps": 0}, "--sampling-steps is 0; accepted: a number of at least 1"),
        ({"seed": -1}, "--seed is -1; accepted: a number from 0 to 4294967295"),
        ({"sampler": "euler"}, "--sampler does not apply to toy_experiment; options of its sampling: --sampling-steps"),
    ],
)
def test_options_out_of_range_are_refused(subject, image_run, options, text):
    with pytest.raises(ConfigError) as raised:
        subject(image_run, **options)
    assert str(raised.value) == text


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("samples", 2.5, "--samples is 2.5; accepted: a number from 1 to 10000000"),
        ("samples", "100", "--samples is '100'; accepted: a number from 1 to 10000000"),
        ("seed", True, "--seed is True; accepted: a number from 0 to 4294967295"),
        ("splits", None, "--splits is None; accepted: a number from 1 to 10000"),
        ("reference", "val", "--reference is 'val'; accepted: test, train"),
        ("weights", "ema", "--weights is 'ema'; accepted: average, last"),
        ("features", "vgg", "--features is 'vgg'; accepted: auto, inception, classifier"),
    ],
)
def test_what_only_python_can_pass_is_refused_too(name, value, text):
    protocol = Protocol()
    # The type checker of the tests would not let it be made with that.
    object.__setattr__(protocol, name, value)
    with pytest.raises(ConfigError) as raised:
        protocol.check()
    assert str(raised.value) == text


def test_from_python(vae_run):
    scores = vae_run.evaluate(["held_out", "nll"], importance_samples=2)
    assert names(scores) == {"elbo", "kl", "log_likelihood", "nll"}
    assert names(vae_run.evaluate("held_out")) == {"elbo", "kl", "log_likelihood"}


def test_without_labels_and_weights_of_inception_the_rest_is_measured(subject, image_run, monkeypatch):
    def none(*args):
        raise NoFeatures("photos has no labels, and there are no weights")

    made = subject(image_run, samples=60)
    monkeypatch.setattr("gen_jax.measures.subject.feature_network", none)
    found = names(measure(made, ["all"]))
    assert found == {"loss", "copied_pixels", "distance_ratio_pixels", "recognised", "rarest_class"}
    assert "left out: neighbours in features, for which there is no network" in made.said
    in_features = "fid, kid, inception_score, precision_recall, density_coverage"
    assert made.said[-2] == f"left out: {in_features}: photos has no labels, and there are no weights"
    assert len([line for line in made.said if "no labels" in line]) == 1
    with pytest.raises(NoFeatures):
        measure(made, ["fid"])


def test_what_needs_more_samples_is_left_out_of_all_and_refused_by_name(subject, image_run):
    made = subject(image_run, samples=5)
    found = names(measure(made, ["all"]))
    assert any(name.startswith("kid") for name in found)
    assert not any(name.startswith(("density", "inception_score")) for name in found)
    assert "left out: --samples is 5; density_coverage needs at least 6" in made.said
    with pytest.raises(ConfigError, match="--samples is 5; density_coverage needs at least 6"):
        measure(made, ["density_coverage"])


def test_a_name_in_capitals_has_its_nearest(subject, image_run):
    with pytest.raises(ConfigError, match="--metrics has 'FID'; the nearest is 'fid'"):
        measure(subject(image_run), ["FID"])
