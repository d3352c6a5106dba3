import numpy as np
import pytest

from gen_jax.errors import ConfigError
from gen_jax.measures import measure


def by_metric(scores):
    return {score.metric: score for score in scores}


def test_a_generator_that_returns_training_images_is_caught(subject, image_run, monkeypatch):
    training = image_run.load_data().train.arrays["x"]
    monkeypatch.setattr(image_run.sampler, "stream", lambda state, key, n: iter([training[:n]]))
    found = by_metric(measure(subject(image_run, samples=200), ["neighbours"]))
    assert set(found) == {
        "copied_pixels",
        "distance_ratio_pixels",
        "copied_pixels_classifier",
        "distance_ratio_pixels_classifier",
    }
    assert found["copied_pixels"].value == 1
    assert found["distance_ratio_pixels"].value == 0
    assert found["copied_pixels_classifier"].value == 1
    assert found["copied_pixels"].protocol["of held-out images"] < 0.05
    assert found["copied_pixels"].protocol["training_images"]["searched"] == 1438


def test_unseen_images_are_no_copies(subject, image_run, monkeypatch):
    unseen = image_run.load_data().test.arrays["x"]
    monkeypatch.setattr(image_run.sampler, "stream", lambda state, key, n: iter([unseen[:n]]))
    found = by_metric(measure(subject(image_run, samples=359), ["neighbours"]))
    assert found["copied_pixels"].value == found["copied_pixels"].protocol["of held-out images"]
    assert found["distance_ratio_pixels"].value == pytest.approx(1)
    assert found["distance_ratio_pixels_classifier"].value == pytest.approx(1)


def test_points_are_refused(subject, point_run):
    with pytest.raises(ConfigError) as raised:
        measure(subject(point_run), ["neighbours"])
    assert str(raised.value) == "neighbours does not apply to ring8: it has points, not images"


def test_a_large_training_set_is_thinned_out_and_the_score_says_so(subject, image_run, monkeypatch):
    monkeypatch.setattr("gen_jax.measures.memorisation.SEARCHED", 500)
    scores = measure(subject(image_run, samples=20), ["neighbours"])
    assert {score.protocol["training_images"]["searched"] for score in scores} == {500}
    assert all(np.isfinite(score.value) for score in scores)
