import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import special, stats

from gen_jax.data import Binarized, Identity, Split, evaluation_batches
from gen_jax.errors import ConfigError
from gen_jax.metrics.likelihood import ImportanceSampler, bits_per_dim, summary
from gen_jax.training import Game, Player, Turn, init_state, keys
from gen_jax.training.evaluation import Evaluator
from gen_jax.training.game import Density
from gen_jax.training.reduction import VirtualShards
from gen_jax.training.sharding import make_mesh

# z ~ N(0, I), x | z ~ N(W z, SIGMA^2 I); W has orthogonal columns, so that the posterior is diagonal.
WEIGHTS, SIGMA = np.array([[1.0, 1.0], [1.0, -1.0]]), 0.5
POSTERIOR_VARIANCE = 1 / (1 + (WEIGHTS**2).sum(axis=0) / SIGMA**2)
SHIFT = 0.25
EXACT = stats.multivariate_normal(np.zeros(2), WEIGHTS @ WEIGHTS.T + SIGMA**2 * np.eye(2))
POINTS = np.random.default_rng(0).normal(size=(19, 2)).astype(np.float32)


def log_weights(params, variables, batch, key, k):
    """log p(x, z) - log q(z | x), where q is off by SHIFT and twice as wide as the posterior."""
    x = batch["x"]
    variance = 2 * POSTERIOR_VARIANCE
    mean = x @ (WEIGHTS * POSTERIOR_VARIANCE / SIGMA**2) + SHIFT
    noise = jax.random.normal(key, (k, *mean.shape))
    z = mean[None] + np.sqrt(variance)[None, None] * noise

    def log_normal(value, deviation):
        return jnp.sum(-0.5 * (value / deviation) ** 2 - jnp.log(deviation) - 0.5 * math.log(2 * math.pi), axis=-1)

    joint = log_normal(x[None] - z @ WEIGHTS.T, SIGMA) + log_normal(z, 1.0)
    return joint - log_normal(noise, 1.0) + 0.5 * np.log(variance).sum() + params["a"]["w"]


def game_of(density, **fields):
    def loss(params, variables, batch, key, now):
        raise AssertionError("this game is not trained")

    standard = {
        "init": lambda key, example: {"a": {"params": {"w": jnp.float32(0.0)}}},
        "players": {"a": Player(("a",), loss, optax.sgd(0.1))},
        "turns": (Turn(("a",)),),
        "transforms": {"x": Identity()},
        "sample": lambda params, variables, key, n: jnp.zeros((n, 2)),
        "density": density,
    }
    return Game(**{**standard, **fields})


LINEAR = game_of(Density("real numbers", log_weights))


def held_out(points, batch_size=8):
    return functools.partial(evaluation_batches, Split(len(points), arrays={"x": points}), batch_size)


def state_of(game):
    return init_state(game, jax.random.key(0), {"x": jnp.zeros((1, 2)), "index": jnp.zeros(1, jnp.int32)})


def sampler(game=LINEAR, points=POINTS, draws=5, seed=0, batch_size=8, devices=1, **options):
    mesh = make_mesh(jax.devices()[:devices])
    return ImportanceSampler(game, held_out(points, batch_size), mesh, seed, draws, **options)


def chunk_weights(points, number, chunk, size, seed=0):
    """The weights of a batch that are drawn at once: the keys as the architecture names them."""
    batch_key = keys.derive(jax.random.key(seed), "evaluate", number)
    key = keys.derive(batch_key, "importance", chunk)
    return np.asarray(log_weights({"a": {"w": 0.0}}, {}, {"x": jnp.asarray(points)}, key, size), np.float64)


