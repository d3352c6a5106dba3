import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import integrate, stats

from gen_jax.losses import clip_weights, gradient_penalty, minimax, non_saturating, wasserstein
from gen_jax.methods import gan, normal_prior, uniform_prior
from gen_jax.methods.views import spherical_path
from gen_jax.training import init_state, keys
from gen_jax.training.game import ONE_PASS, Now
from gen_jax.training.step import train_step

NOW = Now(None, jnp.int32(0))
KEY = jax.random.key(0)
RATE = 0.1


class AsTheyAre:
    """Examples of any dimension."""

    def train(self, x, key):
        return x

    def evaluate(self, x, key):
        return x

    def restore(self, x):
        return x


class Shift(nn.Module):
    """G(z) = z + shift."""

    shift: float = 0.0

    @nn.compact
    def __call__(self, z):
        return z + self.param("shift", nn.initializers.constant(self.shift), ())


class Linear(nn.Module):
    """D(x) = sum of slope * x, plus offset."""

    slope: float
    offset: float = 0.0

    @nn.compact
    def __call__(self, x):
        slope = self.param("slope", nn.initializers.constant(self.slope), ())
        return slope * x.sum(axis=1) + self.param("offset", nn.initializers.constant(self.offset), ())


class Normed(nn.Module):
    """Batch normalisation, then a sum in the discriminator."""

    total: bool

    @nn.compact
    def __call__(self, x, *, train):
        x = nn.BatchNorm(not train, momentum=0.5)(x)
        return x.sum(axis=1) if self.total else x


def game_of(generator, discriminator, loss, latent=1, **options):
    return gan(
        generator,
        discriminator,
        loss,
        latent=latent,
        generator_optimizer=optax.sgd(RATE),
        discriminator_optimizer=optax.sgd(RATE),
        transform=AsTheyAre(),
        **options,
    )


def started(game, dimensions=1):
    nets = game.init(KEY, {"x": jnp.zeros((1, dimensions))})
    params = {net: variables.get("params", {}) for net, variables in nets.items()}
    return params, {net: {k: v for k, v in variables.items() if k != "params"} for net, variables in nets.items()}


def real_data(n, dimensions=1):
    return {"x": jax.random.normal(jax.random.key(7), (n, dimensions))}


def latents(key, n, dimensions=1):
    return np.asarray(jax.random.normal(keys.derive(key, "latent"), (n, dimensions)))


def test_losses_and_metrics_are_those_of_logits_computed_by_hand():
    game = game_of(Shift(0.5), Linear(2.0, -0.3), non_saturating)
    params, variables = started(game)
    real, fake = 2 * np.asarray(real_data(6)["x"])[:, 0] - 0.3, 2 * (latents(KEY, 6)[:, 0] + 0.5) - 0.3
    discriminator, aux = jax.jit(game.players["discriminator"].loss)(params, variables, real_data(6), KEY, NOW)
    generator, generator_aux = jax.jit(game.players["generator"].loss)(params, variables, real_data(6), KEY, NOW)
    np.testing.assert_allclose(discriminator, np.log1p(np.exp(-real)) + np.log1p(np.exp(fake)), rtol=1e-5)
    np.testing.assert_allclose(generator, np.log1p(np.exp(-fake)), rtol=1e-5)
    np.testing.assert_allclose(aux.metrics["real_logits"], real, rtol=1e-5)
    np.testing.assert_allclose(aux.metrics["fake_logits"], fake, rtol=1e-5)
    assert not generator_aux.metrics
    evaluated = jax.jit(game.evaluate)(params, variables, real_data(6), KEY)
    assert set(evaluated) == {"discriminator_loss", "generator_loss", "real_logits", "fake_logits"}
    np.testing.assert_allclose(evaluated["discriminator_loss"], discriminator, rtol=1e-6)
    np.testing.assert_allclose(evaluated["generator_loss"], generator, rtol=1e-6)


def test_value_at_the_equilibrium_is_minus_two_log_two():
    # The generator makes the data, so the best discriminator cannot tell: its logits are 0.
    game = game_of(Shift(0.0), Linear(0.0), minimax)
    evaluated = jax.jit(game.evaluate)(*started(game), real_data(6), KEY)
    np.testing.assert_allclose(evaluated["discriminator_loss"], np.full(6, 2 * np.log(2)), rtol=1e-6)
    np.testing.assert_allclose(evaluated["generator_loss"], np.full(6, -np.log(2)), rtol=1e-6)


