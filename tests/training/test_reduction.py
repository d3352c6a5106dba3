import importlib

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.data import load_dataset, open_source
from gen_jax.data.info import DataInfo
from gen_jax.experiment import parse
from gen_jax.run.setup import initial_state
from gen_jax.training import Program, digest, keys
from gen_jax.training.reduction import SHARDS, VirtualShards, add_in_tree, whole_batch
from gen_jax.training.sharding import make_mesh, replicated

pytestmark = pytest.mark.usefixtures("compiled_as_for_users")

# XLA compiles for one CPU device by other passes, which is why a reproducible run has at least two.
COUNTS = (2, 4, 8)
# Of the layouts the quick tests see the fewest devices and the most.
counts = pytest.mark.parametrize("count", [2, pytest.param(4, marks=pytest.mark.slow), 8])
ways = pytest.mark.parametrize("unroll", [True, False], ids=["unrolled", "looped"])


def mesh_of(count):
    return make_mesh(jax.devices()[:count])


def reduced(part, batch, *, count=2, unroll=True, shared=None, key=None):
    """What virtual shards on so many devices make of a part, on the host."""
    mesh = mesh_of(count)
    key = jax.random.key(0) if key is None else key
    reduce = jax.jit(lambda *given: VirtualShards(mesh, unroll=unroll)(part, *given))
    return jax.device_get(reduce(*jax.device_put(({} if shared is None else shared, batch, key), replicated(mesh))))


def of_shards(values):
    return np.asarray(values).reshape(SHARDS, -1, *np.shape(values)[1:])


def test_a_tree_adds_neighbours_first():
    # In float32 1e8 swallows a 1, so that each order of the sum has a result of its own.
    values = [np.float32(value) for value in (1e8, 1, -1e8, 1, 1, 1, 1e8, -1e8)]
    expected = ((values[0] + values[1]) + (values[2] + values[3])) + ((values[4] + values[5]) + (values[6] + values[7]))
    assert expected == 2 != sum(values)
    trees = [{"w": jnp.array([value]), "n": jnp.int32(7)} for value in values]
    found = add_in_tree(trees)
    assert found["w"].tolist() == [expected]
    assert found["n"] == 7


@ways
@counts
def test_the_order_of_the_sum_is_the_tree_on_any_devices(count, unroll):
    values = np.float32([1e8, 1, -1e8, 1, 1, 1, 1e8, -1e8])

    def part(shared, batch, key):
        return jnp.sum(batch["x"]), ()

    means, _ = reduced(part, {"x": values}, count=count, unroll=unroll)
    assert means == 2 / SHARDS


@ways
@counts
def test_means_are_those_of_the_whole_batch_and_values_come_in_order(count, unroll):
    x = np.arange(64, dtype=np.float32).reshape(32, 2)

    def part(shared, batch, key):
        return {"mean": batch["x"].mean(0) * shared["scale"], "count": shared["count"]}, {"twice": 2 * batch["x"]}

    shared = {"scale": jnp.float32(3), "count": jnp.int32(5)}
    means, examples = reduced(part, {"x": x}, count=count, unroll=unroll, shared=shared)
    np.testing.assert_array_equal(means["mean"], 3 * x.mean(0))
    assert means["count"] == 5
    assert means["count"].dtype == np.int32
    np.testing.assert_array_equal(examples["twice"], 2 * x)
    whole_means, whole_examples = whole_batch(part, shared, {"x": jnp.asarray(x)}, None)
    np.testing.assert_array_equal(whole_means["mean"], 3 * x.mean(0))
    np.testing.assert_array_equal(whole_examples["twice"], 2 * x)


@ways
@counts
def test_what_is_computed_across_examples_is_computed_within_a_shard(count, unroll):
    x = np.random.default_rng(0).integers(0, 100, (32, 3)).astype(np.float32)

    def part(shared, batch, key):
        centred = batch["x"] - batch["x"].mean(0, keepdims=True)
        return (centred**2).mean(), centred

    variance, centred = reduced(part, {"x": x}, count=count, unroll=unroll)
    by_hand = of_shards(x) - of_shards(x).mean(1, keepdims=True)
    np.testing.assert_array_equal(centred, by_hand.reshape(x.shape))
    np.testing.assert_allclose(variance, (by_hand**2).mean(), rtol=1e-6)
    assert abs(variance - x.var(0).mean()) > 0.05 * variance


