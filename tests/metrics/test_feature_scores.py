import numpy as np
import pytest
from small_networks import first_pixels

import gen_jax.metrics.feature_scores as module
from gen_jax.data import load_dataset
from gen_jax.errors import ConfigError
from gen_jax.metrics.feature_scores import feature_scores
from gen_jax.training.sharding import make_mesh


@pytest.fixture
def digits(monkeypatch):
    monkeypatch.setattr(module, "feature_network", lambda dataset, mesh, say: first_pixels(20))
    return load_dataset("digits")


def test_real_training_images_score_well_and_noise_does_not(digits):
    scores = feature_scores(["fid", "precision_recall"], 300, digits, make_mesh())
    assert scores.samples == 300
    real = scores(digits.train.arrays["x"][:300])
    noise = scores(np.random.default_rng(0).integers(0, 256, (300, 8, 8, 1), np.uint8))
    assert tuple(real) == tuple(noise) == scores.names
    fid, precision, recall = (f"{name}_300_pixels_classifier" for name in ("fid", "precision", "recall"))
    assert set(scores.names) == {fid, precision, recall}
    assert noise[fid] > 20 * real[fid]
    assert real[precision] > 0.7 > 0.1 > noise[precision]
    assert real[recall] > 0.7


def test_held_out_images_limit_what_the_name_says(digits):
    (name,) = feature_scores(["kid"], 5000, digits, make_mesh()).names
    assert name == "kid_359_pixels_classifier"
    (name,) = feature_scores(["inception_score"], 5000, digits, make_mesh()).names
    assert name == "inception_score_5k_pixels_classifier"


def test_commas_may_stand_between_names_as_on_the_command_line_of_evaluate(digits):
    scores = feature_scores(["fid,kid", "inception_score"], 300, digits, make_mesh())
    assert [name.partition("_300")[0] for name in scores.names] == ["fid", "kid", "inception_score"]


def test_a_score_says_all_that_it_depends_on(digits):
    scores = feature_scores(["kid", "inception_score"], 300, digits, make_mesh())
    made = {"samples": 300, "seed": 5, "weights": "average", "sampler": "one pass", "sampler_steps": 1}
    kid, inception_score = scores.scores(7, dict.fromkeys([*scores.names, "loss"], 2.5), made)
    assert (kid.metric, kid.name) == (
        "kid_300_pixels_classifier",
        "KID-300 (pixels classifier), not comparable",
    )
    assert (kid.value, kid.step, kid.better) == (2.5, 7, "smaller")
    assert kid.protocol.items() >= made.items()
    assert kid.protocol["subset_size"] == 150
    assert kid.protocol["features"]["digest"] == "0123456789abcdef"
    assert kid.protocol["reference"]["split"] == "test"
    assert kid.protocol["reference"]["size"] == 359
    assert len(kid.protocol["reference"]["digest"]) == 16
    assert "reference" not in inception_score.protocol
    assert inception_score.protocol["splits"] == 10


def test_unknown_measures_and_points_are_refused(digits):
    with pytest.raises(ConfigError) as raised:
        feature_scores(["fdi"], 100, digits, make_mesh())
    assert str(raised.value) == (
        "--eval-metrics has 'fdi'; the nearest is 'fid'. Accepted: fid, kid, inception_score, precision_recall, "
        "density_coverage"
    )
    with pytest.raises(ConfigError) as raised:
        feature_scores(["fid", "kid"], 3, digits, make_mesh())
    assert str(raised.value) == "--eval-samples is 3; kid needs at least 4"
    with pytest.raises(ConfigError) as raised:
        feature_scores(["fid"], 100, load_dataset("ring8"), make_mesh())
    assert str(raised.value) == "--eval-metrics does not apply to ring8: it has points, not images"
