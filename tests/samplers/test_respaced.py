import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.losses import NoiseSchedule, cosine_betas, linear_betas
from gen_jax.samplers import ancestral, evenly_spaced, respaced
from gen_jax.samplers.respaced import respace

KEY = jax.random.key(0)
SCHEDULE = NoiseSchedule.from_betas(cosine_betas(20))
X_T = jax.random.normal(jax.random.key(1), (3, 2))


def predict(x, t):
    """Knows the time, and is no good."""
    return 0.3 * x + 0.01 * t[:, None].astype(jnp.float32)


@pytest.mark.parametrize(
    ("steps", "kept", "expected"),
    [(4, 2, [0, 3]), (5, 5, [0, 1, 2, 3, 4]), (10, 4, [0, 3, 6, 9]), (10, 3, [0, 5, 9]), (1000, 3, [0, 499, 999])],
)
def test_kept_times_are_rounded_from_evenly_spaced_numbers_with_both_ends(steps, kept, expected):
    np.testing.assert_array_equal(evenly_spaced(steps, kept), expected)


@pytest.mark.parametrize("kept", range(2, 51))
def test_so_many_times_are_kept_as_were_asked_for(kept):
    times = evenly_spaced(50, kept)
    assert len(set(times.tolist())) == len(times) == kept
    assert (np.diff(times) > 0).all()


@pytest.mark.parametrize("kept", [0, 1, 21])
def test_more_steps_than_there_are_or_fewer_than_two_are_refused(kept):
    with pytest.raises(ValueError, match=f"of 20 steps 2 to 20 can be kept, not {kept}"):
        respaced(ancestral, kept)(predict, SCHEDULE, X_T, KEY)


@pytest.mark.parametrize("betas", [linear_betas(1000), cosine_betas(1000), linear_betas(30, 0.01, 0.4)])
@pytest.mark.parametrize("kept", [2, 7, 30])
def test_short_diffusion_has_the_noise_of_the_long_one_at_the_kept_times(betas, kept):
    times = evenly_spaced(len(betas), kept)
    short = respace(NoiseSchedule.from_betas(betas), times)
    assert short.steps == kept
    np.testing.assert_allclose(short.alphas_bar, np.cumprod(1 - betas)[times], rtol=5e-5)
    # What is left of the noise of the first steps is small: it must be right as such, not as a difference from 1.
    np.testing.assert_allclose(short.sqrt_one_minus_alphas_bar**2, 1 - np.cumprod(1 - betas)[times], rtol=1e-5)


def test_all_steps_are_the_sampler_as_it_was():
    np.testing.assert_array_equal(
        respaced(ancestral, 20)(predict, SCHEDULE, X_T, KEY), ancestral(predict, SCHEDULE, X_T, KEY)
    )


def test_fewer_steps_are_those_of_the_short_diffusion_with_the_times_of_the_long_one():
    times = evenly_spaced(20, 6)
    short = NoiseSchedule.from_betas(1 - np.exp(np.diff(np.log(np.cumprod(1 - cosine_betas(20))[times]), prepend=0)))

    def told_the_long_time(x, t):
        return predict(x, jnp.asarray(times)[t])

    expected = ancestral(told_the_long_time, short, X_T, KEY, clip=0.5)
    np.testing.assert_allclose(respaced(ancestral, 6)(predict, SCHEDULE, X_T, KEY, clip=0.5), expected, rtol=1e-4)
    asked = []

    def remember(x, t):
        jax.debug.callback(lambda t: asked.append(int(t[0])), t, ordered=True)
        return x

    respaced(ancestral, 6)(remember, SCHEDULE, X_T, KEY).block_until_ready()
    jax.effects_barrier()
    assert asked == times[::-1].tolist()


def test_works_inside_a_compiled_function():
    compiled = jax.jit(lambda x_T: respaced(ancestral, 5)(predict, SCHEDULE, x_T, KEY))
    np.testing.assert_allclose(compiled(X_T), respaced(ancestral, 5)(predict, SCHEDULE, X_T, KEY), rtol=1e-5)


def test_a_chain_in_parts_is_the_whole_chain():
    for sampler, steps in ((ancestral, 20), (respaced(ancestral, 6), 6)):

        @jax.jit
        def part(x, start, stop, sampler=sampler):
            return sampler(predict, SCHEDULE, x, KEY, start=start, stop=stop)

        x = X_T
        for start, stop in ((steps, 4), (4, 3), (3, 0)):
            x = part(x, start, stop)
        np.testing.assert_allclose(x, sampler(predict, SCHEDULE, X_T, KEY), rtol=1e-5)


def test_samples_of_a_gaussian_keep_their_mean_in_a_few_steps():
    schedule, n = NoiseSchedule.from_betas(cosine_betas(500)), 20_000

    def optimal(x, t):
        signal, noise = schedule.sqrt_alphas_bar[t][:, None], schedule.sqrt_one_minus_alphas_bar[t][:, None]
        return noise * (x - signal * 0.7) / (signal**2 * 0.4**2 + noise**2)

    x_T = jax.random.normal(jax.random.key(1), (n, 1))
    samples = np.asarray(respaced(ancestral, 25)(optimal, schedule, x_T, KEY, clip=None), np.float64)
    assert abs(samples.mean() - 0.7) < 0.02
    # Narrower than the data, as the posterior variance makes each long step; but not by much.
    assert 0.3 < samples.std() < 0.4