@ways
def test_each_shard_draws_its_own_noise_the_same_on_any_devices(unroll):
    root = jax.random.key(3)

    def part(shared, batch, key):
        return (), jax.random.normal(key, (len(batch["x"]),))

    expected = np.concatenate([jax.random.normal(keys.derive(root, "shard", n), (2,)) for n in range(SHARDS)])
    assert len(set(expected.tolist())) == 16
    for count in COUNTS:
        _, noise = reduced(part, {"x": np.zeros(16, np.float32)}, count=count, unroll=unroll, key=root)
        np.testing.assert_array_equal(noise, expected)


class Everything(nn.Module):
    """What reorders sums in practice: convolutions, batch statistics, attention, dropout, in a dtype of choice."""

    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x, key):
        x = nn.Conv(12, (3, 3), strides=2, dtype=self.dtype)(x)
        x = nn.swish(nn.BatchNorm(use_running_average=False, dtype=self.dtype)(x))
        x = x.reshape(len(x), -1, x.shape[-1])
        x = x + nn.MultiHeadDotProductAttention(2, dtype=self.dtype)(nn.LayerNorm(dtype=self.dtype)(x))
        x = nn.Dropout(0.3, deterministic=False)(x, rng=key)
        return nn.Dense(1, dtype=self.dtype)(x.reshape(len(x), -1))[:, 0].astype(jnp.float32)


# Written out, as on every CPU. In a loop XLA's CPU backend reassociates the backward pass of attention otherwise where
# a device has one shard alone; what accelerators do there has not been tried.
@pytest.mark.slow
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16], ids=["float32", "bfloat16"])
def test_gradients_have_the_same_bits_on_two_four_and_eight_devices(dtype):
    net = Everything(dtype)
    rng = np.random.default_rng(0)
    batch = {"x": rng.normal(size=(32, 8, 8, 3)).astype(np.float32), "y": rng.normal(size=32).astype(np.float32)}
    variables = jax.jit(net.init)(jax.random.key(1), batch["x"], jax.random.key(2))

    def part(params, batch, key):
        def objective(params):
            out, updated = net.apply({**variables, "params": params}, batch["x"], key, mutable=["batch_stats"])
            return jnp.mean((out - batch["y"]) ** 2), (updated, out)

        (loss, (updated, out)), gradients = jax.value_and_grad(objective, has_aux=True)(params)
        return (loss, gradients, updated), out

    def bits(count):
        found = reduced(part, batch, count=count, shared=variables["params"])
        return [leaf.tobytes() for leaf in jax.tree.leaves(found)]

    assert bits(2) == bits(4) == bits(8)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "precision"), [("vae", "float32"), ("dcgan", "bfloat16")])
def test_an_experiment_learns_the_same_bits_on_two_four_and_eight_devices(name, precision):
    experiment = importlib.import_module(f"experiments.{name}").EXPERIMENT
    config = parse(experiment, ["--preset", "tiny", "--precision", precision])
    dataset = load_dataset(config.data, image_size=config.image_size)
    info = DataInfo.of(dataset)
    game = experiment.build(config, info)
    initial = jax.device_get(jax.jit(lambda key: initial_state(game, info, key))(jax.random.key(0)))

    def learned(count):
        mesh = mesh_of(count)
        source = open_source(
            dataset.train, batch_size=config.batch_size, seed=0, draws=game.draws, sharding=replicated(mesh)
        )
        program = Program(game, source, mesh, 0, reproducible=True)
        state = jax.device_put(initial, replicated(mesh))
        for step in range(3):
            state, _, metrics = program.advance(state, step, 1)
        return digest(state), jax.device_get(metrics)

    (two, of_two), (four, of_four), (eight, of_eight) = map(learned, COUNTS)
    assert two == four == eight != digest(initial)
    assert of_two == of_four == of_eight


@pytest.mark.parametrize("count", [3, 5, 6])
def test_devices_that_cannot_share_eight_shards_are_refused(count):
    with pytest.raises(ValueError, match=f"8 virtual shards cannot be shared out among {count} devices"):
        VirtualShards(mesh_of(count), unroll=True)
