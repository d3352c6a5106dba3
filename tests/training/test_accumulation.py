import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from toy_games import resident, start, toy_game

from gen_jax.training import Aux, Player, Program, Turn, keys
from gen_jax.training.accumulation import Microbatches, made_after
from gen_jax.training.reduction import whole_batch
from gen_jax.training.sharding import make_mesh, replicated, split_batch

PARTS = 4
X = np.random.default_rng(0).normal([1.0, -2.0], 1.0, (32, 2)).astype(np.float32)
ways = pytest.mark.parametrize("unroll", [True, False], ids=["unrolled", "looped"])
counts = pytest.mark.parametrize("count", [1, 8])


def mesh_of(count, fsdp=1):
    return make_mesh(jax.devices()[:count], fsdp=fsdp)


def reduced(part, batch, *, count=1, unroll=True, shared=None, key=None):
    """What four microbatches on so many devices make of a part, on the host."""
    mesh = mesh_of(count)
    given = ({} if shared is None else shared, batch, jax.random.key(0) if key is None else key)
    everywhere = replicated(mesh)
    reduce = jax.jit(lambda *given: Microbatches(mesh, PARTS, unroll=unroll)(part, *given))
    return jax.device_get(reduce(*jax.device_put(given, (everywhere, split_batch(mesh), everywhere))))


def of_parts(values):
    """(batch, ...) -> (parts, batch / parts, ...): every fourth example, beginning with the first, second, …"""
    return np.stack([np.asarray(values)[n::PARTS] for n in range(PARTS)])


@ways
@counts
def test_means_are_those_of_the_whole_batch_and_values_come_in_order(count, unroll):
    x = np.arange(64, dtype=np.float32).reshape(32, 2)

    def part(shared, batch, key):
        assert batch["x"].shape == (8, 2)
        means = {"mean": batch["x"].mean(0) * shared["scale"], "count": shared["count"]}
        return means, {"twice": 2 * batch["x"], "index": batch["index"]}

    shared = {"scale": jnp.float32(3), "count": jnp.int32(5)}
    batch = {"x": x, "index": np.arange(32, dtype=np.int32)}
    means, examples = reduced(part, batch, count=count, unroll=unroll, shared=shared)
    np.testing.assert_array_equal(means["mean"], 3 * x.mean(0))
    assert means["count"] == 5
    assert means["count"].dtype == np.int32
    np.testing.assert_array_equal(examples["twice"], 2 * x)
    np.testing.assert_array_equal(examples["index"], np.arange(32))


@ways
@counts
def test_what_is_computed_across_examples_is_computed_within_a_part(count, unroll):
    def part(shared, batch, key):
        centred = batch["x"] - batch["x"].mean(0, keepdims=True)
        return (centred**2).mean(), centred

    variance, centred = reduced(part, {"x": X}, count=count, unroll=unroll)
    by_hand = of_parts(X) - of_parts(X).mean(1, keepdims=True)
    np.testing.assert_allclose(of_parts(centred), by_hand, atol=1e-6)
    np.testing.assert_allclose(variance, (by_hand**2).mean(), rtol=1e-6)
    assert abs(variance - X.var(0).mean()) > 0.05 * variance


@ways
@counts
def test_each_part_draws_its_own_noise_the_same_on_any_devices(count, unroll):
    root = jax.random.key(3)

    def part(shared, batch, key):
        return (), jax.random.normal(key, (len(batch["x"]),))

    _, noise = reduced(part, {"x": np.zeros(32, np.float32)}, count=count, unroll=unroll, key=root)
    expected = [jax.random.normal(keys.derive(root, "microbatch", n), (8,)) for n in range(PARTS)]
    np.testing.assert_array_equal(of_parts(noise), expected)
    assert len(set(noise.tolist())) == 32


@ways
def test_bfloat16_is_added_up_in_float32(unroll):
    # In bfloat16 256 swallows a 1, and the mean would be 64.
    x = np.float32([256, 1, 1, 1])

    def part(shared, batch, key):
        return batch["x"].astype(jnp.bfloat16).sum(), ()

    mean, _ = reduced(part, {"x": x}, unroll=unroll)
    assert mean.dtype == jnp.bfloat16
    assert mean == jnp.bfloat16(259 / 4)


def test_the_rows_of_a_part_stay_on_their_devices():
    mesh = mesh_of(8)
    reduce = Microbatches(mesh, PARTS, unroll=True)

    def part(shared, batch, key):
        return (), batch["x"]

    batch = jax.device_put({"x": np.arange(64.0)}, split_batch(mesh))
    lowered = jax.jit(lambda batch: reduce(part, {}, batch, jax.random.key(0))[1]).lower(batch)
    assert not {"all-gather", "all-to-all", "collective-permute", "all-reduce"} & set(
        lowered.compile().as_text().replace("(", " ").split()
    )


def test_rows_are_what_they_were_though_they_depend_on_the_sums():
    rows = {"x": np.float32([1.5, -2]), "index": np.int32([3, 4]), "mask": np.array([True, False])}
    sums = {"a": jnp.ones((2, 3)), "b": jnp.float32(7), "step": jnp.int32(1)}
    found = jax.jit(made_after)(sums, rows)
    jax.tree.map(np.testing.assert_array_equal, found, rows)
    assert jax.tree.map(lambda leaf: leaf.dtype, found) == jax.tree.map(lambda leaf: leaf.dtype, rows)