def test_bound_rises_to_the_exact_value_with_the_draws_and_is_never_above_it_in_expectation():
    n = 16_384
    x = POINTS[3]
    exact = EXACT.logpdf(x)
    # One example many times over, each with draws of its own.
    repeated = np.broadcast_to(x, (n, 2))
    means, errors = [], []
    for draws in (1, 2, 8, 64):
        found = sampler(points=repeated, draws=draws, batch_size=n)(state_of(LINEAR))
        assert (found.examples, found.draws) == (n, draws)
        means.append(found.mean)
        errors.append((found.interval[1] - found.interval[0]) / 2 / 1.96)
    assert all(mean < exact + 4 * error for mean, error in zip(means, errors, strict=True))
    assert means == sorted(means)
    # One draw is the ELBO: what q is off by in position and in width.
    gap = np.sum(0.5 * (2 - 1 - np.log(2) + SHIFT**2 / POSTERIOR_VARIANCE))
    assert abs(means[0] - (exact - gap)) < 4 * errors[0]
    assert gap > 0.5
    assert exact - means[-1] < 0.02 + 4 * errors[-1]


@pytest.mark.parametrize("at_once", [1, 64, 10_000])
def test_draws_in_chunks_are_all_draws_and_no_others(at_once):
    draws, size = 7, 8
    found = sampler(points=POINTS[:size], draws=draws, at_once=at_once)(state_of(LINEAR))
    # A batch holds 16 numbers, so 1, 4 and 7 draws fit at once; 7 in chunks of at most 4 are 4 and 3.
    chunk = {1: 1, 64: 4, 10_000: 7}[at_once]
    parts = [chunk_weights(POINTS[:size], 0, number, chunk) for number in range(math.ceil(draws / chunk))]
    drawn = np.concatenate(parts)[:draws]
    expected = special.logsumexp(drawn, axis=0) - np.log(draws)
    np.testing.assert_allclose(found.mean, expected.mean(), rtol=1e-5)
    half = 1.96 * expected.std(ddof=1) / np.sqrt(size)
    np.testing.assert_allclose(found.interval, (expected.mean() - half, expected.mean() + half), rtol=1e-5)


def test_memory_does_not_grow_with_the_draws():
    asked, state = [], state_of(LINEAR)

    def recorded(params, variables, batch, key, k):
        asked.append(k * batch["x"].size)
        return log_weights(params, variables, batch, key, k)

    batch = {"x": jnp.asarray(POINTS[:8]), "index": jnp.arange(8)}
    arguments = state.sampling_params, state.variables, batch, np.int32(0), jax.random.key(0)
    needed = []
    for draws in (16, 5_000):
        examine = sampler(game_of(Density("real numbers", recorded)), draws=draws, at_once=64)
        compiled = jax.jit(examine._of_batch).lower(*arguments).compile()
        needed.append(compiled.memory_analysis().temp_size_in_bytes)
    assert needed[0] == needed[1]
    assert max(asked) <= 64


def test_padding_does_not_count():
    found = sampler(draws=3)(state_of(LINEAR))
    expected = []
    for number, start in enumerate(range(0, 19, 8)):
        rows = POINTS[np.minimum(np.arange(start, start + 8), 18)]
        # Noise depends on the position in the batch, and padding comes last.
        weights = chunk_weights(rows, number, 0, 3)[:, : 19 - start]
        expected.append(special.logsumexp(weights, axis=0) - np.log(3))
    expected = np.concatenate(expected)
    assert found.examples == len(expected) == 19
    np.testing.assert_allclose(found.mean, expected.mean(), rtol=1e-5)


def test_same_seed_gives_the_same_number_and_another_seed_another():
    examine, state = sampler(), state_of(LINEAR)
    first, again = examine(state), examine(state)
    assert first == again
    assert first.mean != sampler(seed=1)(state).mean


@pytest.mark.usefixtures("compiled_as_for_users")
def test_devices_share_a_batch_and_with_virtual_shards_agree_to_the_bit():
    def found(devices):
        shards = VirtualShards(make_mesh(jax.devices()[:devices]), unroll=False)
        return sampler(devices=devices, reduce=shards)(state_of(LINEAR))

    assert found(1) == found(2)
    np.testing.assert_allclose(sampler(devices=2)(state_of(LINEAR)).mean, sampler()(state_of(LINEAR)).mean, rtol=1e-6)


def test_averages_are_scored_where_the_game_keeps_them():
    game = game_of(Density("real numbers", log_weights), averages={"a": optax.constant_schedule(0.9)})
    state = dataclasses.replace(state_of(game), averages={"a": {"w": jnp.float32(2.0)}})
    np.testing.assert_allclose(sampler(game)(state).mean, sampler()(state_of(LINEAR)).mean + 2, rtol=1e-5)