def test_value_at_the_best_discriminator_is_the_jensen_shannon_divergence():
    n, shift = 40_000, 1.5
    # Between N(0, 1) and N(shift, 1) the log-ratio of the densities is linear.
    game = game_of(Shift(shift), Linear(-shift, shift**2 / 2), minimax)
    p, q = stats.norm(0, 1).pdf, stats.norm(shift, 1).pdf
    divergence = integrate.quad(
        lambda x: 0.5 * (p(x) * np.log(2 * p(x) / (p(x) + q(x))) + q(x) * np.log(2 * q(x) / (p(x) + q(x)))), -12, 12
    )[0]
    loss = np.asarray(jax.jit(game.evaluate)(*started(game), real_data(n), KEY)["discriminator_loss"], np.float64)
    assert abs(loss.mean() - (2 * np.log(2) - 2 * divergence)) < 5 * loss.std() / np.sqrt(n)


@pytest.mark.parametrize("slope", [0.0, 0.5, 3.0])
def test_critic_of_wgan_gp_pays_for_a_slope_other_than_one(slope):
    game = game_of(
        Shift(0.5),
        Linear(slope),
        wasserstein,
        latent=4,
        penalty=gradient_penalty,
        measure=lambda real, fake: {"wasserstein": real - fake},
    )
    params, variables = started(game, 4)
    loss, aux = jax.jit(game.players["discriminator"].loss)(params, variables, real_data(6, 4), KEY, NOW)
    real = slope * np.asarray(real_data(6, 4)["x"]).sum(axis=1)
    fake = slope * (latents(KEY, 6, 4) + 0.5).sum(axis=1)
    # The gradient of slope * (x_1 + ... + x_4) has length 2 slope.
    penalty = 10 * (2 * slope - 1) ** 2
    np.testing.assert_allclose(aux.metrics["penalty"], np.full(6, penalty), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(aux.metrics["wasserstein"], real - fake, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(loss, fake - real + penalty, rtol=1e-4, atol=1e-5)
    assert set(aux.metrics) == {"wasserstein", "penalty"}


def one_step(game, draw=None):
    state = init_state(game, KEY, {"x": jnp.zeros((1, 1))})
    draw = draw or (lambda step, number: real_data(6))
    return state, *train_step(game, draw, state, KEY, due=(True, True), unroll=True)


@pytest.mark.parametrize("critic_steps", [1, 3])
def test_generator_draws_no_data_and_the_critic_a_fresh_batch_each_time(critic_steps):
    game = game_of(Shift(), Linear(1.0), wasserstein, discriminator_steps=critic_steps)
    drawn = []

    def draw(step, number):
        jax.debug.callback(lambda number: drawn.append(int(number)), number, ordered=True)
        return real_data(6)

    one_step(game, draw)
    jax.effects_barrier()
    assert game.draws == critic_steps
    # The generator looks again at the last batch, of which it takes nothing but the size.
    assert drawn == [*range(critic_steps), critic_steps - 1]


def test_generator_loss_does_not_depend_on_the_data():
    game = game_of(Shift(0.2), Linear(1.0), non_saturating)
    loss = game.players["generator"].loss
    here, there = (loss(*started(game), {"x": x}, KEY, NOW)[0] for x in (jnp.zeros((5, 1)), jnp.full((5, 1), 9.0)))
    np.testing.assert_array_equal(here, there)


@pytest.mark.parametrize("critic_steps", [1, 3])
def test_one_step_moves_the_critic_so_often_and_then_the_generator_once(critic_steps):
    game = game_of(Shift(0.5), Linear(1.0), wasserstein, discriminator_steps=critic_steps)
    _, state, (critic_metrics, generator_metrics) = one_step(game)
    slope, real = 1.0, np.asarray(real_data(6)["x"]).mean()
    for number in range(critic_steps):
        fake = latents(keys.derive(KEY, "turn", 0, 0, number), 6).mean() + 0.5
        loss = slope * (fake - real)
        slope -= RATE * (fake - real)
    np.testing.assert_allclose(critic_metrics["discriminator_loss"], loss, rtol=1e-4)
    np.testing.assert_allclose(state.params["discriminator"]["slope"], slope, rtol=1e-5)
    fake = latents(keys.derive(KEY, "turn", 0, 1, 0), 6).mean() + 0.5
    np.testing.assert_allclose(generator_metrics["generator_loss"], -slope * fake, rtol=1e-4)
    np.testing.assert_allclose(state.params["generator"]["shift"], 0.5 + RATE * slope, rtol=1e-5)
    assert int(state.step) == 1


def test_projection_clips_the_critic_and_not_the_generator():
    limit = 0.01
    game = game_of(Shift(0.5), Linear(1.0, -2.0), wasserstein, project=lambda owned: clip_weights(owned, limit))
    _, state, _ = one_step(game)
    np.testing.assert_allclose(state.params["discriminator"]["slope"], limit, rtol=1e-6)
    np.testing.assert_allclose(state.params["discriminator"]["offset"], -limit, rtol=1e-6)
    np.testing.assert_allclose(state.params["generator"]["shift"], 0.5 + RATE * limit, rtol=1e-5)


def test_each_player_moves_the_statistics_of_its_own_network():
    game = game_of(Normed(total=False), Normed(total=True), non_saturating)
    params, variables = started(game)
    _, aux = jax.jit(game.players["discriminator"].loss)(params, variables, {"x": jnp.full((4, 1), 3.0)}, KEY, NOW)
    # It sees the real batch, of mean 3, and then the fake one, of mean 0: ((0 + 3) / 2 + 0) / 2.
    mean = aux.variables["discriminator"]["batch_stats"]["BatchNorm_0"]["mean"]
    np.testing.assert_allclose(mean, [0.75], rtol=1e-5)
    _, aux = jax.jit(game.players["generator"].loss)(params, variables, {"x": jnp.full((4, 1), 3.0)}, KEY, NOW)
    mean = aux.variables["generator"]["batch_stats"]["BatchNorm_0"]["mean"]
    np.testing.assert_allclose(mean, latents(KEY, 4).mean(axis=0) / 2, rtol=1e-5)


def test_evaluation_and_samples_use_running_statistics():
    game = game_of(Normed(total=False), Normed(total=True), non_saturating)
    params, variables = started(game)
    variables = jax.tree_util.tree_map_with_path(
        lambda path, leaf: jnp.full_like(leaf, 2.0) if path[-1].key == "mean" else leaf, variables
    )
    samples = game.sample(params, variables, KEY, 5)
    np.testing.assert_allclose(samples, latents(KEY, 5) - 2, rtol=1e-4)
    logits = jax.jit(game.evaluate)(params, variables, {"x": jnp.full((5, 1), 3.0)}, KEY)
    np.testing.assert_allclose(logits["real_logits"], np.full(5, 1.0), rtol=1e-4)
    np.testing.assert_allclose(logits["fake_logits"], latents(KEY, 5)[:, 0] - 4, rtol=1e-4)


def test_average_is_of_the_generator_alone_and_only_where_asked_for():
    game = game_of(Shift(0.5), Linear(1.0), wasserstein, average_decay=0.9)
    before, state, _ = one_step(game)
    assert set(state.averages) == {"generator"}
    # The decay of the first step is 1 / 10.
    expected = 0.1 * before.params["generator"]["shift"] + 0.9 * state.params["generator"]["shift"]
    np.testing.assert_allclose(state.averages["generator"]["shift"], expected, rtol=1e-6)
    assert game_of(Shift(), Linear(1.0), wasserstein).averages == {}


def test_priors_are_standard_normal_and_uniform():
    normal, uniform = (np.asarray(prior(KEY, 5_000, 2)) for prior in (normal_prior, uniform_prior))
    assert normal.shape == uniform.shape == (5_000, 2)
    assert stats.kstest(normal.ravel(), "norm").pvalue > 0.001
    assert stats.kstest(uniform.ravel(), stats.uniform(-1, 2).cdf).pvalue > 0.001


def test_prior_is_the_one_that_was_asked_for():
    game = game_of(Shift(), Linear(1.0), wasserstein, prior=lambda key, n, latent: jnp.full((n, latent), 5.0))
    np.testing.assert_array_equal(game.sample(*started(game), KEY, 3), np.full((3, 1), 5.0))


def test_interpolations_lead_from_one_draw_of_the_prior_to_another_along_an_arc():
    game = game_of(Shift(0.5), Linear(1.0), wasserstein, latent=6)
    nets = started(game, 6)
    rows = np.asarray(game.views["interpolations"](*nets, real_data(9, 6), KEY)) - 0.5
    assert rows.shape == (8, 10, 6)
    start = jax.random.normal(KEY, (8, 6))
    # Each row ends where the next begins.
    np.testing.assert_allclose(rows, spherical_path(start, jnp.roll(start, -1, axis=0)), rtol=1e-4, atol=1e-4)
    elsewhere = {"x": real_data(9, 6)["x"] + 1}
    np.testing.assert_array_equal(rows + 0.5, game.views["interpolations"](*nets, elsewhere, KEY))


def test_a_sample_costs_one_pass_and_nothing_is_said_of_probabilities():
    game = game_of(Shift(), Linear(1.0), wasserstein)
    assert game.sampling == ONE_PASS
    assert game.density is None
