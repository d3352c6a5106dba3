import pytest

from gen_jax.metrics.logged import direction


@pytest.mark.parametrize(
    ("name", "better"),
    [
        ("elbo", "larger"),
        ("bits_per_dim", "smaller"),
        ("nll", "smaller"),
        ("modes", "larger"),
        ("precision_1k_mnist_classifier", "larger"),
        ("log_likelihood", None),
        ("kl", None),
        ("loss", None),
    ],
)
def test_directions(name, better):
    assert direction(name) == better