def test_pixels_are_binarised_once_for_all_draws_and_as_they_are_for_the_elbo():
    def pixels_on(params, variables, batch, key, k):
        return jnp.broadcast_to(batch["x"].sum((1, 2, 3)), (k, len(batch["x"])))

    def evaluate(params, variables, batch, key):
        return {"elbo": batch["x"].sum((1, 2, 3))}

    density = Density("binary pixels", pixels_on)
    game = game_of(density, transforms={"x": Binarized()}, evaluate=evaluate)
    grey = np.full((12, 4, 4, 1), 100, np.uint8)
    state = init_state(game, jax.random.key(0), {"x": jnp.zeros((1, 4, 4, 1)), "index": jnp.zeros(1, jnp.int32)})
    found = sampler(game, grey, draws=6, at_once=1)(state)
    reported = Evaluator(game, held_out(grey), make_mesh(jax.devices()[:1]), seed=0)(state)["elbo"]
    np.testing.assert_allclose(found.mean, reported, rtol=1e-5)
    assert 4 < found.mean < 9


def test_exact_probabilities_are_asked_for_once():
    asked = []

    def exact(params, variables, batch, key, k):
        asked.append(k)
        return jnp.broadcast_to(batch["x"][:, 0], (k, len(batch["x"])))

    game = game_of(Density("real numbers", exact, exact=True))
    found = sampler(game, draws=5_000)(state_of(game))
    assert asked == [1]
    assert found.draws == 1
    np.testing.assert_allclose(found.mean, POINTS[:, 0].mean(), rtol=1e-5)


@pytest.mark.parametrize(
    ("density", "draws", "message"),
    [
        (None, 5, "log p(x) is not defined for this model, which gives no probabilities to data"),
        (
            Density("256 levels"),
            5,
            "log p(x) of this model is only known to be at least its elbo, which can be evaluated",
        ),
        (
            Density("real numbers", log_weights),
            0,
            "the importance samples of each example are 0; accepted: a number of at least 1",
        ),
    ],
)
def test_a_model_that_cannot_be_scored_is_refused_in_one_line(density, draws, message):
    with pytest.raises(ConfigError) as raised:
        sampler(game_of(density), draws=draws)
    assert str(raised.value) == message


def test_interval_covers_the_true_mean_as_often_as_it_says():
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(2_000):
        low, high = summary(rng.normal(-90.0, 10.0, 100), 5).interval
        covered += low < -90 < high
    assert abs(covered / 2_000 - 0.95) < 0.02


def test_interval_of_one_example_is_none():
    assert summary(np.array([-3.0]), 5) == (-3.0, None, 1, 5)


def test_bits_of_a_model_that_knows_nothing_are_eight():
    shape = (4, 4, 3)
    # 256 levels that are equally probable; and, as a density, uniform on [0, 1).
    np.testing.assert_allclose(bits_per_dim(48 * math.log(1 / 256), shape, "256 levels"), 8)
    np.testing.assert_allclose(bits_per_dim(0.0, shape, "dequantised"), 8)


def test_bits_of_dequantised_levels_are_those_of_the_levels():
    # Each level v has the density 256 P(v) all over its bin, so that nothing is lost by the noise.
    probabilities = np.array([0.5, 0.25, 0.25])
    entropy = -(probabilities * np.log(probabilities)).sum()
    density = (probabilities * np.log(256 * probabilities)).sum()
    np.testing.assert_allclose(bits_per_dim(-entropy, (1,), "256 levels"), 1.5)
    np.testing.assert_allclose(bits_per_dim(density, (1,), "dequantised"), 1.5)


@pytest.mark.parametrize("observed", ["binary pixels", "real numbers"])
def test_bits_are_refused_where_there_are_no_256_levels(observed):
    with pytest.raises(ConfigError) as raised:
        bits_per_dim(-90.0, (28, 28, 1), observed)
    assert str(raised.value) == (
        f"bits_per_dim is not defined for {observed}: accepted are models of 256 levels or of dequantised pixels"
    )
