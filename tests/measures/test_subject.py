import numpy as np
import pytest

from gen_jax.measures import Protocol, Subject, measure
from gen_jax.metrics.frechet import frechet_distance
from gen_jax.metrics.moments import Moments


def test_scores_are_of_the_samples_that_the_run_draws_with_the_seed(subject, image_run):
    made = subject(image_run, samples=300, seed=5)
    (score,) = measure(made, ["fid"])
    drawn = image_run.sample(300, seed=5).reshape(300, -1)[:, :20]
    real = made.dataset.test.arrays["x"].reshape(-1, 64)[:, :20]
    expected = frechet_distance(Moments.of(real.astype(np.float32)), Moments.of(drawn.astype(np.float32)))
    assert score.value == pytest.approx(expected, rel=1e-6)
    assert score.metric == "fid_300_pixels_classifier"
    np.testing.assert_array_equal(made.images, image_run.sample(300, seed=5))


def test_the_protocol_may_have_another_sampler_than_the_run(subject, point_run):
    # A sample of the toy is the mean and noise, divided by the steps.
    before, mean = point_run.sample(50), np.asarray(point_run.state.sampling_params["mean"]["value"])
    made = subject(point_run, samples=50, sampling_steps=1000)
    np.testing.assert_allclose(made.points - mean, (before - mean) / 100, rtol=1e-2, atol=1e-6)
    assert made.run.config.sampling_steps == 1000
    assert point_run.config.sampling_steps == 10
    np.testing.assert_array_equal(point_run.sample(50), before)


def test_reference_may_be_the_training_set(subject, image_run):
    held_out, trained_on = (
        measure(subject(image_run, samples=400, reference=split), ["fid"])[0] for split in ("test", "train")
    )
    assert held_out.value != trained_on.value
    assert (held_out.protocol["reference"]["split"], held_out.protocol["reference"]["size"]) == ("test", 359)
    assert (trained_on.protocol["reference"]["split"], trained_on.protocol["reference"]["size"]) == ("train", 1438)
    assert held_out.protocol["reference"]["digest"] != trained_on.protocol["reference"]["digest"]
    # The name speaks of the fewer of both.
    assert (held_out.metric, trained_on.metric) == ("fid_359_pixels_classifier", "fid_400_pixels_classifier")


def test_samples_are_drawn_once_for_all_measures(subject, image_run, monkeypatch):
    drawn = []
    real = image_run.sampler.stream
    monkeypatch.setattr(image_run.sampler, "stream", lambda *args: drawn.append(args[2]) or real(*args))
    measure(subject(image_run, samples=50), ["fid", "kid", "precision_recall", "recognition"])
    assert drawn == [50]


def test_progress_counts_samples(image_run, monkeypatch, subject):
    told = []
    made = Subject(image_run, Protocol(samples=300), progress=lambda *progress: told.append(progress))
    assert len(made.images) == 300
    assert told == [("samples", 256, 300), ("samples", 300, 300)]


def test_progress_counts_held_out_examples(vae_run):
    told = []
    measure(Subject(vae_run, Protocol(importance_samples=1), progress=lambda *progress: told.append(progress)), ["nll"])
    assert {(what, of) for what, _, of in told} == {("held-out examples", 359)}
    done = [done for _, done, _ in told]
    assert done == sorted(done)
    assert done[-1] == 359


def test_images_that_are_kept_are_bounded(subject, image_run, monkeypatch):
    monkeypatch.setattr("gen_jax.measures.subject.KEPT_IMAGES", 30)
    made = subject(image_run, samples=600)
    assert made.generated.count == 600
    assert len(made.images) == 30


def test_default_sample_counts_are_those_of_the_field(subject, image_run, point_run):
    assert subject(image_run).samples == 10_000
    assert subject(point_run).samples == 2_500
