import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gen_jax.data import Identity, Signed
from gen_jax.losses import NoiseSchedule, diffusion_elbo, linear_betas, q_sample
from gen_jax.methods import diffusion
from gen_jax.samplers import ancestral, respaced
from gen_jax.training import keys
from gen_jax.training.game import Now, Sampling

NOW = Now(None, jnp.int32(0))
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
    trained, aux = jax.jit(game.players["network"].loss)(params, variables, data(n), KEY, NOW)
    expected = expected_loss() + shift**2
    assert abs(evaluated.mean() - expected) < 5 * evaluated.std() / np.sqrt(n)
    assert 5 * evaluated.std() / np.sqrt(n) < 0.05 * expected
    np.testing.assert_allclose(trained, evaluated, rtol=1e-6)
    assert not aux.metrics


def test_optimal_predictor_is_a_minimum_of_the_loss():
    game = game_of(OptimalNoise())

    def mean_loss(scale):
        params = {"network": {"scale": scale}}
        return game.players["network"].loss(params, {"network": {}}, data(20_000), KEY, NOW)[0].mean()

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
    trained = jax.jit(game.players["network"].loss)(params, variables, data(4), KEY, NOW)[0]
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


class Pixelwise(nn.Module):
    """E[noise | x_t] of images whose pixels are N(MEAN, STD^2)."""

    @nn.compact
    def __call__(self, x, t):
        scale = self.param("scale", nn.initializers.ones, ())
        signal, noise = (
            a[t][:, None, None, None] for a in (SCHEDULE.sqrt_alphas_bar, SCHEDULE.sqrt_one_minus_alphas_bar)
        )
        return scale * noise * (x - signal * MEAN) / (signal**2 * STD**2 + noise**2)


def image_game(sampling=None):
    return diffusion(
        Pixelwise(),
        SCHEDULE,
        ancestral,
        shape=(4, 4, 1),
        optimizer=optax.sgd(0.1),
        transform=Signed(),
        sampling=sampling,
    )


IMAGE_NETS = {"network": {"scale": jnp.float32(1.0)}}, {"network": {}}
IMAGES = {"x": jnp.round(jax.random.uniform(jax.random.key(2), (9, 4, 4, 1)) * 255) / 127.5 - 1}


def predict(x, t):
    return Pixelwise().apply({"params": IMAGE_NETS[0]["network"]}, x, t)


def test_images_have_a_bound_beside_the_loss_and_the_loss_is_the_same_as_ever():
    game = image_game()
    found = jax.jit(game.evaluate)(*IMAGE_NETS, IMAGES, KEY)
    bound = jax.jit(lambda x, key: diffusion_elbo(predict, SCHEDULE, x, key))(IMAGES["x"], keys.derive(KEY, "elbo"))
    loss, _ = jax.jit(game.players["network"].loss)(*IMAGE_NETS, IMAGES, KEY, NOW)
    assert set(found) == {"loss", "elbo"}
    np.testing.assert_allclose(found["elbo"], bound, rtol=1e-5)
    np.testing.assert_allclose(found["loss"], loss, rtol=1e-6)
    assert game.density.observed == "256 levels"
    assert game.density.log_weights is None


def test_points_have_no_levels_to_bound_and_nothing_to_see():
    game = game_of(OptimalNoise())
    assert set(jax.eval_shape(game.evaluate, *started(game), data(4), KEY)) == {"loss"}
    assert game.density is None
    assert game.views == {}


def test_all_steps_are_taken_unless_fewer_are_asked_for():
    assert image_game().sampling == Sampling("ancestral", 8)
    few = Sampling("ancestral", 3)
    assert image_game(few).sampling is few
    x_T = jax.random.normal(keys.derive(KEY, "x_T"), (5, 4, 4, 1))
    expected = respaced(ancestral, 3)(predict, SCHEDULE, x_T, keys.derive(KEY, "sampler"))
    np.testing.assert_allclose(image_game(few).sample(*IMAGE_NETS, KEY, 5), expected, rtol=1e-4, atol=1e-5)


def test_denoising_leads_from_noise_to_the_samples_of_the_same_key():
    game = image_game(Sampling("ancestral", 3))
    rows = np.asarray(jax.jit(game.views["denoising"])(*IMAGE_NETS, IMAGES, KEY))
    assert rows.shape == (8, 4, 4, 4, 1)
    x_T = jax.random.normal(keys.derive(KEY, "x_T"), (8, 4, 4, 1))
    np.testing.assert_allclose(rows[:, 0], np.clip(x_T, -1, 1), rtol=1e-5)
    samples = np.asarray(game.sample(*IMAGE_NETS, KEY, 8))
    np.testing.assert_allclose(rows[:, -1], np.clip(samples, -1, 1), rtol=1e-4, atol=1e-5)
    # Each column is one step further, so the noise in it never grows by much and in the end is gone.
    distance = np.abs(rows - rows[:, -1:]).mean(axis=(0, 2, 3, 4))
    assert distance[0] > 3 * distance[-2] > 0


def test_interpolations_mix_the_images_under_one_noise():
    alphas_bar = np.cumprod(1 - BETAS)
    start = int((alphas_bar >= 0.08).sum())
    assert 1 < start < 8
    rows = np.asarray(jax.jit(image_game().views["interpolations"])(*IMAGE_NETS, IMAGES, KEY))
    assert rows.shape == (8, 10, 4, 4, 1)
    x = IMAGES["x"][:8]
    noise = jax.random.normal(keys.derive(KEY, "noise"), x.shape)
    for column, mixed in ((0, x), (3, (6 * x + 3 * jnp.roll(x, -1, axis=0)) / 9), (9, jnp.roll(x, -1, axis=0))):
        x_t = q_sample(SCHEDULE, mixed, jnp.full(8, start - 1), noise)
        expected = ancestral(predict, SCHEDULE, x_t, keys.derive(KEY, "sampler"), start=start)
        np.testing.assert_allclose(rows[:, column], expected, rtol=1e-4, atol=1e-5)
