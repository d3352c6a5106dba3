import pytest

from gen_jax.metrics.logged import reported
from gen_jax.training.game import Reported


@pytest.mark.parametrize(
    ("name", "better", "depends_on"),
    [
        ("bits_per_dim", "smaller", "observed"),
        ("nll", "smaller", "observed"),
        ("modes", "larger", None),
        ("precision_1k_mnist_classifier", "larger", None),
        ("fid_1k_mnist_classifier", "smaller", None),
        ("kl", None, "experiment"),
        ("loss", None, "experiment"),
    ],
)
def test_what_the_metrics_know_of_their_own_numbers(name, better, depends_on):
    found = reported(name, {})
    assert (found.better, found.depends_on) == (better, depends_on)


def test_what_a_method_says_goes_first():
    mine = Reported("Modes of mine", "modes", "smaller")
    assert reported("modes", {"modes": mine}) == mine