def noisy(amount):
    """A perceptron that learns the norm of a point to which so much noise was added."""
    net = nn.Sequential([nn.Dense(16), nn.tanh, nn.Dense(1)])

    def loss(params, variables, batch, key, now):
        x = batch["x"] + amount * jax.random.normal(key, batch["x"].shape)
        error = (net.apply({"params": params["net"]}, x)[:, 0] - jnp.linalg.norm(x, axis=-1)) ** 2
        return error, Aux({"largest": x.max(1), "rows": jnp.float32(len(x))}, outputs=x)

    def follow(carry, metrics, outputs, key):
        return {"seen": outputs["player"], "loss": metrics["loss"]}

    carry = {"seen": jnp.zeros((32, 2)), "loss": jnp.float32(0)}
    turn = Turn(("player",), carry_update=follow)
    game = toy_game(
        lambda key, example: {"net": net.init(key, example["x"])},
        {"player": Player(("net",), loss, optax.sgd(0.1))},
        (turn,),
        carry=carry,
    )
    return game, loss


def trained(game, steps=2, *, count=1, fsdp=1, **options):
    """State and metrics after a few steps on the points."""
    mesh = mesh_of(count, fsdp)
    program = Program(game, resident(game, X, len(X), mesh=mesh), mesh, 0, **options)
    state = jax.device_put(start(game), replicated(mesh))
    for step in range(steps):
        state, _, (metrics,) = program.advance(state, step, 1)
    return jax.device_get(state), jax.device_get(metrics)


def close(found, expected, rtol=1e-4):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-5), found, expected)


@pytest.mark.parametrize(("count", "fsdp", "loop"), [(1, 1, False), (8, 4, True)])
def test_without_noise_parts_learn_what_the_whole_batch_does(count, fsdp, loop):
    game, _ = noisy(0.0)
    state, metrics = trained(game, accumulate=PARTS, count=count, fsdp=fsdp, loop=loop)
    whole, whole_metrics = trained(game)
    # One metric counts the examples that a loss sees at once.
    assert (metrics["rows"], whole_metrics["rows"]) == (8, 32)
    close((state, {**metrics, "rows": 32}), (whole, whole_metrics))
    assert np.abs(state.params["net"]["layers_0"]["kernel"] - start(game).params["net"]["layers_0"]["kernel"]).max() > (
        0.01
    )


def test_with_noise_a_step_is_the_mean_over_the_parts_with_the_keys_of_each():
    game, loss = noisy(0.5)
    state, metrics = trained(game, 1, accumulate=PARTS)
    begun = start(game)
    x = resident(game, X, len(X)).batch({"x": jnp.asarray(X)}, 0, 0)["x"]

    @jax.jit
    @functools.partial(jax.value_and_grad, has_aux=True)
    def objective(params, rows, key):
        per_example, aux = loss(params, {}, {"x": rows}, key, None)
        return per_example.mean(), aux.outputs

    gradients, losses, seen = [], [], np.zeros((32, 2), np.float32)
    for part in range(PARTS):
        key = keys.derive(jax.random.key(0), "turn", 0, 0, 0, "microbatch", part)
        (value, seen[part::PARTS]), gradient = objective(begun.params, x[part::PARTS], key)
        gradients.append(gradient)
        losses.append(value)
    close(state.params, jax.tree.map(lambda w, *g: w - 0.1 * sum(map(np.asarray, g)) / PARTS, begun.params, *gradients))
    np.testing.assert_allclose(metrics["loss"], np.mean(losses), rtol=1e-5)
    np.testing.assert_allclose(metrics["largest"], seen.max(1).mean(), rtol=1e-5)
    np.testing.assert_allclose(state.carry["seen"], seen, rtol=1e-6)
    np.testing.assert_allclose(state.carry["loss"], metrics["loss"], rtol=1e-6)
    assert not np.allclose(metrics["loss"], trained(game, 1)[1]["loss"], rtol=1e-3)


def test_batch_statistics_become_the_mean_of_what_each_part_makes_of_them():
    norm = nn.BatchNorm(use_running_average=False, momentum=0.9)

    def loss(params, variables, batch, key, now):
        out, updated = norm.apply({"params": params["net"], **variables["net"]}, batch["x"], mutable=["batch_stats"])
        return (out**3).sum(1), Aux(variables={"net": updated})

    game = toy_game(
        lambda key, example: {"net": norm.init(key, example["x"])},
        {"player": Player(("net",), loss, optax.sgd(0.1))},
        (Turn(("player",)),),
    )
    for unrolled in (True, False):
        state, _ = trained(game, 1, accumulate=PARTS, count=2, loop=not unrolled)
        statistics = state.variables["net"]["batch_stats"]
        x = of_parts(resident(game, X, len(X)).batch({"x": jnp.asarray(X)}, 0, 0)["x"])
        np.testing.assert_allclose(statistics["mean"], 0.1 * x.mean(1).mean(0), rtol=1e-5)
        np.testing.assert_allclose(statistics["var"], 0.9 + 0.1 * x.var(1).mean(0), rtol=1e-5)


def memory(reduce):
    """Bytes beside arguments and answers that a chain of wide layers takes to be differentiated."""

    def part(params, batch, key):
        def objective(params):
            x = batch["x"]
            for _ in range(8):
                x = jnp.tanh(x @ params["w"])
            return x.sum()

        loss, gradients = jax.value_and_grad(objective)(params)
        return (loss, gradients), ()

    params = {"w": jax.ShapeDtypeStruct((16, 16), jnp.float32)}
    batch = {"x": jax.ShapeDtypeStruct((4096, 16), jnp.float32)}
    lowered = jax.jit(lambda params, batch: reduce(part, params, batch, jax.random.key(0))[0]).lower(params, batch)
    return lowered.compile().memory_analysis().temp_size_in_bytes


@pytest.mark.usefixtures("compiled_as_for_users")
def test_the_activations_of_one_part_are_in_memory_at_a_time():
    whole = memory(whole_batch)
    for unroll in (True, False):
        assert memory(Microbatches(mesh_of(1), 8, unroll=unroll)) < whole / 3
