import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import rel_entr

from gen_jax.losses import minimax, non_saturating, wasserstein

DATA = np.array([0.1, 0.4, 0.3, 0.2])
MODEL = np.array([0.4, 0.1, 0.2, 0.3])


def value_of_the_game(logits, discriminator):
    """V of two distributions over the same four outcomes, by enumeration: the loss is linear in each expectation."""
    per_outcome = jnp.asarray(logits, jnp.float32)
    real_part = discriminator(per_outcome, jnp.full(4, -1e9))  # a fake logit of -inf costs nothing
    fake_part = discriminator(jnp.full(4, 1e9), per_outcome)
    return -float((DATA * real_part).sum() + (MODEL * fake_part).sum())


def test_minimax_value_at_the_optimal_discriminator_is_the_jensen_shannon_divergence():
    mixture = (DATA + MODEL) / 2
    jensen_shannon = (rel_entr(DATA, mixture).sum() + rel_entr(MODEL, mixture).sum()) / 2
    value = value_of_the_game(np.log(DATA / MODEL), minimax.discriminator)
    np.testing.assert_allclose(value, 2 * jensen_shannon - 2 * np.log(2), rtol=1e-5)


def test_minimax_value_is_largest_at_the_optimal_discriminator():
    best = np.log(DATA / MODEL)
    for shift in np.eye(4):
        for size in (-0.1, 0.1):
            assert value_of_the_game(best + size * shift, minimax.discriminator) < value_of_the_game(
                best, minimax.discriminator
            )


def test_minimax_generator_minimises_what_the_discriminator_maximises():
    logits = jnp.array([-2.0, 0.3, 4.0])
    discriminator_gradient = jax.grad(lambda fake: minimax.discriminator(jnp.zeros(3), fake).sum())(logits)
    generator_gradient = jax.grad(lambda fake: minimax.generator(fake).sum())(logits)
    np.testing.assert_allclose(generator_gradient, -discriminator_gradient)
    np.testing.assert_allclose(minimax.generator(logits), np.log(1 - 1 / (1 + np.exp(-np.asarray(logits)))), rtol=1e-5)


def test_non_saturating_generator_is_minus_log_d_with_a_strong_gradient_where_rejected():
    logits = jnp.array([-2.0, 0.3, 4.0])
    np.testing.assert_allclose(
        non_saturating.generator(logits), -np.log(1 / (1 + np.exp(-np.asarray(logits)))), rtol=1e-5
    )
    rejected = jnp.array([-20.0])
    np.testing.assert_allclose(jax.grad(lambda fake: non_saturating.generator(fake).sum())(rejected), [-1], rtol=1e-5)
    assert abs(jax.grad(lambda fake: minimax.generator(fake).sum())(rejected)[0]) < 1e-8
    assert non_saturating.discriminator is minimax.discriminator


def test_wasserstein_players_pull_the_fake_score_in_opposite_directions():
    real, fake = jnp.array([1.0, 2.0]), jnp.array([0.5, 5.0])
    np.testing.assert_allclose(wasserstein.discriminator(real, fake), [-0.5, 3.0])
    np.testing.assert_allclose(wasserstein.generator(fake), [-0.5, -5.0])


@pytest.mark.parametrize("pair", [minimax, non_saturating, wasserstein])
@pytest.mark.parametrize("logit", [-1e4, 1e4])
def test_values_and_gradients_are_finite_at_extreme_logits(pair, logit):
    logits = jnp.full(2, logit)
    for loss in (lambda x: pair.discriminator(x, -x), lambda x: pair.discriminator(-x, x), pair.generator):
        assert loss(logits).shape == (2,)
        assert jnp.isfinite(loss(logits)).all()
        assert jnp.isfinite(jax.grad(lambda x, loss=loss: loss(x).sum())(logits)).all()
