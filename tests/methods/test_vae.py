import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import stats

from gen_jax.data import Binarized, Dequantized, Identity, Signed, Unit
from gen_jax.losses import importance_bound
from gen_jax.methods import vae
from gen_jax.methods.likelihoods import bernoulli, discretized_logistic, gaussian
from gen_jax.methods.views import spherical_path
from gen_jax.training.game import ONE_PASS, Now

NOW = Now(None, jnp.int32(0))
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
    loss, aux = jax.jit(game.players["vae"].loss)(*started(game), batch(5), KEY, NOW)
    expected = jax.jit(plain.evaluate)(*started(plain), batch(5), KEY)
    for name in ("elbo", "kl", "log_likelihood"):
        np.testing.assert_allclose(aux.metrics[name], expected[name], rtol=1e-6)
    np.testing.assert_allclose(loss, beta * expected["kl"] - expected["log_likelihood"], rtol=1e-5)


def test_free_bits_floor_each_latent_dimension_in_the_loss_and_not_in_the_metrics():
    small, large = sorted(kl_per_dim())
    nats = (small + large) / 2
    game, plain = game_of(free_nats=nats), game_of()
    loss, aux = jax.jit(game.players["vae"].loss)(*started(game), batch(5), KEY, NOW)
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


EVIDENCE = stats.multivariate_normal(BIAS, WEIGHTS @ WEIGHTS.T + SIGMA**2 * np.eye(3))


def test_every_draw_from_the_true_posterior_has_the_evidence_as_its_weight():
    game, n, k = game_of(), 5, 4
    x = np.random.default_rng(0).normal(size=(n, 3))
    log_weights = jax.jit(game.density.log_weights, static_argnames="k")(
        *started(game), {"x": jnp.asarray(x, jnp.float32)}, KEY, k=k
    )
    np.testing.assert_allclose(log_weights, np.tile(EVIDENCE.logpdf(x), (k, 1)), rtol=1e-4)


def test_more_draws_from_another_posterior_come_nearer_to_the_evidence_from_below():
    game, n, k, shift = game_of(0.3), 10_000, 16, 0.3
    log_weights = jax.jit(game.density.log_weights, static_argnames="k")(*started(game), batch(n), KEY, k=k)
    assert log_weights.shape == (k, n)
    one, many = (np.asarray(importance_bound(log_weights[:draws]), np.float64) for draws in (1, k))
    gap = np.sum(shift**2 / (2 * POSTERIOR_VARIANCE))
    exact = EVIDENCE.logpdf(X)
    assert abs(one.mean() - (exact - gap)) < 5 * one.std() / np.sqrt(n)
    assert exact - gap / 4 < many.mean() < exact + 5 * many.std() / np.sqrt(n)


def test_draws_are_independent_and_of_each_example_its_own():
    game = game_of(0.3)
    log_weights = np.asarray(game.density.log_weights(*started(game), batch(3), KEY, 4))
    assert len(np.unique(log_weights)) == 12


def test_encoder_runs_once_for_all_draws():
    seen = {}

    class Encoder(Posterior):
        def __call__(self, x):
            seen["encoder"] = x.shape
            return super().__call__(x)

    class Decoder(Affine):
        def __call__(self, z):
            seen["decoder"] = z.shape
            return super().__call__(z)

    game = vae(Encoder(), Decoder(), gaussian, latent=2, optimizer=optax.sgd(0.1), transform=Identity())
    nets = started(game)
    jax.eval_shape(lambda: game.density.log_weights(*nets, batch(5), KEY, 7))
    assert seen == {"encoder": (5, 3), "decoder": (35, 2)}


@pytest.mark.parametrize(
    ("likelihood", "transform", "observed"),
    [
        (bernoulli, Binarized(), "binary pixels"),
        (bernoulli, Unit(), None),
        (discretized_logistic, Signed(), "256 levels"),
        (discretized_logistic, Unit(), None),
        (gaussian, Unit(), "real numbers"),
        (gaussian, Identity(), "real numbers"),
        (gaussian, Dequantized(), "dequantised"),
    ],
)
def test_density_says_what_is_observed_and_there_is_none_where_the_likelihood_is_not_of_the_data(
    likelihood, transform, observed
):
    game = vae(Posterior(), Affine(), likelihood, latent=2, optimizer=optax.sgd(0.1), transform=transform)
    assert (game.density and game.density.observed) == observed
    assert game.sampling == ONE_PASS


def posterior_mean(x):
    return (x - BIAS) @ (WEIGHTS * POSTERIOR_VARIANCE / SIGMA**2)


def test_reconstructions_are_the_data_and_the_mean_of_the_decoder_at_the_mean_of_the_encoder():
    game, x = game_of(), np.random.default_rng(0).normal(size=(11, 3))
    rows = game.views["reconstructions"](*started(game), {"x": jnp.asarray(x, jnp.float32)}, KEY)
    assert rows.shape == (8, 2, 3)
    np.testing.assert_allclose(rows[:, 0], x[:8], rtol=1e-6)
    np.testing.assert_allclose(rows[:, 1], posterior_mean(x[:8]) @ WEIGHTS.T + BIAS, rtol=1e-4)


def test_interpolations_lead_from_each_reconstruction_to_the_next():
    game, x = game_of(), np.random.default_rng(0).normal(size=(8, 3))
    rows = game.views["interpolations"](*started(game), {"x": jnp.asarray(x, jnp.float32)}, KEY)
    mean = posterior_mean(x)
    path = np.asarray(
        spherical_path(jnp.asarray(mean, jnp.float32), jnp.asarray(np.roll(mean, -1, axis=0), jnp.float32))
    )
    assert rows.shape == (8, 10, 3)
    np.testing.assert_allclose(rows, path @ WEIGHTS.T + BIAS, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(rows[:-1, -1], rows[1:, 0], rtol=1e-3, atol=1e-4)
