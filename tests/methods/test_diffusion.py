import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gen_jax.data import Identity
from gen_jax.losses import NoiseSchedule, linear_betas
from gen_jax.methods import diffusion
from gen_jax.samplers import ancestral
from gen_jax.training import keys

KEY = jax.random.key(0)
MEAN, STD = -0.5, 0.6
BETAS = linear_betas(8, 0.02, 0.5)
SCHEDULE = NoiseSchedule.from_betas(BETAS)


class OptimalNoise(nn.Module):
    """E[noise | x_t] of data from N(MEAN, STD^2), off by `shift`."""

    shift: float = 0.0

    @nn.compact
    def __call__(self, x, t):
        scale = self.param("scale", nn.initializers.ones, ())
        signal, noise = SCHEDULE.sqrt_alphas_bar[t][:, None], SCHEDULE.sqrt_one_minus_alphas_bar[t][:, None]
        return scale * noise * (x - signal * MEAN) / (signal**2 * STD**2 + noise**2) + self.shift


class Mode(nn.Module):
    """Predicts 1 in training and 0 otherwise."""

    @nn.compact
    def __call__(self, x, t, *, train):
        return self.param("zero", nn.initializers.zeros, ()) + jnp.full(x.shape, float(train))


def game_of(network, average_decay=0.9999):
    return diffusion(
        network,
        SCHEDULE,
        lambda *arguments: ancestral(*arguments, clip=None),
        shape=(2,),
        optimizer=optax.sgd(0.1),
        transform=Identity(),
        average_decay=average_decay,
    )


def started(game):
    nets = game.init(KEY, {"x": jnp.zeros((1, 2))})
    return {"network": nets["network"]["params"]}, {"network": {}}


def data(n):
    return {"x": MEAN + STD * jax.random.normal(jax.random.key(5), (n, 2))}


def expected_loss():
    """Var(noise | x_t), averaged over the steps: what is left of the noise when x_t is known."""
    alphas_bar = np.cumprod(1 - BETAS)
    signal = alphas_bar * STD**2
    return np.mean(signal / (signal + 1 - alphas_bar))


@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_optimal_predictor_costs_the_conditional_variance_and_a_shift_its_square(shift):
    n = 40_000
    game = game_of(OptimalNoise(shift))
    params, variables = started(game)
    evaluated = np.asarray(jax.jit(game.evaluate)(params, variables, data(n), KEY)["loss"], np.float64)
    trained, aux = jax.jit(game.players["network"].loss)(params, variables, data(n), KEY, None)
    expected = expected_loss() + shift**2
    assert abs(evaluated.mean() - expected) < 5 * evaluated.std() / np.sqrt(n)
    assert 5 * evaluated.std() / np.sqrt(n) < 0.05 * expected
    np.testing.assert_allclose(trained, evaluated, rtol=1e-6)
    assert not aux.metrics


def test_optimal_predictor_is_a_minimum_of_the_loss():
    game = game_of(OptimalNoise())

    def mean_loss(scale):
        params = {"network": {"scale": scale}}
        return game.players["network"].loss(params, {"network": {}}, data(20_000), KEY, None)[0].mean()

    slope = jax.jit(jax.grad(mean_loss))
    at_optimum, above = slope(1.0), slope(1.2)
    assert abs(at_optimum) < 0.02
    assert above > 0.2


def test_samples_have_the_mean_and_variance_of_the_reverse_process():
    n = 40_000
    game = game_of(OptimalNoise())
    samples = np.asarray(game.sample(*started(game), KEY, n), np.float64)
    mean, variance, alphas_bar = 0.0, 1.0, np.cumprod(1 - BETAS)
    for t in reversed(range(len(BETAS))):
        before = alphas_bar[t - 1] if t else 1.0
        weight_x0 = np.sqrt(before) * BETAS[t] / (1 - alphas_bar[t])
        regression = np.sqrt(alphas_bar[t]) * STD**2 / (alphas_bar[t] * STD**2 + 1 - alphas_bar[t])
        slope = weight_x0 * regression + np.sqrt(1 - BETAS[t]) * (1 - before) / (1 - alphas_bar[t])
        mean = slope * mean + weight_x0 * MEAN * (1 - regression * np.sqrt(alphas_bar[t]))
        variance = slope**2 * variance + BETAS[t] * (1 - before) / (1 - alphas_bar[t])
    assert samples.shape == (n, 2)
    assert np.abs(samples.mean(axis=0) - mean).max() < 5 * np.sqrt(variance / n)
    assert np.abs(samples.var(axis=0) - variance).max() < 5 * variance * np.sqrt(2 / n)
    assert abs(np.corrcoef(samples.T)[0, 1]) < 5 / np.sqrt(n)


def test_network_is_in_train_mode_in_the_loss_alone():
    game = game_of(Mode())
    params, variables = started(game)
    noise = np.asarray(jax.random.normal(keys.derive(KEY, "noise"), (4, 2)))
    trained = jax.jit(game.players["network"].loss)(params, variables, data(4), KEY, None)[0]
    evaluated = jax.jit(game.evaluate)(params, variables, data(4), KEY)["loss"]
    np.testing.assert_allclose(trained, ((noise - 1) ** 2).mean(axis=1), rtol=1e-5)
    np.testing.assert_allclose(evaluated, (noise**2).mean(axis=1), rtol=1e-5)
    x_T = jax.random.normal(keys.derive(KEY, "x_T"), (4, 2))
    sampled = ancestral(lambda x, t: jnp.zeros_like(x), SCHEDULE, x_T, keys.derive(KEY, "sampler"), clip=None)
    np.testing.assert_allclose(game.sample(params, variables, KEY, 4), sampled, rtol=1e-5)


def test_times_are_drawn_uniformly_from_all_steps():
    asked = []

    class Recorder(nn.Module):
        @nn.compact
        def __call__(self, x, t):
            asked.append(t)
            return x

    game = game_of(Recorder())
    game.evaluate({"network": {}}, {"network": {}}, data(8_000), KEY)
    counts = np.bincount(np.asarray(asked[-1]), minlength=8)
    assert len(counts) == 8
    assert np.abs(counts - 1000).max() < 5 * np.sqrt(1000)


def test_one_player_moves_and_its_average_samples():
    game = game_of(OptimalNoise(), average_decay=0.5)
    assert game.players["network"].nets == ("network",)
    assert game.draws == 1
    np.testing.assert_allclose(game.averages["network"](jnp.int32(1000)), 0.5)
