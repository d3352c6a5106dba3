import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import stats

from gen_jax.data import Identity
from gen_jax.methods import vae
from gen_jax.methods.likelihoods import gaussian

KEY = jax.random.key(0)
# Orthogonal columns, so that the posterior of z ~ N(0, I), x | z ~ N(W z + b, SIGMA^2 I) is diagonal.
WEIGHTS = np.array([[1.0, 1.0], [1.0, -1.0], [0.5, 0.0]])
BIAS = np.array([0.3, -0.2, 1.0])
SIGMA = 0.5
POSTERIOR_VARIANCE = 1 / (1 + (WEIGHTS**2).sum(axis=0) / SIGMA**2)
X = np.array([1.2, 0.1, 0.8])


class Posterior(nn.Module):
    """The exact p(z | x), its mean off by `shift` in each dimension."""

    shift: float = 0.0

    @nn.compact
    def __call__(self, x):
        zero = self.param("zero", nn.initializers.zeros, ())
        mean = (x - BIAS[None]) @ (WEIGHTS * POSTERIOR_VARIANCE / SIGMA**2) + self.shift + zero
        return mean, jnp.broadcast_to(jnp.log(POSTERIOR_VARIANCE)[None], mean.shape)


class Affine(nn.Module):
    """The mean and the log standard deviation of p(x | z), the latter as the likelihood wants it: before its tanh."""

    @nn.compact
    def __call__(self, z):
        location = z @ WEIGHTS.T + BIAS[None] + self.param("zero", nn.initializers.zeros, ())
        return jnp.concatenate([location, jnp.full(location.shape, 7 * np.arctanh(np.log(SIGMA) / 7))], axis=-1)


def game_of(shift=0.0, **options):
    return vae(
        Posterior(shift), Affine(), gaussian, latent=2, optimizer=optax.sgd(0.1), transform=Identity(), **options
    )


def started(game):
    nets = game.init(KEY, {"x": jnp.zeros((1, 3))})
    return {net: variables["params"] for net, variables in nets.items()}, {net: {} for net in nets}


def batch(n):
    return {"x": jnp.broadcast_to(jnp.asarray(X, jnp.float32)[None], (n, 3))}


def kl_per_dim(shift=0.0):
    mean = (X - BIAS) @ (WEIGHTS * POSTERIOR_VARIANCE / SIGMA**2) + shift
    return 0.5 * (POSTERIOR_VARIANCE + mean**2 - 1 - np.log(POSTERIOR_VARIANCE))


@pytest.mark.parametrize("shift", [0.0, 0.3])
def test_elbo_is_the_evidence_less_the_divergence_from_the_true_posterior(shift):
    n = 40_000
    game = game_of(shift)
    metrics = {k: np.asarray(v, np.float64) for k, v in jax.jit(game.evaluate)(*started(game), batch(n), KEY).items()}
    evidence = stats.multivariate_normal(BIAS, WEIGHTS @ WEIGHTS.T + SIGMA**2 * np.eye(3)).logpdf(X)
    gap = np.sum(shift**2 / (2 * POSTERIOR_VARIANCE))
    error = metrics["elbo"].std() / np.sqrt(n)
    assert abs(metrics["elbo"].mean() - (evidence - gap)) < 5 * error
    assert 5 * error < 0.05
    np.testing.assert_allclose(metrics["kl"], kl_per_dim(shift).sum(), rtol=1e-4)
    np.testing.assert_allclose(metrics["log_likelihood"] - metrics["kl"], metrics["elbo"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("beta", [0.0, 1.0, 4.0])
def test_beta_weighs_the_kl_in_the_loss_and_not_in_the_metrics(beta):
    game, plain = game_of(beta=beta), game_of()
    loss, aux = jax.jit(game.players["vae"].loss)(*started(game), batch(5), KEY, None)
    expected = jax.jit(plain.evaluate)(*started(plain), batch(5), KEY)
    for name in ("elbo", "kl", "log_likelihood"):
        np.testing.assert_allclose(aux.metrics[name], expected[name], rtol=1e-6)
    np.testing.assert_allclose(loss, beta * expected["kl"] - expected["log_likelihood"], rtol=1e-5)


def test_free_bits_floor_each_latent_dimension_in_the_loss_and_not_in_the_metrics():
    small, large = sorted(kl_per_dim())
    nats = (small + large) / 2
    game, plain = game_of(free_nats=nats), game_of()
    loss, aux = jax.jit(game.players["vae"].loss)(*started(game), batch(5), KEY, None)
    expected = jax.jit(plain.evaluate)(*started(plain), batch(5), KEY)
    np.testing.assert_allclose(aux.metrics["elbo"], expected["elbo"], rtol=1e-6)
    np.testing.assert_allclose(loss, nats + large - expected["log_likelihood"], rtol=1e-4)


def test_samples_are_decoded_means_of_latents_from_the_prior():
    n = 40_000
    game = game_of()
    samples = np.asarray(game.sample(*started(game), KEY, n), np.float64)
    covariance = WEIGHTS @ WEIGHTS.T
    assert samples.shape == (n, 3)
    assert (np.abs(samples.mean(axis=0) - BIAS) < 5 * np.sqrt(np.diag(covariance) / n)).all()
    spread = np.sqrt((np.outer(np.diag(covariance), np.diag(covariance)) + covariance**2) / n)
    assert (np.abs(np.cov(samples.T) - covariance) < 5 * spread).all()


def test_averages_are_kept_of_both_networks_or_of_none():
    assert set(game_of(average_decay=0.9).averages) == {"encoder", "decoder"}
    np.testing.assert_allclose(game_of(average_decay=0.9).averages["decoder"](jnp.int32(10_000)), 0.9)
    assert game_of().averages == {}


def test_one_player_owns_both_networks_and_the_same_key_gives_the_same_latents():
    game = game_of()
    evaluate, variables = jax.jit(game.evaluate), started(game)
    assert game.players["vae"].nets == ("encoder", "decoder")
    first, again, other = (evaluate(*variables, batch(3), key)["elbo"] for key in (KEY, KEY, jax.random.key(1)))
    np.testing.assert_array_equal(first, again)
    assert (first != other).all()
