import pytest

from gen_jax.metrics.score import Score
from gen_jax.metrics.titles import score_names, title_of, worded
from gen_jax.training.game import Reported

FID = Score("fid_1k_mnist_classifier", "FID-1k (mnist classifier), not comparable", 3.0, "smaller", 5)


@pytest.mark.parametrize(
    ("metric", "title"),
    [
        ("eval/elbo", "ELBO, held-out (nats)"),
        ("train/loss (vae)", "Loss (vae), training"),
        ("wasserstein_distance", "Wasserstein distance"),
        ("fid_5k_inception", "FID 5k inception"),
        ("bits_per_dim", "Bits per dimension"),
        ("nll", "Negative log-likelihood (nats)"),
        (FID.metric, FID.name),
    ],
)
def test_titles_are_words(metric, title):
    reports = {"elbo": Reported("ELBO", "nats", "larger")}
    assert title_of(metric, score_names([FID]), reports, units=True) == title


def test_a_score_that_has_no_name_of_its_own_gets_words():
    raw = Score("fake_logits", "fake_logits", 0.5, None, 5)
    assert (worded(raw, {}), worded(FID, {})) == ("Fake logits", FID.name)
    assert score_names([raw, FID]) == {FID.metric: FID.name}
